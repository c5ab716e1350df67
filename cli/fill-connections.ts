import { isDeepStrictEqual } from 'node:util';
import {
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { explainAwsError } from '../shared/aws/aws-error.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import type { DeploymentContext } from './deploy-check.ts';
import type { NamedStore } from './known-stores.ts';

/** The secret of one store after {@link fillConnections}. */
export interface FilledSecret {
  readonly store: string;
  readonly secret: string;
  /** `kept`: it has another connection, which was not to be replaced. `missing`: the environment names no such store. */
  readonly state: 'filled' | 'unchanged' | 'kept' | 'missing';
}

/**
 * Puts the connections of the named stores into the secrets of a target. Throws InvalidInputError before anything is
 * written if the target does not have one of the stores, or has it with another kind, and the errors of AWS.
 *
 * @param mayReplace  asked for a secret that holds another connection
 */
export async function fillConnections(
  { stackName, targets }: DeploymentContext,
  target: string,
  named: readonly NamedStore[],
  mayReplace: (secret: string) => Promise<boolean>,
): Promise<FilledSecret[]> {
  const settings = Object.hasOwn(targets, target) ? targets[target] : undefined;
  if (!settings) {
    throw new InvalidInputError(`The configuration has no target "${target}".`, {
      remedy: `Use one of ${Object.keys(targets).join(', ')}, or write it: \`ngbak doctor --write --target ${target}\`.`,
    });
  }
  for (const { adapter } of named) {
    const kind = settings.stores[adapter.name]?.kind;
    if (kind === adapter.kind) continue;
    throw new InvalidInputError(
      kind === undefined
        ? `Target "${target}" has no store "${adapter.name}", whose address the environment names.`
        : `The store "${adapter.name}" of target "${target}" is of the kind "${kind}", not "${adapter.kind}".`,
      { remedy: 'Unset the address of this store, or write the target again: `ngbak doctor --write`.' },
    );
  }
  const client = new SecretsManagerClient({});
  const filled: FilledSecret[] = [];
  for (const [store, configured] of Object.entries(settings.stores)) {
    if (!configured) continue;
    const secret = configured.secret ?? `${stackName}/${target}/${store}`;
    const found = named.find(({ adapter }) => adapter.name === store);
    filled.push({
      store,
      secret,
      state: found ? await fill(client, secret, found, mayReplace) : 'missing',
    });
  }
  return filled;
}

async function fill(
  client: SecretsManagerClient,
  secret: string,
  { adapter, connection }: NamedStore,
  mayReplace: (secret: string) => Promise<boolean>,
): Promise<FilledSecret['state']> {
  const send = async <T>(call: Promise<T>) => {
    try {
      return await call;
    } catch (error) {
      throw explainAwsError(error);
    }
  };
  const { SecretString = '' } = await send(client.send(new GetSecretValueCommand({ SecretId: secret })));
  const current = parsed(SecretString);
  if (isDeepStrictEqual(current, connection)) return 'unchanged';
  // A new secret holds a text that says what to put there.
  const isPlaceholder = !adapter.Connection.safeParse(current).success;
  if (!isPlaceholder && !(await mayReplace(secret))) return 'kept';
  await send(
    client.send(new PutSecretValueCommand({ SecretId: secret, SecretString: JSON.stringify(connection) })),
  );
  return 'filled';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
