import { z } from 'zod';
import type { LegContext } from '../port.ts';
import type { QdrantClient } from './client.ts';
import {
  type Alias,
  type AliasAction,
  aliasesOf,
  changeAliases,
  comparableText,
  type Lossless,
  listAliases,
  losslessText,
  readCollection,
  tidy,
} from './collections.ts';
import type { ArchivedCollection, ConfigEntry } from './config-entry.ts';
import { collectionPath, pathSegment } from './paths.ts';

/** Milliseconds that the server may take to build a payload index over a large collection. */
const INDEX_TIMEOUT_MS = 10 * 60_000;

const Parts = z.looseObject({ params: z.looseObject({}), optimizer_config: z.looseObject({}) });

/**
 * Creates a collection as the archive describes it, under a name that may be another, without building vector indexes
 * yet and without strict mode: `settleCollection` turns both on when the points are in.
 */
export async function createCollection(
  client: QdrantClient,
  name: string,
  { config, view }: NonNullable<ArchivedCollection['config']>,
  signal: AbortSignal,
): Promise<void> {
  const { params, optimizer_config, strict_mode_config: _later, ...rest } = Parts.parse(config);
  const deferred = defersIndexing(view) ? { ...optimizer_config, indexing_threshold: 0 } : optimizer_config;
  const body = losslessText(tidy({ ...params, ...rest, optimizers_config: deferred }));
  await client.call('PUT', collectionPath(name), { body, signal });
}

/** Sets what `createCollection` left out, and the payload indexes. May be repeated. */
export async function settleCollection(
  client: QdrantClient,
  name: string,
  config: NonNullable<ArchivedCollection['config']>,
  signal: AbortSignal,
): Promise<void> {
  await reconcileIndexes(client, name, config.payload_indexes, { drop: true, signal });
  const { optimizer_config, strict_mode_config } = Parts.parse(config.config) as {
    optimizer_config: { indexing_threshold?: Lossless };
    strict_mode_config?: Lossless;
  };
  const changes = {
    ...(defersIndexing(config.view)
      ? { optimizers_config: { indexing_threshold: optimizer_config.indexing_threshold } }
      : {}),
    ...(strict_mode_config == null ? {} : { strict_mode_config }),
  };
  if (Object.keys(changes).length === 0) return;
  await client.call('PATCH', collectionPath(name), { body: losslessText(tidy(changes)), signal });
}

/** Where no threshold is told, none could be set back. */
function defersIndexing(view: NonNullable<ArchivedCollection['config']>['view']): boolean {
  return view.optimizer_config.indexing_threshold != null;
}

/** Creates the payload indexes that are missing or different, and drops those that are too many if told to. */
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
 * Brings aliases to what the archive says, all of a server at one instant: those that lead elsewhere are turned, and
 * with `exact` those that the archive's collections had not are removed.
 */
export async function reconcileAliases(
  client: QdrantClient,
  collections: readonly ArchivedCollection[],
  { exact }: { exact: boolean },
  context: LegContext,
): Promise<void> {
  const present = await listAliases(client, context.signal);
  await changeAliases(client, aliasActions(present, collections, exact), context.signal);
}

function aliasActions(
  present: readonly Alias[],
  collections: readonly ArchivedCollection[],
  exact: boolean,
): AliasAction[] {
  const actions: AliasAction[] = [];
  for (const { name, config } of collections) {
    if (!config) continue;
    for (const alias of config.aliases) {
      const other = present.find((entry) => entry.alias === alias);
      if (other?.collection === name) continue;
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
