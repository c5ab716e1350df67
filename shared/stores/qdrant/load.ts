import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { addTallies, MultisetDigest, type Tallies } from '../../core/digest.ts';
import { IntegrityError } from '../../core/errors.ts';
import type { LegContext, LegResult } from '../leg.ts';
import type { LoadOptions, RestoreLeg } from '../restore-leg.ts';
import { readArchivedPoints } from './archived-points.ts';
import type { QdrantClient } from './client.ts';
import {
  comparableText,
  dropCollection,
  limitsOf,
  readCollection,
  readOptions,
  writeOrder,
} from './collections.ts';
import { type ArchivedCollection, type ConfigEntry, readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import {
  createCollection,
  disableStrictMode,
  finishCollection,
  ownedCollections,
  reconcileAliases,
  reconcileIndexes,
} from './create.ts';
import { NO_LIMITS } from './limits.ts';
import { UPLOAD_BYTES_PER_SECOND } from './method.ts';
import { pointsEntries, temporaryName } from './names.ts';
import { countPoints, digestFirst } from './points.ts';
import { countPeers } from './probe.ts';
import { digestSample } from './sample.ts';
import { createSnapshot, removeSnapshots, snapshotPath, uploadPath, uploadSnapshot } from './snapshots.ts';
import { writePoints } from './write.ts';

/** Allowance for a snapshot's size beyond its points, in bytes, because the files of segments are preallocated. */
const UPLOAD_OVERHEAD_BYTES = 32 * 1024 ** 2;

const LoadCursor = z.object({
  /** Index of the collection, in the order of readCollections. */
  at: z.number().int().nonnegative(),
  /** Number of points entries that have been loaded; null before the first. */
  chunks: z.number().int().nonnegative().nullable(),
  /** Name of the collection that receives the points. */
  into: z.string().nullable(),
});
type LoadCursor = z.infer<typeof LoadCursor>;

/**
 * Loads the collections of an archive one after another, and their aliases last. The server itself replaces collections
 * in use atomically: a snapshot is uploaded over the collection; points are loaded into a temporary collection, whose
 * snapshot then replaces the original. Points of a filtered scope, and merges, are written into the existing
 * collection.
 */
export async function loadQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  leg: RestoreLeg,
): Promise<LegResult> {
  const { archive, options, context } = leg;
  const collections = await readCollections(archive);
  let tallies: Tallies = {};
  let cursor: LoadCursor =
    leg.cursor === null ? { at: 0, chunks: null, into: null } : LoadCursor.parse(leg.cursor);
  let loadedAny = false;
  while (cursor.at < collections.length) {
    const collection = collections[cursor.at];
    if (!collection) break;
    if (loadedAny && !hasTime(collection, context)) return { cursor, tallies };
    loadedAny = true;
    const job: CollectionLoad = { client, scope, archive, options, collection, context };
    const step = collection.snapshot
      ? await loadSnapshot(job, collection.snapshot, cursor)
      : await loadPoints(job, cursor);
    tallies = addTallies(tallies, step.tallies);
    cursor = step.cursor;
  }
  await reconcileAliases(
    client,
    collections,
    {
      exact: options.mode === 'replace' && !scope.filter,
      owned: await ownedCollections(client, scope, collections, context.signal),
    },
    context,
  );
  return { cursor: null, tallies };
}

interface CollectionLoad {
  readonly client: QdrantClient;
  readonly scope: QdrantScope;
  readonly archive: EntryReader;
  readonly options: LoadOptions;
  readonly collection: ArchivedCollection;
  readonly context: LegContext;
}

interface LoadStep {
  readonly cursor: LoadCursor;
  readonly tallies: Tallies;
}

/** Whether enough time is left for an upload. Uploads can't be interrupted, so a long one starts in a new leg. */
export function hasTime({ snapshot }: ArchivedCollection, context: LegContext): boolean {
  const needed = snapshot ? (snapshot.size / UPLOAD_BYTES_PER_SECOND) * 1000 : 0;
  return context.timeLeft() > needed;
}

