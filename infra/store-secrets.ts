import { SecretValue, Stack, Validations } from 'aws-cdk-lib';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { roleOf, type ServedRole, type ServedStore, valuesByStore } from '../shared/core/store-names.ts';
import type { DeploymentConfig } from './config.ts';
import { removalPolicyOf } from './removal.ts';
import type { StepHandler } from './step-handler.ts';

/**
 * Initial value of a secret, to be replaced by an administrator. Must not change: CloudFormation would overwrite the
 * value that was filled in.
 */
const PLACEHOLDER = { ngbak: 'Put the connection of this store here: docs/deploy.md shows its shape.' };

/**
 * The connection of each store of each target, in Secrets Manager: a new secret to be filled in, or an existing one.
 */
export class StoreSecrets extends Construct {
  readonly #secrets = new Map<string, { name: string; secret: Secret | ISecret; store: ServedStore }>();
  readonly #existing = new Map<string, ISecret>();

  constructor(
    scope: Construct,
    id: string,
    { targets, removal }: Pick<DeploymentConfig, 'targets' | 'removal'>,
  ) {
    super(scope, id);
    for (const [target, { stores }] of Object.entries(targets)) {
      for (const [store, { secret }] of valuesByStore(stores)) {
        this.#secrets.set(`${target}/${store}`, {
          store,
          name: secret ?? `${Stack.of(this).stackName}/${target}/${store}`,
          secret: secret === undefined ? this.#make(target, store, removal) : this.#find(secret),
        });
      }
    }
  }

  /** Name of the secret of a configured store, or its ARN if one was configured. */
  nameOf(target: string, store: ServedStore): string {
    return this.#get(target, store).name;
  }

  /** ARN of the secret of a configured store; undefined if the target does not have that store. */
  arnOf(target: string, store: ServedStore): string | undefined {
    return this.#secrets.get(`${target}/${store}`)?.secret.secretArn;
  }

  /** Lets a function read the secrets of the stores of one role, of every target. */
  grantRead(handler: StepHandler, role: ServedRole): void {
    for (const found of this.#secrets.values()) {
      if (roleOf(found.store) === role) found.secret.grantRead(handler.function);
    }
  }

  /** Lets a function read another secret, given by name or ARN. */
  grantReadExisting(handler: StepHandler, nameOrArn: string): void {
    this.#find(nameOrArn).grantRead(handler.function);
  }

  #get(target: string, store: ServedStore) {
    const found = this.#secrets.get(`${target}/${store}`);
    if (!found) throw new Error(`Target "${target}" has no store "${store}".`);
    return found;
  }

  #make(target: string, store: ServedStore, removal: DeploymentConfig['removal']): Secret {
    const secret = new Secret(this, `${target}-${store}`, {
      secretName: `${Stack.of(this).stackName}/${target}/${store}`,
      description: `Connection of ngbak to the ${store} of "${target}": fill in address and credentials`,
      secretObjectValue: { ngbak: SecretValue.unsafePlainText(PLACEHOLDER.ngbak) },
      removalPolicy: removalPolicyOf({ removal }),
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason:
        "The credentials belong to the store's server, where whoever runs it changes them; functions read the secret in every job, so that a change needs no deployment.",
    });
    return secret;
  }

  #find(nameOrArn: string): ISecret {
    const known = this.#existing.get(nameOrArn);
    if (known) return known;
    const secret = existingSecret(this, `existing-${this.#existing.size}`, nameOrArn);
    this.#existing.set(nameOrArn, secret);
    return secret;
  }
}

/** A secret from outside of the stack. Secrets Manager adds six characters to its name, which an ARN may omit. */
export function existingSecret(scope: Construct, id: string, nameOrArn: string): ISecret {
  if (!nameOrArn.startsWith('arn:')) return Secret.fromSecretNameV2(scope, id, nameOrArn);
  return /-[A-Za-z0-9]{6}$/.test(nameOrArn)
    ? Secret.fromSecretCompleteArn(scope, id, nameOrArn)
    : Secret.fromSecretPartialArn(scope, id, nameOrArn);
}
