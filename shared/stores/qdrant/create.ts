import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { LegContext } from '../leg.ts';
import type { QdrantClient } from './client.ts';
import {
  type Alias,
  type AliasAction,
  aliasesOf,
  type ConfigView,
  changeAliases,
  comparableText,
  denseVectors,
  dropCollection,
  type Lossless,
  listAliases,
  losslessText,
  readCollection,
  tidy,
} from './collections.ts';
import type { ArchivedCollection, ConfigEntry } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { temporaryPrefix } from './names.ts';
import { collectionPath, pathSegment } from './paths.ts';
import { findCollections } from './scope.ts';

/** Timeout for building a payload index on a large collection, in milliseconds. */
const INDEX_TIMEOUT_MS = 10 * 60_000;

const Parts = z.looseObject({ params: z.looseObject({}), optimizer_config: z.looseObject({}) });

/**
 * Archived settings that are applied to a new collection. Any others could act as instructions, such as `init_from`.
 */
const CREATED_WITH = {
  params: [
    'vectors',
    'sparse_vectors',
    'shard_number',
    'sharding_method',
    'replication_factor',
    'write_consistency_factor',
    'on_disk_payload',
  ],
  config: ['hnsw_config', 'wal_config', 'quantization_config', 'metadata'],
};
/** Settings in `params` that can only be changed on an existing collection. */
const CHANGED_LATER = ['read_fan_out_factor', 'read_fan_out_delay_ms'];
/** Settings in `config` that are written differently, or are read-only. */
const ELSEWHERE = ['params', 'optimizer_config', 'strict_mode_config', 'uuid'];

/** Archived settings of a collection that this version of ngbak does not know and does not write. */
export function unknownSettings(config: Lossless): string[] {
  const { params, ...rest } = Parts.parse(config);
  const known = { params: new Set([...CREATED_WITH.params, ...CHANGED_LATER]) };
  const top = new Set([...CREATED_WITH.config, ...ELSEWHERE]);
  return [
    ...Object.keys(rest).filter((key) => !top.has(key)),
    ...Object.keys(params)
      .filter((key) => !known.params.has(key))
      .map((key) => `params.${key}`),
  ];
}

function pick(settings: Readonly<Record<string, Lossless>>, keys: readonly string[]) {
  return Object.fromEntries(
    keys.filter((key) => Object.hasOwn(settings, key)).map((key) => [key, settings[key]]),
  );
}

/**
 * Creates a collection as described in the archive, possibly under another name. Vector indexes are not built yet and
 * strict mode is off, regardless of the server's default; `finishCollection` sets both once the points are loaded.
 */
export async function createCollection(
  client: QdrantClient,
  name: string,
  { config, view }: NonNullable<ArchivedCollection['config']>,
  signal: AbortSignal,
): Promise<void> {
  const { params, optimizer_config, ...rest } = Parts.parse(config);
  const deferred = {
    ...optimizer_config,
    ...(defersIndexing(view) ? { indexing_threshold: 0 } : {}),
    // Without an index, writes would wait for an optimization that never happens.
    ...(view.optimizer_config.prevent_unoptimized ? { prevent_unoptimized: false } : {}),
  };
  const body = losslessText(
    tidy({
      ...pick(params, CREATED_WITH.params),
      ...pick(rest, CREATED_WITH.config),
      optimizers_config: deferred,
    }),
  );
  await client.call('PUT', collectionPath(name), { body, signal });
  await disableStrictMode(client, name, signal);
}

/** Turns strict mode off if the server's default turned it on for a new collection. */
export async function disableStrictMode(
  client: QdrantClient,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const state = await readCollection(client, name, signal);
  if (!state?.view.strict_mode_config?.enabled) return;
  const body = '{"strict_mode_config":{"enabled":false}}';
  await client.call('PATCH', collectionPath(name), { body, signal });
}

/**
 * Determines whether the server puts vectors on disk if a new collection does not specify it. No API reports this
 * server setting, so an empty collection is created and removed again. It matters for snapshots: if the server sets a
 * default, it rejects snapshots whose vectors leave the setting open (Qdrant 1.16).
 */
export async function defaultOnDisk(
  client: QdrantClient,
  { jobId, signal }: LegContext,
): Promise<boolean | undefined> {
  // A unique name, because steps for other collections of the same job query this concurrently. A collection left by a
  // killed step is removed with everything else that has this prefix.
  const name = `${temporaryPrefix(jobId)}defaults-${randomUUID()}`;
  try {
    await client.call('PUT', collectionPath(name), {
      body: '{"vectors":{"size":1,"distance":"Dot"}}',
      signal,
    });
    const state = await readCollection(client, name, signal);
    const vector = state && denseVectors(state.view)[''];
    return vector?.on_disk ?? undefined;
  } finally {
    await dropCollection(client, name, signal);
  }
}

/** Whether the vectors of a collection leave `on_disk` to the server's default. */
export function leavesOnDiskOpen(view: ConfigView): boolean {
  return Object.values(denseVectors(view)).some((vector) => vector.on_disk == null);
}