function following({ at }: LoadCursor): LoadCursor {
  return { at: at + 1, chunks: null, into: null };
}

/** A snapshot to upload. */
export interface SnapshotFile {
  readonly size: number;
  readonly sha256: string;
  /** Called again for each retry. */
  open(): AsyncIterable<Uint8Array>;
}

/** The snapshot in an archive. Reports progress while it is read. */
export function snapshotFile(
  archive: EntryReader,
  entry: IndexEntry,
  name: string,
  context: LegContext,
): SnapshotFile {
  return {
    size: entry.size,
    sha256: entry.sha256,
    async *open() {
      let sent = 0;
      for await (const chunk of archive.open(entry)) {
        sent += chunk.length;
        context.progress(`bytes:${name}`, sent, entry.size);
        yield chunk;
      }
    },
  };
}

async function loadSnapshot(job: CollectionLoad, entry: IndexEntry, cursor: LoadCursor): Promise<LoadStep> {
  const { client, archive, collection, context } = job;
  const { name, config } = collection;
  await replaceBySnapshot(job, snapshotFile(archive, entry, name, context));
  const count = await countPoints(client, name, undefined, context.signal);
  if (config && count !== config.points.count) throw incomplete(name, count, config.points.count);
  // This is the digest from the archive. The verification compares it with the server's data.
  const digest = config?.points.digest ?? new MultisetDigest().hex();
  return { cursor: following(cursor), tallies: { [`points:${name}`]: { count, digest } } };
}

/** Replaces the collection with the content of a snapshot. */
async function replaceBySnapshot(
  { client, collection: { name, config }, context }: CollectionLoad,
  file: SnapshotFile,
): Promise<void> {
  const { signal } = context;
  const existing = await readCollection(client, name, signal);
  // If the configuration differs, the server would keep the existing one, or reject the snapshot.
  if (existing && (!config || comparableText(existing.config) !== comparableText(config.config))) {
    context.log(
      'The collection has a different configuration: it is removed before its snapshot is loaded.',
      {
        collection: name,
      },
    );
    await dropCollection(client, name, signal);
  }
  const loaded = async () => config !== undefined && (await hasContent(client, name, config, signal));
  await uploadSnapshot(client, name, file, loaded, context);
  // A collection created from its snapshot gets the server's default if it had no strict mode itself.
  if (config && !config.view.strict_mode_config?.enabled) await disableStrictMode(client, name, signal);
  if (config) await reconcileIndexes(client, name, config.payload_indexes, { drop: true, signal });
}

/** Whether a collection contains the points recorded in the archive, as far as their digests cover them. */
export async function hasContent(
  client: QdrantClient,
  name: string,
  { points, sample }: ConfigEntry,
  signal: AbortSignal,
): Promise<boolean> {
  const state = await readCollection(client, name, signal);
  if (!state || (await countPoints(client, name, undefined, signal)) !== points.count) return false;
  const options = readOptions(state.view, signal);
  if ((await digestFirst(client, name, points.digested, options)).digest !== points.digest) return false;
  return !sample || (await digestSample(client, name, sample.ids, options)) === sample.digest;
}

