import { z } from 'zod';
import { loadSecret } from '../aws/secrets.ts';
import { findTarget, type NgbakConfig, type TargetConfig } from '../core/config.ts';
import { AccessDeniedError, InvalidInputError, UnavailableError } from '../core/errors.ts';
import { parseInput } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { SELFTEST_TARGET, selftestConnection } from '../core/selftest.ts';
import {
  roleOf,
  type ServedRole,
  type ServedStore,
  type StoreName,
  valuesByStore,
} from '../core/store-names.ts';
import { configAdapter } from '../stores/config/adapter.ts';
import { fieldNames } from '../stores/content-check.ts';
import { findAdapter } from '../stores/registry.ts';
import type { Scopes } from '../stores/scopes.ts';
import type { Store, StoreAdapter } from '../stores/store.ts';
import { findProfile, isCollectionOf, profileScopes } from './profiles.ts';
import { markRequests } from './system-evidence.ts';

/** The settings that a job has read from the running system, in place of a scope. */
const RunningScope = z.object({ running: z.record(z.string(), z.json()).optional() });

/** The stores of a target that have a server or a folder, in archive order. */
export function servedStoresOf(config: NgbakConfig, targetName: string): ServedStore[] {
  return valuesByStore(findTarget(config, targetName).stores).map(([name]) => name);
}

/** The stores of a target, in archive order. */
export function storesOf(config: NgbakConfig, targetName: string): StoreName[] {
  return [...servedStoresOf(config, targetName), 'config'];
}

/** The stores of one role of a target, in archive order. */
export function storesOfRole(config: NgbakConfig, targetName: string, role: ServedRole): ServedStore[] {
  return servedStoresOf(config, targetName).filter((name) => roleOf(name) === role);
}

/**
 * Resolves the configuration of a store that has a server: its adapter, from the registry, and its scope, from the
 * profile with the configuration's overrides. Makes no connections, so it can also check a deployment. Throws
 * InvalidInputError.
 *
 * @param parameters parameters for the profile, replacing those of the target
 */
export function resolveStore(
  config: NgbakConfig,
  targetName: string,
  name: ServedStore,
  parameters?: Record<string, Json>,
): { adapter: StoreAdapter; scope: unknown; secret: string; questions: readonly unknown[] | undefined } {
  const target = findTarget(config, targetName);
  const settings = target.stores[name];
  if (!settings) {
    throw new InvalidInputError(`Target "${targetName}" has no store "${name}".`, {
      remedy: `Leave it out, or configure it under targets.${targetName}.stores.${name} in cdk.json and deploy.`,
    });
  }
  const adapter = findAdapter(settings.kind, name);
  requireOneOf(config, targetName, name);
  const scope = parseInput(
    adapter.Scope,
    {
      ...scopeFor(target, name, parameters),
      ...settings.scope,
    },
    `Scope of targets.${targetName}.stores.${name}`,
    'Correct "parameters" and "scope" in cdk.json and deploy; docs/profiles.md lists them.',
  );
  const questions =
    settings.smoke &&
    parseInput(
      z.array(adapter.Smoke),
      settings.smoke,
      `"smoke" of targets.${targetName}.stores.${name}`,
      'Correct it in cdk.json and deploy; docs/restore.md describes smoke checks.',
    );
  return { adapter, scope, secret: settings.secret, questions };
}

/** The part of a store that its profile defines, for the backend that it has. */
function scopeFor(
  { profile, parameters, stores }: TargetConfig,
  name: ServedStore,
  others: Record<string, Json> | undefined,
): Record<string, Json> | undefined {
  const role = roleOf(name);
  // What profiles derive for other roles depends on the first store of key-value data.
  const [first] = valuesByStore(stores).filter(([other]) => roleOf(other) === 'kv');
  const kvKind = role === 'kv' ? stores[name]?.kind : first?.[1].kind;
  return profileScopes(profile, { ...parameters, ...others }, kvKind)[role];
}

/** Throws InvalidInputError if the profile knows only one store of that role. */
function requireOneOf(config: NgbakConfig, targetName: string, name: ServedStore): void {
  const { profile } = findTarget(config, targetName);
  const role = roleOf(name);
  const stores = storesOfRole(config, targetName, role);
  if (stores.length < 2 || findProfile(profile).several?.includes(role)) return;
  throw new InvalidInputError(
    `Target "${targetName}" has several stores of the role "${role}" (${stores.join(', ')}), but a system of profile "${profile}" has one.`,
    {
      remedy: 'Use profile "custom", or leave a store out: docs/profiles.md lists the profiles with several.',
    },
  );
}

/**
 * Opens one store of a configured target, with its connection from Secrets Manager. The caller closes it. Connects on
 * the first call.
 *
 * @param scopes the part of the server to use, if it is not the configured one
 */
export async function openStore(
  config: NgbakConfig,
  targetName: string,
  name: StoreName,
  scopes: Scopes = {},
): Promise<Store> {
  if (name === 'config') {
    const effective = findTarget(config, targetName);
    const { running } = RunningScope.parse(scopes.config ?? {});
    const scope = { target: targetName, effective, ...(running === undefined ? {} : { running }) };
    return configAdapter.create({}, scope, { target: targetName });
  }
  const { adapter, scope: configured, secret } = resolveStore(config, targetName, name);
  const other = scopes[name];
  const scope =
    other === undefined ? configured : parseInput(adapter.Scope, other, `The scope of ${targetName}/${name}`);
  const connection =
    targetName === SELFTEST_TARGET
      ? selftestConnection()
      : await loadSecret(secret, adapter.Connection, `${targetName}/${name}`);
  const layout = findTarget(config, targetName);
  const { references, labels = {}, columns = {} } = findProfile(layout.profile);
  return adapter.create(connection, scope, {
    target: targetName,
    countedLabels: Object.values(labels),
    countedColumns: Object.values(columns),
    marks: markRequests(layout, name),
    referenceFields: (thing) => [
      ...new Set(
        references
          .filter(({ from }) => from.store === roleOf(name) && isCollectionOf(thing, from.thing))
          .flatMap(({ from }) => fieldNames(from.field)),
      ),
    ],
  });
}

/** Opens a store, passes it to `work`, and always closes it. */
export async function withStore<T>(
  config: NgbakConfig,
  targetName: string,
  name: StoreName,
  work: (store: Store) => Promise<T>,
  scopes?: Scopes,
): Promise<T> {
  const store = await openStore(config, targetName, name, scopes);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/**
 * Like {@link withStore}, for a server that has already accepted the login in this job. A rejected login is an
 * UnavailableError here, so that the step is retried and reads the secret again: a rotation changes the password on the
 * server some seconds before it updates the secret, and must not make a restore or its rollback fail.
 */
export async function withUsedStore<T>(...args: Parameters<typeof withStore<T>>): Promise<T> {
  try {
    return await withStore(...args);
  } catch (error) {
    if (!(error instanceof AccessDeniedError) || !error.isLogin) throw error;
    throw new UnavailableError(`${error.message} It was accepted before: the password may be in rotation.`, {
      remedy: `ngbak reads the secret again and retries for some minutes. If the error persists: ${error.remedy}`,
      cause: error,
    });
  }
}
