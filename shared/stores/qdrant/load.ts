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
  readAgreement,
  readCollection,
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

/** Bytes that a snapshot may have beyond the points' own: files of segments are allocated ahead. */
const UPLOAD_OVERHEAD_BYTES = 32 * 1024 ** 2;

const LoadCursor = z.object({
  /** Collection, in the order of readCollections. */
  at: z.number().int().nonnegative(),
  /** Number of points entries that are in; null before the first. */
  chunks: z.number().int().nonnegative().nullable(),
  /** Name of the collection that the points go to. */
  into: z.string().nullable(),
});
type LoadCursor = z.infer<typeof LoadCursor>;

/**
 * Loads the collections of an archive, one after the other, aliases last. A collection that readers use is replaced at
 * one instant by the server itself: a snapshot is uploaded over it; points are loaded into a collection beside it,
 * whose snapshot then takes its place. Points of a filtered scope, and merges, go into the collection as it is.
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
  let worked = false;
  while (cursor.at < collections.length) {
    const collection = collections[cursor.at];
    if (!collection) break;
    if (worked && !hasTime(collection, context)) return { cursor, tallies };
    worked = true;
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

/** An upload can't be interrupted, so it starts with a fresh leg where this one may not last. */
export function hasTime({ snapshot }: ArchivedCollection, context: LegContext): boolean {
  const needed = snapshot ? (snapshot.size / UPLOAD_BYTES_PER_SECOND) * 1000 : 0;
  return context.timeLeft() > needed;
}

function following({ at }: LoadCursor): LoadCursor {
  return { at: at + 1, chunks: null, into: null };
}

/** A snapshot that is uploaded. */
export interface SnapshotFile {
  readonly size: number;
  readonly sha256: string;
  /** Called again for each further try. */
  open(): AsyncIterable<Uint8Array>;
}

/** The snapshot of an archive, whose bytes are reported as they are read. */
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
  // The digest is what the archive says; the read-back compares it with what the server has.
  const digest = config?.points.digest ?? new MultisetDigest().hex();
  return { cursor: following(cursor), tallies: { [`points:${name}`]: { count, digest } } };
}

/** Puts the content of a snapshot under the collection's name, in the place of what is there. */
async function replaceBySnapshot(
  { client, collection: { name, config }, context }: CollectionLoad,
  file: SnapshotFile,
): Promise<void> {
  const { signal } = context;
  const existing = await readCollection(client, name, signal);
  // Over a collection of another configuration the server would keep that one's, or refuse.
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
  // A collection that is created by its snapshot gets the server's default where it had no strict mode itself.
  if (config && !config.view.strict_mode_config?.enabled) await disableStrictMode(client, name, signal);
  if (config) await reconcileIndexes(client, name, config.payload_indexes, { drop: true, signal });
}

/** Whether a collection has what the archive says of its points, as far as that is digested. */
export async function hasContent(
  client: QdrantClient,
  name: string,
  { points, sample }: ConfigEntry,
  signal: AbortSignal,
): Promise<boolean> {
  const state = await readCollection(client, name, signal);
  if (!state || (await countPoints(client, name, undefined, signal)) !== points.count) return false;
  const options = {
    limit: limitsOf(state.view).read,
    agreement: readAgreement(state.view),
    signal,
  };
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

/** Makes the collection that the points go to, where there is none, and returns its name. */
async function prepare(
  { client, scope, archive, options, collection: { name, part }, context }: CollectionLoad,
  config: NonNullable<ArchivedCollection['config']>,
): Promise<string> {
  const { signal } = context;
  const exists = (await readCollection(client, name, signal)) !== undefined;
  if (!exists) {
    await createCollection(client, name, config, signal);
    // In a collection that others share, nothing may stay switched off.
    if (scope.filter || options.mode === 'merge') await finishCollection(client, name, config, signal);
    return name;
  }
  if (scope.filter || options.mode === 'merge') return name;
  if ((await countPeers(client, signal)) > 1) {
    // A snapshot holds one server's shards only, so nothing could be exchanged for the whole at one instant.
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
  const beside = temporaryName(name, context.jobId);
  await dropCollection(client, beside, signal);
  await createCollection(client, beside, config, signal);
  return beside;
}

/** Lets the collection that was built beside take the place of the one that readers use. */
async function swapIn(job: CollectionLoad, beside: string): Promise<void> {
  const { client, context } = job;
  // The collection beside stays until `finish`: a repeat of this leg would need it again.
  await removeSnapshots(client, context, beside);
  const snapshot = await createSnapshot(client, beside, context);
  const { signal } = context;
  const open = () => client.bytes(snapshotPath(beside, snapshot.name), 0, snapshot.size, { signal });
  // Object storage keeps no checksums: then what is read first stands for what is read next.
  const sha256 = snapshot.checksum ?? (await digestOf(open()));
  await replaceBySnapshot(job, { size: snapshot.size, sha256, open });
  await removeSnapshots(client, context, beside);
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