/** Applies the settings that `createCollection` left out, and creates the payload indexes. Idempotent. */
export async function finishCollection(
  client: QdrantClient,
  name: string,
  config: NonNullable<ArchivedCollection['config']>,
  signal: AbortSignal,
): Promise<void> {
  await reconcileIndexes(client, name, config.payload_indexes, { drop: true, signal });
  const { params, optimizer_config, strict_mode_config } = Parts.parse(config.config) as {
    params: Record<string, Lossless>;
    optimizer_config: { indexing_threshold?: Lossless };
    strict_mode_config?: Lossless;
  };
  const optimizers = {
    ...(defersIndexing(config.view) ? { indexing_threshold: optimizer_config.indexing_threshold } : {}),
    ...(config.view.optimizer_config.prevent_unoptimized ? { prevent_unoptimized: true } : {}),
  };
  const later = tidy(pick(params, CHANGED_LATER)) as Record<string, Lossless>;
  const changes = {
    ...(Object.keys(later).length === 0 ? {} : { params: later }),
    ...(Object.keys(optimizers).length === 0 ? {} : { optimizers_config: optimizers }),
    ...(strict_mode_config == null ? {} : { strict_mode_config }),
  };
  if (Object.keys(changes).length === 0) return;
  await client.call('PATCH', collectionPath(name), { body: losslessText(tidy(changes)), signal });
}

/** Deferring sets the threshold to 0. If the archive records no threshold, it could not be set again afterwards. */
function defersIndexing(view: NonNullable<ArchivedCollection['config']>['view']): boolean {
  return view.optimizer_config.indexing_threshold != null;
}

/** Creates missing or different payload indexes and, if requested, drops extra ones. */
export async function reconcileIndexes(
  client: QdrantClient,
  name: string,
  wanted: ConfigEntry['payload_indexes'],
  { drop, signal }: { drop: boolean; signal: AbortSignal },
): Promise<void> {
  const present = (await readCollection(client, name, signal))?.indexes ?? {};
  const options = { signal, timeoutMs: INDEX_TIMEOUT_MS };
  for (const [field, index] of Object.entries(present)) {
    if (!drop || (field in wanted && comparableText(index) === comparableText(wanted[field]))) continue;
    const path = collectionPath(name, `/index/${pathSegment(field)}?wait=true`);
    await client.call('DELETE', path, options);
  }
  for (const [field, index] of Object.entries(wanted)) {
    if (field in present && (!drop || comparableText(present[field]) === comparableText(index))) continue;
    const body = losslessText({ field_name: field, field_schema: tidy(index) });
    await client.call('PUT', collectionPath(name, '/index?wait=true'), { ...options, body });
  }
}

/**
 * Returns the archive's aliases that point to a collection on the server which the restore may not change: someone else
 * has moved or created them. They are left unchanged.
 *
 * @param owned collections that the restore may change
 */
export function foreignAliases(
  present: readonly Alias[],
  collections: readonly ArchivedCollection[],
  owned: ReadonlySet<string>,
): Alias[] {
  const wanted = new Set(collections.flatMap(({ config }) => config?.aliases ?? []));
  return present.filter(({ alias, collection }) => wanted.has(alias) && !owned.has(collection));
}

/**
 * Returns the collections that a restore may change: those of the archive, and those on the server that are in the
 * scope.
 */
export async function ownedCollections(
  client: QdrantClient,
  scope: QdrantScope,
  collections: readonly ArchivedCollection[],
  signal: AbortSignal,
): Promise<Set<string>> {
  const { names } = await findCollections(client, scope, signal);
  return new Set([...names, ...collections.map(({ name }) => name)]);
}

/**
 * Changes the aliases of the restored collections to those in the archive, atomically. With `exact`, aliases that the
 * archive does not contain are removed. Aliases that point to other collections are not changed.
 */
export async function reconcileAliases(
  client: QdrantClient,
  collections: readonly ArchivedCollection[],
  { exact, owned }: { exact: boolean; owned: ReadonlySet<string> },
  { signal }: LegContext,
): Promise<void> {
  const present = await listAliases(client, signal);
  const foreign = new Set(foreignAliases(present, collections, owned).map(({ alias }) => alias));
  await changeAliases(client, aliasActions(present, collections, { exact, foreign }), signal);
}

function aliasActions(
  present: readonly Alias[],
  collections: readonly ArchivedCollection[],
  { exact, foreign }: { exact: boolean; foreign: ReadonlySet<string> },
): AliasAction[] {
  const actions: AliasAction[] = [];
  for (const { name, config } of collections) {
    if (!config) continue;
    for (const alias of config.aliases) {
      const other = present.find((entry) => entry.alias === alias);
      if (other?.collection === name || foreign.has(alias)) continue;
      if (other) {
        if (!exact) continue;
        actions.push({ delete_alias: { alias_name: alias } });
      }
      actions.push({ create_alias: { collection_name: name, alias_name: alias } });
    }
    if (!exact) continue;
    const wanted = new Set(collections.flatMap((entry) => entry.config?.aliases ?? []));
    for (const alias of aliasesOf(present, name)) {
      if (!wanted.has(alias)) actions.push({ delete_alias: { alias_name: alias } });
    }
  }
  return actions;
}
