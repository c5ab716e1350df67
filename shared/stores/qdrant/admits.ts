import type { EntryReader } from '../../archive/format/types.ts';
import type { LegContext } from '../leg.ts';
import type { LoadOptions, RestoreInput } from '../restore-leg.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import type { QdrantClient } from './client.ts';
import {
  type Alias,
  type CollectionState,
  comparableText,
  listAliases,
  listCollections,
  readCollection,
  vectorBytes,
  vectorLayout,
  vectorSizes,
} from './collections.ts';
import { type ArchivedCollection, type ConfigEntry, readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { defaultOnDisk, foreignAliases, leavesOnDiskOpen, ownedCollections } from './create.ts';
import { countPoints } from './points.ts';
import { countPeers, readDiskSize, readVersion } from './probe.ts';
import { describeScope } from './scope.ts';
import { readSnapshot, type SnapshotContent } from './snapshot-file.ts';
import { UPLOAD_FRAME_BYTES, uploadPath } from './snapshots.ts';

/** A snapshot occupies the server's disk twice while it is loaded: as the uploaded file, and unpacked. */
const SNAPSHOT_SHARE = 2;
/** The last minor version of Qdrant 1.x that reads RocksDB segments (release notes of 1.17). */
const ROCKS_DB_MINOR_MAX = 16;

/** Returns the reasons why the archive cannot be loaded here: versions, scope, layouts, names. Only reads. */
export async function admitQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  { archive, options, context }: RestoreInput,
): Promise<string[]> {
  const { signal } = context;
  const collections = await readCollections(archive);
  const [version, peers, present, aliases] = await Promise.all([
    readVersion(client, signal),
    countPeers(client, signal),
    listCollections(client, signal),
    listAliases(client, signal),
  ]);
  const problems = scopeProblems(scope, collections, { present, aliases, trusted: context.asIs === true });
  const owned = await ownedCollections(client, scope, collections, signal);
  const foreign = options.mode === 'replace' ? foreignAliases(aliases, collections, owned) : [];
  if (foreign.length > 0) context.warn(keptAliases(foreign));
  await checkDisk(client, archive, context);
  const onDisk = collections.some(isOpenSnapshot) ? await defaultOnDisk(client, context) : undefined;
  for (const collection of collections) {
    const { name, config, snapshot } = collection;
    if (snapshot) problems.push(...snapshotProblems(collection, version, peers));
    if (onDisk !== undefined && isOpenSnapshot(collection)) {
      problems.push(
        `the snapshot of collection "${name}" does not specify whether its vectors are on disk, and with a default for this (storage.collection.vectors.on_disk) the server rejects such snapshots: create a backup with "method": "points", or remove the default`,
      );
    }
    if (
      snapshot &&
      !(await client.acceptsBody(uploadPath(name), snapshot.size + UPLOAD_FRAME_BYTES, signal))
    ) {
      problems.push(
        `the snapshot of collection "${name}" has ${snapshot.size} bytes, more than a proxy in front of Qdrant accepts (413): raise its limit (client_max_body_size in nginx), let ngbak reach Qdrant directly, or create a backup with "method": "points"`,
      );
    }
    if (snapshot && options.mode === 'merge' && present.includes(name)) {
      problems.push(
        `collection "${name}" exists, and the archive contains it as a snapshot, which cannot be merged: restore with mode replace, or create a backup with "method": "points"`,
      );
    }
    const alias = aliases.find((entry) => entry.alias === name);
    if (alias) {
      problems.push(
        `"${name}" is a collection in the archive, but an alias of "${alias.collection}" on the server: remove the alias first`,
      );
    }
    for (const wanted of config?.aliases ?? []) {
      if (present.includes(wanted)) {
        problems.push(
          `"${wanted}" is an alias of "${name}" in the archive, but a collection on the server: remove or rename it first`,
        );
      }
    }
    const existing = present.includes(name) ? await readCollection(client, name, signal) : undefined;
    if (existing && config && (scope.filter !== undefined || options.mode === 'merge')) {
      problems.push(...(await strictModeProblems(client, scope, config, existing, options, signal)));
    }
    const content = snapshot && (await readSnapshot(archive, snapshot, name, context));
    if (content) problems.push(...contentProblems(collection, content, version));
    const saved = existing && (config?.view ?? content?.view);
    if (!existing || !saved) continue;
    const inPlace = scope.filter !== undefined || options.mode === 'merge';
    const layoutOf = inPlace ? vectorLayout : vectorSizes;
    if (layoutOf(existing.view) === layoutOf(saved)) continue;
    const difference = `the vectors of collection "${name}" are ${layoutOf(saved)} in the archive, but ${layoutOf(existing.view)} on the server`;
    if (inPlace) problems.push(difference);
    // Clients that search there now would fail afterwards. An empty collection has no such clients.
    else if ((await countPoints(client, name, undefined, signal)) > 0) {
      problems.push(
        `${difference}, and clients may use them with another embedding model: if you also return to the old model, delete the collection first`,
      );
    }
  }
  return problems;
}

