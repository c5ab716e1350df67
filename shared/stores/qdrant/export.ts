import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'lossless-json';
import { z } from 'zod';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { ByteReader } from '../../core/byte-reader.ts';
import { MultisetDigest, type Tallies } from '../../core/digest.ts';
import { describeError, IntegrityError, InvalidInputError, UnavailableError } from '../../core/errors.ts';
import { nativeSha256, resumableSha256 } from '../../core/sha256.ts';
import type { ExportStep, Shard, StoreProbe } from '../export-step.ts';
import type { Cursor, LegContext } from '../leg.ts';
import { LineChunk } from '../line-chunk.ts';
import type { StoreDependencies } from '../store.ts';
import type { StoreWarning } from '../warning.ts';
import type { QdrantClient } from './client.ts';
import {
  aliasesOf,
  type CollectionState,
  comparableText,
  type Lossless,
  listAliases,
  losslessText,
  readCollection,
  readOptions,
  vectorLayout,
} from './collections.ts';
import { type ConfigEntry, configEntryBytes } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { defaultOnDisk, leavesOnDiskOpen } from './create.ts';
import { QdrantRefusedError } from './errors.ts';
import { canBePoints, chooseMethod, snapshotBytes } from './method.ts';
import { configEntryName, pointsEntryName, referencesEntryName, snapshotEntryName } from './names.ts';
import { compareIds } from './point-text.ts';
import { countPoints, digestFirst, scroll } from './points.ts';
import { countPeers, countWrites } from './probe.ts';
import { chooseSample, digestSample, type Sample } from './sample.ts';
import { findCollections } from './scope.ts';
import {
  createSnapshot,
  findSnapshot,
  removeSnapshots,
  type Snapshot,
  snapshotPath,
  UPLOAD_FRAME_BYTES,
  uploadPath,
} from './snapshots.ts';

/** Limits on the units of work. */
export interface ExportLimits {
  /** Size of points entries in bytes. A leg can end after each; a restore repeats at most one. */
  readonly chunkBytes: number;
  /**
   * Number of bytes of a snapshot read at a time, a multiple of SHA-256's block size of 64. A leg can end after each.
   */
  readonly pieceBytes: number;
  /**
   * Bytes per second that even a slow connection delivers. A snapshot that the leg can read at that rate becomes one
   * piece, hashed with Node's own SHA-256, which is several times faster than the one whose state can be saved between
   * two pieces.
   */
  readonly sureBytesPerSecond: number;
  /**
   * Number of points to digest if a collection is saved by snapshot; docs/stores/qdrant.md describes what this proves.
   */
  readonly digestedPoints: number;
}

/** Units that take a few seconds on a slow connection. */
export const EXPORT_LIMITS: ExportLimits = {
  chunkBytes: 4 * 1024 ** 2,
  pieceBytes: 32 * 1024 ** 2,
  sureBytesPerSecond: 1024 ** 2,
  digestedPoints: 20_000,
};
/** Buffer space beyond the size at which an entry is closed, in bytes, because the last page is added completely. */
const ROOM_BEYOND_FULL = 2 * 1024 ** 2;
/** Number of attempts to take a snapshot of a collection that keeps changing. */
const SNAPSHOT_TRIES = 3;
/** Polling interval while a collection is being optimized, in milliseconds. */
const OPTIMIZING_POLL_MS = 500;
/** Maximum number of shards in a plan (see `Exporter.plan`). */
const SHARDS_MAX = 64;
/** Maximum number of JSON characters in a shard's parameters (limit: 4 KiB, see `Shard`). */
const PARAMS_CHARACTERS = 4000;
/** Maximum number of JSON characters of settings in a cursor (limit: 8 KiB, which includes names and digests). */
const SETTINGS_CHARACTERS = 4000;

const Points = z.object({ count: z.number(), digest: z.string(), digested: z.number() });
type Points = z.infer<typeof Points>;

/** Configuration and payload indexes, numbers as text. */
const Settings = z.tuple([z.custom<Lossless>(), z.record(z.string(), z.custom<Lossless>())]);

const SnapshotState = z.object({ name: z.string(), size: z.number(), checksum: z.string().nullable() });