async function loadPoints(job: CollectionLoad, cursor: LoadCursor): Promise<LoadStep> {
  const { client, scope, archive, options, collection, context } = job;
  const { name, part, config } = collection;
  if (!config) throw incomplete(name, 0, 0);
  const { signal } = context;
  const into = cursor.into ?? (await prepare(job, config));
  const created = into !== name || (options.mode === 'replace' && !scope.filter);
  const done = cursor.chunks ?? 0;
  const state = await readCollection(client, into, signal);
  const limits = state ? limitsOf(state.view) : NO_LIMITS;
  let tallies: Tallies = { [`points:${name}`]: { count: 0, digest: new MultisetDigest().hex() } };
  const before = context.doneBefore?.(`points:${name}`) ?? 0;
  let chunks = 0;
  for await (const entry of pointsEntries(archive, part)) {
    if (++chunks <= done) continue;
    const written = await writePoints(
      client,
      into,
      readArchivedPoints(archive, entry, scope.filter ?? null),
      {
        options: created ? { mode: 'replace', onConflict: 'overwrite' } : options,
        filter: scope.filter ?? null,
        limits,
        order: state ? writeOrder(state.view) : '',
        signal,
      },
    );
    tallies = addTallies(tallies, { [`points:${name}`]: written });
    const loaded = before + (tallies[`points:${name}`]?.count ?? 0);
    context.progress(`points:${name}`, loaded, config.points.count);
    if (context.timeLeft() <= 0) return { cursor: { at: cursor.at, chunks, into }, tallies };
  }
  if (!created) {
    await reconcileIndexes(client, name, config.payload_indexes, { drop: false, signal });
    return { cursor: following(cursor), tallies };
  }
  await finishCollection(client, into, config, signal);
  const count = await countPoints(client, into, undefined, signal);
  if (count !== config.points.count) throw incomplete(into, count, config.points.count);
  if (into !== name) await swapIn(job, into);
  return { cursor: following(cursor), tallies };
}

/** Creates the collection that receives the points, if needed, and returns its name. */
async function prepare(
  { client, scope, archive, options, collection: { name, part }, context }: CollectionLoad,
  config: NonNullable<ArchivedCollection['config']>,
): Promise<string> {
  const { signal } = context;
  const exists = (await readCollection(client, name, signal)) !== undefined;
  if (!exists) {
    await createCollection(client, name, config, signal);
    // In a collection shared with others, nothing may stay disabled.
    if (scope.filter || options.mode === 'merge') await finishCollection(client, name, config, signal);
    return name;
  }
  if (scope.filter || options.mode === 'merge') return name;
  if ((await countPeers(client, signal)) > 1) {
    // A snapshot contains only one server's shards, so the whole collection can't be replaced atomically.
    context.log('The collection is removed before its points are loaded: the cluster has several servers.', {
      collection: name,
    });
    await dropCollection(client, name, signal);
    await createCollection(client, name, config, signal);
    return name;
  }
  let bytes = UPLOAD_OVERHEAD_BYTES;
  for await (const { size } of pointsEntries(archive, part)) bytes += size;
  if (!(await client.acceptsBody(uploadPath(name), bytes, signal))) {
    context.log(
      'The collection is removed before its points are loaded: a proxy refuses uploads of its size.',
      {
        collection: name,
        bytes,
      },
    );
    await dropCollection(client, name, signal);
    await createCollection(client, name, config, signal);
    return name;
  }
  const temp = temporaryName(name, context.jobId);
  await dropCollection(client, temp, signal);
  await createCollection(client, temp, config, signal);
  return temp;
}

/** Replaces the collection in use with the temporary one. */
async function swapIn(job: CollectionLoad, temp: string): Promise<void> {
  const { client, context } = job;
  // The temporary collection stays until `finish`, because a repeated leg would need it again.
  await removeSnapshots(client, context, temp);
  const snapshot = await createSnapshot(client, temp, context);
  const { signal } = context;
  const open = () => client.bytes(snapshotPath(temp, snapshot.name), 0, snapshot.size, { signal });
  // Object storage keeps no checksums. Then the file is read twice, and the second reading is checked against the
  // first.
  const sha256 = snapshot.checksum ?? (await digestOf(open()));
  await replaceBySnapshot(job, { size: snapshot.size, sha256, open });
  await removeSnapshots(client, context, temp);
}

async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}

function incomplete(name: string, found: number, expected: number): IntegrityError {
  return new IntegrityError(
    `Collection "${name}" has ${found} points after the load; the archive says ${expected}.`,
    {
      remedy: 'Make sure that nothing else writes to the collection while it is restored, and restore again.',
    },
  );
}