/** Estimates the disk space that the load needs, since collections are loaded next to those that they replace. */
async function checkDisk(client: QdrantClient, archive: EntryReader, context: LegContext): Promise<void> {
  let needed = 0;
  for await (const { name, size } of archive.entries('vectors/')) {
    needed += name.endsWith('.snapshot') ? size * SNAPSHOT_SHARE : size;
  }
  const total = await readDiskSize(client, context.signal);
  context.room?.({ of: 'disk', needed, total });
  if (total === undefined || needed <= total) return;
  context.warn({
    code: 'disk-too-small',
    text: `The load needs about ${needed} bytes of disk, and the server reports disks with ${total} bytes in total; enlarge them unless its storage is elsewhere.`,
  });
}

/** Reasons in the snapshot's own content why no server can load it. */
export function snapshotObstacles({ name, config }: ArchivedCollection, { view }: SnapshotContent): string[] {
  if (!view)
    return [`the snapshot of collection "${name}" contains no configuration, so no server can load it`];
  if (!config || vectorLayout(view) === vectorLayout(config.view)) return [];
  return [
    `the vectors of collection "${name}" are ${vectorLayout(config.view)} in the archive, but differ in its own snapshot: ${vectorLayout(view)}`,
  ];
}

/** Reasons in the snapshot's own content why a server of that version cannot load it. */
function contentProblems(
  collection: ArchivedCollection,
  content: SnapshotContent,
  version: string,
): string[] {
  const problems = snapshotObstacles(collection, content);
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (content.view && content.rocksDb && (major > 1 || minor > ROCKS_DB_MINOR_MAX)) {
    problems.push(
      `the snapshot of collection "${collection.name}" has segments in RocksDB, which Qdrant ${version} cannot read: create a backup with "method": "points", or let the old server optimize the collection first`,
    );
  }
  return problems;
}

/** Whether a snapshot's vectors leave `on_disk` to the server's default. */
function isOpenSnapshot({ config, snapshot }: ArchivedCollection): boolean {
  return snapshot !== undefined && config !== undefined && leavesOnDiskOpen(config.view);
}

function keptAliases(aliases: readonly Alias[]): StoreWarning {
  return {
    code: 'aliases-kept',
    text: 'These aliases are part of the archive, but refer to other collections on the server, which this restore does not change: they are left unchanged. To use them for the restored collections, change them afterwards.',
    count: aliases.length,
    samples: aliases
      .slice(0, WARNING_SAMPLES_MAX)
      .map(({ alias, collection }) => `"${alias}" → "${collection}"`),
  };
}

/**
 * Returns the strict-mode limits of a collection that prevent loading into it in place. Limits on request sizes do not,
 * because requests are cut to fit them.
 */