/** Where the export of a shard continues: the collection, and the position within it. */
const ExportCursor = z.object({
  at: z.number().int().nonnegative(),
  within: z
    .discriminatedUnion('method', [
      z.object({
        method: z.literal('points'),
        reason: z.string(),
        /** Digest of the layout of its vectors. */
        shape: z.string().default(''),
        /** JSON text of the next ID; null if all points are exported. */
        next: z.string().nullable(),
        chunks: z.number(),
        points: Points,
      }),
      z.object({
        method: z.literal('snapshot'),
        reason: z.string(),
        /** Digest of the settings and payload indexes at the time of the snapshot. */
        shape: z.string().default(''),
        /**
         * JSON text of them; null if it is too long for the cursor, in which case they must not change until the end.
         */
        settings: z.string().nullable().default(null),
        snapshot: SnapshotState,
        offset: z.number(),
        sha256: z.string(),
        points: Points,
        /** Sample of the points beyond the digested ones, if there are any. */
        sample: z
          .object({ ids: z.array(z.string()), digest: z.string() })
          .nullable()
          .default(null),
        /** Number of references entries so far, and JSON text of the next point; null if all are exported. */
        references: z
          .object({ next: z.string().nullable(), chunks: z.number() })
          .default({ next: '', chunks: 0 }),
      }),
    ])
    .nullable(),
});
interface Shape {
  readonly layout: string;
  readonly settings: string;
}
type ExportCursor = z.infer<typeof ExportCursor>;
type Within = NonNullable<ExportCursor['within']>;
type PointsState = Extract<Within, { method: 'points' }>;
type SnapshotProgress = Extract<Within, { method: 'snapshot' }>;

const ShardParams = z.object({ collections: z.array(z.string()) });

/** Plans one shard per collection. Collections share shards if there are more than a plan may contain. */
export async function planQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  context: LegContext,
  probe: StoreProbe,
): Promise<Shard[]> {
  const { names, missing } = await findCollections(client, scope, context.signal);
  if (missing.length > 0 && !context.asIs) {
    throw new InvalidInputError(
      `The Qdrant server has no collection or alias ${missing.map((name) => `"${name}"`).join(', ')}, which the scope names.`,
      {
        remedy:
          'Create it, or correct "collections" (or the profile\'s parameters) in cdk.json: a backup never omits what the scope names.',
      },
    );
  }
  if (!scope.filter && scope.method !== 'points') {
    const peers = await countPeers(client, context.signal);
    for (const name of names) {
      const state = await readCollection(client, name, context.signal);
      const count = probe.counts[`points:${name}`] ?? 0;
      if (state)
        chooseMethod(scope, name, { view: state.view, bytes: snapshotBytes(state.view, count), peers });
    }
  }
  const perShard = Math.ceil(names.length / SHARDS_MAX);
  const total = Math.max(
    1,
    names.reduce((sum, name) => sum + (probe.counts[`points:${name}`] ?? 0), 0),
  );
  const shards: Shard[] = [];
  for (let at = 0; at < names.length; at += perShard) {
    const collections = names.slice(at, at + perShard);
    if (JSON.stringify({ collections }).length > PARAMS_CHARACTERS) {
      throw new InvalidInputError(
        `The scope has ${names.length} collections, more than one backup can plan.`,
        {
          remedy: 'Name fewer in "collections", and save the others as further targets.',
        },
      );
    }
    const counts = Object.fromEntries(
      collections.map((name) => [`points:${name}`, probe.counts[`points:${name}`] ?? 0]),
    );
    const points = Object.values(counts).reduce((sum, count) => sum + count, 0);
    shards.push({
      id: shardId(shards.length, collections[0] ?? ''),
      params: { collections },
      estimatedBytes: Math.ceil((probe.estimatedBytes * points) / total),
      counts,
    });
  }
  return shards;
}

function shardId(number: number, collection: string): string {
  return `${String(number + 1).padStart(2, '0')}-${collection.replaceAll(/[^a-zA-Z0-9_-]/g, '_').slice(0, 60)}`;
}

