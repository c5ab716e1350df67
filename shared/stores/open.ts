import { findTarget, type NgbakConfig } from '../config.ts';
import { InvalidInputError } from '../errors.ts';
import { parseInput } from '../input.ts';
import { profileScopes } from '../profiles/profiles.ts';
import { loadSecret } from '../secrets.ts';
import { configAdapter } from './config/adapter.ts';
import type { Store, StoreAdapter, StoreName } from './port.ts';
import { findAdapter } from './registry.ts';

/** The stores that a target has, in the order of the archive. */
export function storesOf(config: NgbakConfig, targetName: string): StoreName[] {
  const { stores } = findTarget(config, targetName);
  return [
    ...(stores.graph ? (['graph'] as const) : []),
    ...(stores.vectors ? (['vectors'] as const) : []),
    ...(stores.kv ? (['kv'] as const) : []),
    'config',
  ];
}

/**
 * What the configuration says about a store with a server: its adapter, from the registry, and its scope, from the
 * profile with the configuration's overrides. Reaches nothing, so that a deployment can be checked by it. Throws
 * InvalidInputError.
 */
export function settleStore(
  config: NgbakConfig,
  targetName: string,
  name: Exclude<StoreName, 'config'>,
): { adapter: StoreAdapter; scope: unknown; secret: string } {
  const target = findTarget(config, targetName);
  const settings = target.stores[name];
  if (!settings) {
    throw new InvalidInputError(`Target "${targetName}" has no store "${name}".`, {
      remedy: `Leave it out, or configure it under targets.${targetName}.stores.${name} in cdk.json and deploy.`,
    });
  }
  const adapter = findAdapter(settings.kind, name);
  const scope = parseInput(
    adapter.Scope,
    { ...profileScopes(target.profile, target.parameters, target.stores.kv?.kind)[name], ...settings.scope },
    `Scope of targets.${targetName}.stores.${name}`,
    'Correct "parameters" and "scope" in cdk.json and deploy; docs/profiles.md lists them.',
  );
  return { adapter, scope, secret: settings.secret };
}

/**
 * Opens one store of a configured target, with its connection from Secrets Manager. The caller closes it. Nothing is
 * connected before the first call.
 */
export async function openStore(config: NgbakConfig, targetName: string, name: StoreName): Promise<Store> {
  if (name === 'config') {
    const effective = findTarget(config, targetName);
    return configAdapter.create({}, { target: targetName, effective }, { target: targetName });
  }
  const { adapter, scope, secret } = settleStore(config, targetName, name);
  const connection = await loadSecret(secret, adapter.Connection, `${targetName}/${name}`);
  return adapter.create(connection, scope, { target: targetName });
}

/** Opens a store, hands it to `work`, and closes it whatever happens. */
export async function withStore<T>(
  config: NgbakConfig,
  targetName: string,
  name: StoreName,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(config, targetName, name);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