async function strictModeProblems(
  client: QdrantClient,
  { filter }: QdrantScope,
  { collection: name, points, payload_indexes }: ConfigEntry,
  { view, indexes }: CollectionState,
  options: LoadOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const strict = view.strict_mode_config;
  if (!strict?.enabled) return [];
  const problems: string[] = [];
  const refuse = (limit: string, problem: string) => {
    problems.push(`${limit} in the strict mode of collection "${name}" on the server ${problem}`);
  };
  if (filter && !Object.hasOwn(indexes, filter.key)) {
    for (const limit of ['unindexed_filtering_retrieve', 'unindexed_filtering_update'] as const) {
      if (strict[limit] === false)
        refuse(limit, `forbids to filter by "${filter.key}", which has no payload index: create one`);
    }
  }
  // One condition for the IDs and one for the filter.
  const conditions = 2;
  if (filter && (strict.filter_max_conditions ?? conditions) < conditions) {
    refuse('filter_max_conditions', `must allow ${conditions} conditions`);
  }
  const fields = new Set([...Object.keys(indexes), ...Object.keys(payload_indexes)]);
  if (fields.size > Math.max(strict.max_payload_index_count ?? fields.size, Object.keys(indexes).length)) {
    refuse('max_payload_index_count', `allows fewer payload indexes than required (${fields.size})`);
  }
  const { max_points_count: maxPoints, max_collection_vector_size_bytes: maxVectorBytes } = strict;
  if (maxPoints == null && maxVectorBytes == null) return problems;
  const all = await countPoints(client, name, undefined, signal);
  const cleared = filter && options.mode === 'replace' ? await countPoints(client, name, filter, signal) : 0;
  // In a merge, all of the archive's points may already exist.
  const after = options.mode === 'merge' ? Math.max(all, points.count) : all - cleared + points.count;
  if (maxPoints != null && after > Math.max(maxPoints, all)) {
    refuse('max_points_count', `allows ${maxPoints} points, and there would be ${after}`);
  }
  const bytes = after * vectorBytes(view);
  if (maxVectorBytes != null && after > all && bytes > maxVectorBytes) {
    refuse('max_collection_vector_size_bytes', `allows ${maxVectorBytes} bytes, and there would be ${bytes}`);
  }
  return problems;
}

/**
 * A collection must be in the scope by its own name, or by an alias that points to it on the server. Aliases recorded
 * in the archive prove nothing, unless the server does not have the collection, so that nothing is replaced. `trusted`
 * is our own safety backup, whose restore may find that aliases are gone.
 */
function scopeProblems(
  scope: QdrantScope,
  collections: readonly ArchivedCollection[],
  { present, aliases, trusted }: { present: readonly string[]; aliases: readonly Alias[]; trusted: boolean },
): string[] {
  const problems: string[] = [];
  const known = new Set(scope.collections);
  for (const { name, config } of collections) {
    const leading = aliases.filter((entry) => entry.collection === name).map(({ alias }) => alias);
    const archived = trusted || !present.includes(name) ? (config?.aliases ?? []) : [];
    if (scope.collections && ![name, ...leading, ...archived].some((entry) => known.has(entry))) {
      problems.push(
        `collection "${name}" of the archive is not in the target's scope (${describeScope(scope)})`,
      );
    }
    const saved = config?.filter ?? null;
    if (comparableText(saved) !== comparableText(scope.filter ?? null)) {
      problems.push(
        `collection "${name}" was saved ${saved ? `where ${saved.key} is ${JSON.stringify(saved.value)}` : 'as a whole'}, but the target's scope is ${describeScope(scope)}`,
      );
    }
  }
  return problems;
}

/** Qdrant loads a snapshot with the version that wrote it or the next minor one (Qdrant documentation, "Snapshots"). */
function snapshotProblems({ name, config }: ArchivedCollection, version: string, peers: number): string[] {
  const problems: string[] = [];
  if (peers > 1) {
    problems.push(
      `collection "${name}" is a snapshot of one server, and the target is a cluster of ${peers}: create a backup with "method": "points"`,
    );
  }
  if (!config) return problems;
  const [major = 0, minor = 0] = config.server_version.split('.').map(Number);
  const [targetMajor = 0, targetMinor = 0] = version.split('.').map(Number);
  if (major !== targetMajor || targetMinor < minor || targetMinor > minor + 1) {
    problems.push(
      `the snapshot of collection "${name}" is of Qdrant ${config.server_version}, which loads into ${major}.${minor} or ${major}.${minor + 1}, but the server is ${version}: create a backup with "method": "points"`,
    );
  }
  return problems;
}