/** Streams a shard's collections: points or snapshot first, then the configuration with their counts and digests. */
export async function* exportQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  version: string,
  shard: Shard,
  from: Cursor | null,
  context: LegContext,
  {
    limits = EXPORT_LIMITS,
    referenceFields = () => [],
  }: { limits?: ExportLimits | undefined; referenceFields?: StoreDependencies['referenceFields'] } = {},
): AsyncGenerator<ExportStep> {
  const { collections } = ShardParams.parse(shard.params);
  const start: ExportCursor = from === null ? { at: 0, within: null } : ExportCursor.parse(from);
  for (let at = start.at; at < collections.length; at++) {
    const name = collections[at] ?? '';
    const after: Cursor | null = at + 1 < collections.length ? { at: at + 1, within: null } : null;
    const state = await readCollection(client, name, context.signal);
    if (!state) throw deleted(name);
    const fields = referenceFields(name);
    const job: CollectionExport = { client, scope, version, name, state, fields, context, limits };
    const resumed = at === start.at ? start.within : null;
    const within = resumed ?? (await begin(job));
    const steps = within.method === 'points' ? exportPoints(job, within) : exportSnapshot(job, within);
    let last = within;
    for await (const { within: next, ...step } of steps) {
      last = next;
      yield { ...step, next: { at, within: next } };
    }
    if (last.method === 'snapshot' && job.fields.length > 0) {
      for await (const { within: next, ...step } of exportReferences(job, last)) {
        last = next;
        yield { ...step, next: { at, within: next } };
      }
    }
    yield { ...(await exportConfig(job, last)), next: after };
    // A repeated leg would need the snapshot of an earlier leg again, so that one stays until the job's cleanup.
    if (last.method === 'snapshot' && resumed === null) await removeSnapshots(client, context, name);
  }
}

interface CollectionExport {
  readonly client: QdrantClient;
  readonly scope: QdrantScope;
  readonly version: string;
  readonly name: string;
  readonly state: CollectionState;
  /** Payload fields that refer to other stores. */
  readonly fields: readonly string[];
  readonly context: LegContext;
  readonly limits: ExportLimits;
}

type CollectionStep = Pick<ExportStep, 'piece' | 'tallies'> & { within: Within };

/** Chooses the method. For a snapshot, makes the server write it. */
async function begin(job: CollectionExport): Promise<Within> {
  const { client, scope, name, state, context } = job;
  const { signal } = context;
  // Remove what an interrupted attempt of this job left behind.
  const { unfinished } = await removeSnapshots(client, context, name);
  await untilOptimized(job);
  const shape = shapeOf(state);
  const count = await countPoints(client, name, scope.filter, signal);
  const peers = scope.filter || scope.method === 'points' ? 1 : await countPeers(client, signal);
  const choice = chooseMethod(scope, name, {
    view: state.view,
    bytes: snapshotBytes(state.view, count),
    peers,
  });
  if (choice.method === 'points') return pointsFromStart(choice.reason, shape);
  const requiresSnapshot = scope.method === 'snapshot' || !canBePoints(state.view);
  if (unfinished && !requiresSnapshot) {
    return pointsFromStart('a snapshot of it was not finished within one step', shape);
  }
  if (leavesOnDiskOpen(state.view) && (await defaultOnDisk(client, context)) !== undefined) {
    if (!requiresSnapshot) return pointsFromStart(UNLOADABLE, shape);
    throw new InvalidInputError(`Collection "${name}" can't be saved by snapshot: ${UNLOADABLE}.`, {
      remedy:
        'Set "method" to "auto" or "points" in the scope of the vectors, or remove storage.collection.vectors.on_disk from the configuration of the server.',
    });
  }
  let before = await measure(job);
  // If the server counts writes, one reading proves as much as two: nothing was written between the two counts.
  let read = before.writes === undefined ? await digestPoints(job) : undefined;
  const triesMax = read ? SNAPSHOT_TRIES : SNAPSHOT_TRIES + 1;
  for (let tries = 1; tries <= triesMax; tries++) {
    let snapshot: Snapshot;
    try {
      snapshot = await createSnapshot(client, name, context);
    } catch (error) {
      const acceptable = error instanceof UnavailableError || error instanceof QdrantRefusedError;
      if (requiresSnapshot || !acceptable || signal.aborted) throw error;
      context.log('The server did not write a snapshot.', { collection: name, error: describeError(error) });
      await removeSnapshots(client, context, name);
      return pointsFromStart('the server did not write a snapshot of it', shape);
    }
    const points = await digestPoints(job);
    const after = await measure(job, before.sample.ids);
    const isUnwritten = before.writes !== undefined && before.writes === after.writes;
    const same =
      before.count === after.count &&
      before.shape === after.shape &&
      before.sample.digest === after.sample.digest &&
      (isUnwritten || read?.digest === points.digest);
    // For the points beyond the digested ones, only the server's write count can prove that nothing changed.
    const unverified = after.count > points.digested && !isUnwritten;
    if (same && !(unverified && !requiresSnapshot)) {
      if (!(await client.acceptsBody(uploadPath(name), snapshot.size + UPLOAD_FRAME_BYTES, signal))) {
        if (!requiresSnapshot) {
          await removeSnapshots(client, context, name);
          return pointsFromStart(
            'a proxy in front of the server would refuse to load a snapshot of its size',
            shape,
          );
        }
        context.warn({
          code: 'upload-too-large',
          text: 'Snapshots of these collections can\'t be loaded through the proxy in front of Qdrant, which limits the bytes of a request: raise its limit, or set "method" to "points".',
          count: 1,
          samples: [name],
        });
      }
      if (unverified) context.warn(writtenDuring(name, points.digested));
      return {
        method: 'snapshot',
        reason: choice.reason,
        shape: after.shape,
        settings: after.settings.length > SETTINGS_CHARACTERS ? null : after.settings,
        snapshot: { name: snapshot.name, size: snapshot.size, checksum: snapshot.checksum ?? null },
        offset: 0,
        sha256: '',
        references: { next: '', chunks: 0 },
        points: { ...points, count: after.count },
        sample:
          after.count > points.digested ? { ids: [...after.sample.ids], digest: after.sample.digest } : null,
      };
    }
    // The contents of a snapshot of a changing collection are undefined, so no restore could verify it.
    await removeSnapshots(client, context, name);
    context.log('The server was written to while a snapshot was taken.', { collection: name, try: tries });
    before = after;
    read = points;
  }
  if (requiresSnapshot) {
    throw new IntegrityError(
      `Collection "${name}" changed during each of ${triesMax} snapshots, so their contents are undefined.`,
      { remedy: 'Pause its writers (docs/hooks.md), or set "method" to "auto" in the scope.' },
    );
  }
  return pointsFromStart('it is being written to, so a snapshot of it could not be verified', shape);
}

/**
 * Waits until a collection that hides unoptimized points from readers is optimized, because those points would be
 * missing from the backup.
 */
async function untilOptimized({ client, name, state, context }: CollectionExport): Promise<void> {
  if (!state.view.optimizer_config.prevent_unoptimized) return;
  for (let status = state.status; status !== 'green'; ) {
    if (context.timeLeft() <= 0) {
      throw new UnavailableError(
        `Collection "${name}" has prevent_unoptimized, and is still being optimized (status ${status}): its newest points can't be read yet.`,
        { remedy: 'Wait until its status is green, then start the backup again.' },
      );
    }
    await sleep(OPTIMIZING_POLL_MS, undefined, { signal: context.signal });
    status = (await readCollection(client, name, context.signal))?.status ?? 'green';
  }
}

function writtenDuring(name: string, digested: number): StoreWarning {
  return {
    code: 'written-during-snapshot',
    text: `The server was written to while snapshots of these collections were taken: beyond their first ${digested} points, their contents are verified by checksum, count and a sample only.`,
    count: 1,
    samples: [name],
  };
}

/** Digests of what an export depends on: the vector layout, and all settings and payload indexes. */
function shapeOf({ view, config, indexes }: CollectionState): Shape {
  const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);
  return { layout: digest(vectorLayout(view)), settings: digest(comparableText([config, indexes])) };
}

/** Reason why a server's default may prevent a snapshot: see {@link defaultOnDisk}. */
const UNLOADABLE =
  "it is older than the server's default for vectors.on_disk, and a snapshot of it could not be loaded again";

function pointsFromStart(reason: string, { layout }: Shape): PointsState {
  const points = { count: 0, digest: new MultisetDigest().hex(), digested: 0 };
  return { method: 'points', reason, shape: layout, next: '', chunks: 0, points };
}

/** Properties of a collection that can be measured at a cost independent of its size. */
interface Measure {
  /** Exact number of points. */
  readonly count: number;
  readonly shape: string;
  readonly settings: string;
  readonly sample: Sample;
  /** The server's write count; undefined if the key may not read it. Read last. */
  readonly writes: string | undefined;
}

/** @param sampled IDs of the points to read. Default: a random sample */
async function measure(job: CollectionExport, sampled?: readonly string[]): Promise<Measure> {
  const { client, name, context } = job;
  const { signal } = context;
  const now = await readCollection(client, name, signal);
  if (!now) throw deleted(name);
  const count = await countPoints(client, name, undefined, signal);
  const options = readOptions(job.state.view, signal);
  const ids = sampled ?? (await chooseSample(client, name, options));
  return {
    count,
    shape: shapeOf(now).settings,
    settings: losslessText([now.config, now.indexes]),
    sample: { ids, digest: await digestSample(client, name, ids, options) },
    writes: await countWrites(client, signal),
  };
}

/** Reads and digests the points that a snapshot's digest covers. */
async function digestPoints({
  client,
  name,
  state,
  context,
  limits,
}: CollectionExport): Promise<Omit<Points, 'count'>> {
  const options = readOptions(state.view, context.signal);
  const { digest, points } = await digestFirst(client, name, limits.digestedPoints, options);
  return { digest, digested: points };
}

/** Exports points. `next` is "" at the start, because Qdrant has no ID to start from. */
async function* exportPoints(job: CollectionExport, from: PointsState): AsyncGenerator<CollectionStep> {
  const { client, scope, name, state, context, limits } = job;
  if (from.next === null) return;
  let within = from;
  const chunk = new LineChunk(limits.chunkBytes + ROOM_BEYOND_FULL);
  const pages = scroll(client, name, {
    ...readOptions(state.view, context.signal),
    from: from.next === '' ? null : from.next,
    filter: scope.filter,
  });
  let last: string | undefined;
  for await (const { points, next } of pages) {
    for (const { id, raw: line, canonical } of points) {
      if (last !== undefined && compareIds(last, id) >= 0) throw unordered(name, id);
      last = id;
      chunk.add({ line, canonical });
    }
    if (next !== null && chunk.bytes < limits.chunkBytes) continue;
    if (chunk.count === 0) continue;
    const tally = chunk.tally();
    const total = new MultisetDigest();
    total.merge(within.points.digest);
    total.merge(tally.digest);
    const done = within.points.count + tally.count;
    within = {
      ...within,
      next,
      chunks: within.chunks + 1,
      points: { count: done, digest: total.hex(), digested: done },
    };
    yield {
      piece: chunk.piece(pointsEntryName(name, within.chunks)),
      tallies: { [`points:${name}`]: tally },
      within,
    };
    context.progress(`points:${name}`, done);
    chunk.clear();
  }
}

async function* exportSnapshot(
  job: CollectionExport,
  from: SnapshotProgress,
): AsyncGenerator<CollectionStep> {
  const { client, name, context, limits } = job;
  const { snapshot, points } = from;
  if (from.offset >= snapshot.size) return;
  if (from.offset > 0) await findSnapshot(client, name, snapshot, context.signal);
  const isSinglePiece =
    from.offset === 0 && snapshot.size <= (context.timeLeft() / 1000) * limits.sureBytesPerSecond;
  const resumable = isSinglePiece
    ? undefined
    : await resumableSha256(from.sha256 === '' ? undefined : from.sha256);
  const hash = resumable ?? nativeSha256();
  let within = from;
  // One response for all pieces of a leg: if ranges are ignored, each further request would start at the beginning
  // again.
  const file = new ByteReader(
    client.bytes(snapshotPath(name, snapshot.name), from.offset, snapshot.size - from.offset, {
      signal: context.signal,
      skipping: () => {
        if (context.timeLeft() <= 0) throw unreachable(name, from.offset);
      },
    }),
  );
  try {
    while (within.offset < snapshot.size) {
      const { offset } = within;
      const length = isSinglePiece ? snapshot.size : Math.min(limits.pieceBytes, snapshot.size - offset);
      const last = offset + length === snapshot.size;
      let read = 0;
      let sha256 = '';
      async function* data() {
        for await (const chunk of file.stream(length)) {
          hash.update(chunk);
          read += chunk.length;
          context.progress(`bytes:${name}`, offset + read, snapshot.size);
          yield chunk;
        }
        sha256 = last ? hash.digest() : (resumable?.save() ?? '');
        if (last) checkSnapshot(name, snapshot, sha256);
      }
      // `sha256` is known once the piece has been read, which is before the cursor is used.
      const next: SnapshotProgress = {
        ...within,
        offset: offset + length,
        get sha256() {
          return sha256;
        },
      };
      yield {
        piece: { name: snapshotEntryName(name), size: snapshot.size, offset, length, data: data() },
        tallies: last ? { [`points:${name}`]: { count: points.count, digest: points.digest } } : {},
        within: next,
      };
      if (read !== length) {
        throw new IntegrityError(`Only ${read} of ${length} bytes of the snapshot of "${name}" were taken.`, {
          remedy: 'Report this as a bug in ngbak: the archive writer left a piece unread.',
        });
      }
      within = { ...within, offset: offset + length, sha256 };
    }
  } finally {
    await file.close();
  }
}

/**
 * Exports the payload fields by which a snapshot's points refer to other stores, since only the server could read them
 * from the snapshot.
 */
async function* exportReferences(
  { client, name, state, fields, context, limits }: CollectionExport,
  from: SnapshotProgress,
): AsyncGenerator<CollectionStep & { within: SnapshotProgress }> {
  const { next: start } = from.references;
  if (start === null) return;
  let { chunks } = from.references;
  const chunk = new LineChunk(limits.chunkBytes + ROOM_BEYOND_FULL);
  const pages = scroll(client, name, {
    ...readOptions(state.view, context.signal),
    from: start === '' ? null : start,
    fields,
  });
  for await (const { points, next } of pages) {
    for (const { raw: line, canonical } of points) chunk.add({ line, canonical });
    if (chunk.count === 0 || (next !== null && chunk.bytes < limits.chunkBytes)) continue;
    const within = { ...from, references: { next, chunks: ++chunks } };
    yield { piece: chunk.piece(referencesEntryName(name, chunks)), tallies: {}, within };
    chunk.clear();
  }
}

function unreachable(name: string, offset: number): QdrantRefusedError {
  return new QdrantRefusedError(
    `The snapshot of collection "${name}" can only be read from its beginning, and one step has no time to reach byte ${offset}.`,
    { remedy: 'Set "method" to "points" in the scope of the vectors.' },
  );
}

function unordered(name: string, id: string): IntegrityError {
  return new IntegrityError(`Qdrant listed point ${id} of collection "${name}" out of order, or twice.`, {
    remedy: 'Start the backup again; if the error persists, check the log of the Qdrant server.',
  });
}

function checkSnapshot(
  collection: string,
  { name, checksum }: z.infer<typeof SnapshotState>,
  sha256: string,
): void {
  if (checksum === null || checksum === sha256) return;
  throw new IntegrityError(
    `Snapshot ${name} of collection "${collection}" has SHA-256 ${sha256} as it was read, but the server says ${checksum}.`,
    {
      remedy:
        'Start the backup again; if the error persists, check the disk and the log of the Qdrant server.',
    },
  );
}

async function exportConfig(
  { client, scope, version, name, fields, context }: CollectionExport,
  within: Within,
): Promise<Pick<ExportStep, 'piece' | 'tallies'>> {
  const state = await readCollection(client, name, context.signal);
  if (!state) throw deleted(name);
  // Points depend on the vector layout only. A snapshot contains the settings of the time when it was taken.
  const saved = within.method === 'snapshot' && within.settings !== null ? parse(within.settings) : undefined;
  const [config, indexes] = saved === undefined ? [state.config, state.indexes] : Settings.parse(saved);
  const { layout, settings } = shapeOf(state);
  const shape = within.method === 'points' ? layout : settings;
  if (saved === undefined && within.shape !== '' && within.shape !== shape) {
    throw new IntegrityError(
      `Collection "${name}" was recreated, or its settings were changed, during the backup.`,
      { remedy: 'Start the backup again when the settings of collections are not being changed.' },
    );
  }
  const aliases = aliasesOf(await listAliases(client, context.signal), name);
  const entry: ConfigEntry = {
    entry_version: 1,
    collection: name,
    method: within.method,
    reason: within.reason,
    server_version: version,
    aliases,
    filter: scope.filter ?? null,
    points: within.points,
    chunks: within.method === 'points' ? within.chunks : 0,
    snapshot: within.method === 'snapshot' ? { size: within.snapshot.size, sha256: within.sha256 } : null,
    config,
    payload_indexes: indexes,
    ...(within.method === 'snapshot' && within.sample ? { sample: within.sample } : {}),
    ...(within.method === 'snapshot' && fields.length > 0
      ? { references: { fields: [...fields], chunks: within.references.chunks } }
      : {}),
  };
  // A collection without points has no other entry that could report its tally.
  const tallies: Tallies =
    within.points.count === 0 && within.method === 'points'
      ? { [`points:${name}`]: { count: 0, digest: within.points.digest } }
      : {};
  return { piece: wholeEntry(configEntryName(name), configEntryBytes(entry)), tallies };
}

function deleted(name: string): IntegrityError {
  return new IntegrityError(`Collection "${name}" was deleted while it was being saved.`, {
    remedy: 'Start the backup again when collections are not being removed.',
  });
}
