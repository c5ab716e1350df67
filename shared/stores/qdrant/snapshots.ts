import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AccessDeniedError, describeError, IntegrityError, UnavailableError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
import type { QdrantClient } from './client.ts';
import {
  type AliasAction,
  changeAliases,
  dropCollection,
  listAliases,
  listCollections,
} from './collections.ts';
import { QdrantNotFoundError, QdrantRefusedError } from './errors.ts';
import { MARK, uploadName } from './names.ts';
import { collectionPath, pathSegment } from './paths.ts';

/**
 * Maximum time that a cleanup waits for a server that is still writing a snapshot, and the polling interval, in
 * milliseconds.
 */
const UNTIL_WRITTEN_MS = 5 * 60_000;
const POLL_MS = 500;
/**
 * How long a leg's last call may exceed the leg's time, in milliseconds: a Lambda function is
 * aborted 50 s after it (functions/step.ts).
 */
const GRACE_MS = 40_000;
/**
 * Number of consecutive checks finding a server that neither works on a snapshot nor has it, after which the snapshot
 * is considered failed.
 */
const IDLE_POLLS_MAX = 6;
/** How often the list of snapshots is read to get a checksum that was missing from the response. */
const CHECKSUM_POLLS_MAX = 4;

const Snapshot = z.looseObject({
  name: z.string().min(1).max(512),
  size: z.number().int().positive(),
  // The server may respond before it has written the checksum file: about one response in thousands has an empty text
  // (Qdrant 1.16).
  checksum: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullish()
    .catch(undefined),
});
/** A snapshot on the server: name, size in bytes, SHA-256. */
export type Snapshot = z.infer<typeof Snapshot>;

/**
 * The server chooses a snapshot's name, so a process that dies before it reads the response would leave an unknown file
 * behind. Therefore an alias is first added to the collection, `ngbak-snapshot.<job>.<collection's hash>.after.<t>`,
 * where t is the time in the name of the newest existing snapshot. It is replaced by `….is.<t>` once the name of the
 * new snapshot is known. Aliases survive crashes of ngbak and of the server, are unambiguous, and are not part of
 * snapshots.
 */
function markPrefix(jobId: string, collection?: string): string {
  const hash =
    collection === undefined ? '' : `${createHash('sha256').update(collection).digest('hex').slice(0, 16)}.`;
  return `${MARK}${jobId}.${hash}`;
}

/** The time in a snapshot's name, as the server writes it: `2025-10-06-14-30-00`; `0` if there is none. */
function timeOf(snapshotName: string): string {
  return /-(\d{4}(?:-\d\d){5})\.snapshot$/.exec(snapshotName)?.[1] ?? '0';
}

/** The snapshots of a collection; empty if the collection does not exist. */
export async function listSnapshots(
  client: QdrantClient,
  collection: string,
  signal: AbortSignal,
): Promise<Snapshot[]> {
  try {
    const result = await client.call('GET', collectionPath(collection, '/snapshots'), { signal });
    return z.array(Snapshot).parse(result);
  } catch (error) {
    if (error instanceof QdrantNotFoundError) return [];
    throw error;
  }
}

/**
 * Timeout of a call that cannot be interrupted, in milliseconds: the remaining time of the leg, plus the grace period.
 */
function callMs(context: LegContext): number {
  return Math.max(0, context.timeLeft()) + GRACE_MS;
}

/** Size of an upload in addition to its file, in bytes. */
export const UPLOAD_FRAME_BYTES = 1024;

/** Path for uploading snapshots. */
export function uploadPath(collection: string): string {
  return collectionPath(collection, '/snapshots/upload?priority=snapshot&wait=true');
}

/** Path of a snapshot's file. */
export function snapshotPath(collection: string, name: string): string {
  return collectionPath(collection, `/snapshots/${pathSegment(name)}`);
}

/** Makes the server write a snapshot, marked so that `removeSnapshots` finds it after any failure. */
export async function createSnapshot(
  client: QdrantClient,
  collection: string,
  context: LegContext,
): Promise<Snapshot> {
  const { signal } = context;
  const before = await listSnapshots(client, collection, signal);
  const newest =
    before
      .map(({ name }) => timeOf(name))
      .sort()
      .at(-1) ?? '0';
  const prefix = markPrefix(context.jobId, collection);
  const mark = `${prefix}after.${newest}`;
  await changeAliases(client, [{ create_alias: { collection_name: collection, alias_name: mark } }], signal);
  const snapshot = await write(client, collection, before, newest, context);
  if (timeOf(snapshot.name) === '0') {
    throw new QdrantRefusedError(
      `Qdrant named a snapshot of collection "${collection}" in an unknown way: ${snapshot.name}.`,
      { remedy: 'Remove it on the server, and set "method" to "points" in the scope.' },
    );
  }
  await changeAliases(
    client,
    [
      { create_alias: { collection_name: collection, alias_name: `${prefix}is.${timeOf(snapshot.name)}` } },
      { delete_alias: { alias_name: mark } },
    ],
    signal,
  );
  // The server reuses a name within the same second: then the file is also another client's snapshot.
  if (before.some(({ name }) => name === snapshot.name)) {
    throw new QdrantRefusedError(
      `Another client took a snapshot of collection "${collection}" in the same second.`,
      { remedy: 'Start the backup again.' },
    );
  }
  return snapshot.checksum ? snapshot : withChecksum(client, collection, snapshot, signal);
}

/**
 * Makes one call that waits for the snapshot. If a proxy times out before the server is done, polls for the snapshot as
 * long as the server is working on it. Throws UnavailableError if no snapshot appears, or the time runs out.
 */
async function write(
  client: QdrantClient,
  collection: string,
  before: readonly Snapshot[],
  newest: string,
  context: LegContext,
): Promise<Snapshot> {
  const { signal } = context;
  try {
    const result = await client.call('POST', collectionPath(collection, '/snapshots?wait=true'), {
      signal,
      timeoutMs: callMs(context),
      repeat: false,
    });
    return Snapshot.parse(result);
  } catch (error) {
    if (signal.aborted || !(error instanceof UnavailableError)) throw error;
    context.log('The call that creates a snapshot was interrupted: looking for the snapshot on the server.', {
      collection,
      error: describeError(error),
    });
    const known = new Set(before.map(({ name }) => name));
    const end = Date.now() + callMs(context);
    for (let idle = 0; idle < IDLE_POLLS_MAX && Date.now() < end; ) {
      const writing = await isWriting(client, collection, signal);
      const [found, another] = (await listSnapshots(client, collection, signal)).filter(
        ({ name }) => !known.has(name) && timeOf(name) > newest,
      );
      // The file is listed while it grows; its checksum is written last. If there are two new files, either could be
      // ours.
      if (found && !another && !writing && (found.checksum || idle > 0)) return found;
      idle = writing ? 0 : idle + 1;
      await sleep(POLL_MS, undefined, { signal });
    }
    throw error;
  }
}

/** Looks up the checksum that was missing from the response. It stays missing if the server stores no checksums. */
async function withChecksum(
  client: QdrantClient,
  collection: string,
  snapshot: Snapshot,
  signal: AbortSignal,
): Promise<Snapshot> {
  for (let attempt = 1; ; attempt++) {
    const listed = (await listSnapshots(client, collection, signal)).find(
      ({ name }) => name === snapshot.name,
    );
    if (listed?.checksum || attempt === CHECKSUM_POLLS_MAX) return listed ?? snapshot;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/**
 * Removes this job's snapshots, of one collection or of all, and their marks. Idempotent. Snapshots of other clients
 * are kept: if several could be ours after a crash, none is removed and the log lists them. `unfinished` is true if an
 * attempt was interrupted before its snapshot was complete.
 */
export async function removeSnapshots(
  client: QdrantClient,
  context: LegContext,
  collection?: string,
): Promise<{ unfinished: boolean }> {
  let unfinished = false;
  const prefix = markPrefix(context.jobId, collection);
  const marks = (await listAliases(client, context.signal)).filter(({ alias }) => alias.startsWith(prefix));
  for (const mark of marks) {
    const [, state, time = '0'] = /\.(is|after)\.([0-9-]+)$/.exec(mark.alias) ?? [];
    // The server continues to write a snapshot after the client has disconnected.
    unfinished ||= state !== 'is';
    if (state !== 'is') await untilWritten(client, mark.collection, context);
    const snapshots = await listSnapshots(client, mark.collection, context.signal);
    const owned = snapshots.filter(({ name }) =>
      state === 'is' ? timeOf(name) === time : timeOf(name) > time,
    );
    if (owned.length > 1) {
      context.log('Snapshots may belong to other clients: not deleted.', {
        collection: mark.collection,
        snapshots: owned.map(({ name }) => name).slice(0, 10),
      });
    } else {
      for (const { name } of owned) await removeSnapshot(client, mark.collection, name, context.signal);
    }
    const actions: AliasAction[] = [{ delete_alias: { alias_name: mark.alias } }];
    await changeAliases(client, actions, context.signal);
  }
  return { unfinished };
}

const Running = z.looseObject({
  collections: z.looseObject({
    snapshots: z
      .array(
        z.looseObject({
          id: z.string(),
          running_snapshots: z.number(),
          running_snapshot_recovery: z.number().optional(),
        }),
      )
      .optional(),
  }),
});

/** Waits while the server is writing a snapshot of the collection. Throws UnavailableError if that takes too long. */
async function untilWritten(client: QdrantClient, collection: string, context: LegContext): Promise<void> {
  const end = Date.now() + Math.min(UNTIL_WRITTEN_MS, Math.max(0, context.timeLeft()));
  while (await isWriting(client, collection, context.signal)) {
    if (Date.now() >= end) {
      throw new UnavailableError(
        `The Qdrant server is still writing a snapshot of collection "${collection}".`,
        {
          remedy: `When it is done, remove the snapshot and the alias "${markPrefix(context.jobId, collection)}…".`,
        },
      );
    }
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
}

async function isWriting(client: QdrantClient, collection: string, signal: AbortSignal): Promise<boolean> {
  return (await running(client, collection, signal)).running_snapshots > 0;
}

async function isRecovering(client: QdrantClient, collection: string, signal: AbortSignal): Promise<boolean> {
  return ((await running(client, collection, signal)).running_snapshot_recovery ?? 0) > 0;
}

/** The snapshot operations that the server is currently running for a collection. */
async function running(
  client: QdrantClient,
  collection: string,
  signal: AbortSignal,
): Promise<{ running_snapshots: number; running_snapshot_recovery?: number | undefined }> {
  const nothing = { running_snapshots: 0 };
  let result: unknown;
  try {
    result = await client.call('GET', '/telemetry?details_level=2', { signal });
  } catch (error) {
    // A key may have permission to take snapshots but not to read telemetry: then the state is unknown.
    if (error instanceof AccessDeniedError) return nothing;
    throw error;
  }
  const all = Running.safeParse(result).data?.collections.snapshots ?? [];
  return all.find(({ id }) => id === collection) ?? nothing;
}

/**
 * Loads one of our snapshots over a collection, or creates the collection from it. The server responds when readers see
 * the new content. It keeps every uploaded file, even if it rejected the content, so the file is removed afterwards. If
 * a proxy times out, waits for the server.
 *
 * @param loaded whether the collection has the content of the file
 */
export async function uploadSnapshot(
  client: QdrantClient,
  collection: string,
  file: { size: number; sha256: string; open: () => AsyncIterable<Uint8Array> },
  loaded: () => Promise<boolean>,
  context: LegContext,
): Promise<void> {
  const name = uploadName(context.jobId);
  const existed = (await listCollections(client, context.signal)).includes(collection);
  try {
    await client.upload(
      `${uploadPath(collection)}&checksum=${file.sha256}`,
      { name, size: file.size, open: file.open },
      { timeoutMs: callMs(context), signal: context.signal },
    );
  } catch (error) {
    const canPoll = error instanceof UnavailableError && !context.signal.aborted;
    if (canPoll && (await isLoaded(client, collection, loaded, context))) {
      await removeSnapshot(client, collection, name, context.signal);
      return;
    }
    if (!context.signal.aborted) await discardRefused(client, collection, { name, existed }, context);
    throw error;
  }
  await removeSnapshot(client, collection, name, context.signal);
}

/** Waits while the server loads a snapshot after the connection was lost. Returns whether the content was loaded. */
async function isLoaded(
  client: QdrantClient,
  collection: string,
  loaded: () => Promise<boolean>,
  context: LegContext,
): Promise<boolean> {
  const end = Date.now() + callMs(context);
  for (let idle = 0; Date.now() < end; ) {
    const busy = await isRecovering(client, collection, context.signal);
    if (!busy && (await checkLoaded(loaded, context))) return true;
    idle = busy ? 0 : idle + 1;
    if (idle === IDLE_POLLS_MAX) return false;
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
  return false;
}

/** A collection damaged by the load may answer every request with an error: then the content was not loaded. */
async function checkLoaded(loaded: () => Promise<boolean>, { signal }: LegContext): Promise<boolean> {
  try {
    return await loaded();
  } catch (error) {
    if (signal.aborted || !(error instanceof UnavailableError || error instanceof QdrantRefusedError))
      throw error;
    return false;
  }
}

/** Cleans up after a failed upload. Only logs its own failures, because the failure of the upload is more important. */
async function discardRefused(
  client: QdrantClient,
  collection: string,
  { name, existed }: { readonly name: string; readonly existed: boolean },
  context: LegContext,
): Promise<void> {
  const { signal } = context;
  try {
    if (existed) {
      await removeSnapshot(client, collection, name, signal);
      return;
    }
    // The failed collection may be listed without having any snapshots, and the file cannot be accessed without a
    // collection. Therefore create it again, empty, to remove the file.
    await dropCollection(client, collection, signal);
    await client.call('PUT', collectionPath(collection), { body: '{}', signal });
    await removeSnapshot(client, collection, name, signal);
    await dropCollection(client, collection, signal);
  } catch (error) {
    context.log('Could not remove an uploaded snapshot from the server.', {
      collection,
      snapshot: name,
      error: describeError(error),
    });
  }
}

/** Removes a snapshot's file. Does nothing if it does not exist. */
export async function removeSnapshot(
  client: QdrantClient,
  collection: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.call('DELETE', `${snapshotPath(collection, name)}?wait=true`, { signal });
  } catch (error) {
    if (!(error instanceof QdrantNotFoundError)) throw error;
  }
}

/** Checks that the snapshot of an earlier leg still exists. Throws IntegrityError if the server has lost it. */
export async function findSnapshot(
  client: QdrantClient,
  collection: string,
  wanted: Pick<Snapshot, 'name' | 'size'>,
  signal: AbortSignal,
): Promise<void> {
  const found = (await listSnapshots(client, collection, signal)).find(({ name }) => name === wanted.name);
  if (found?.size === wanted.size) return;
  throw new IntegrityError(
    `Snapshot ${wanted.name} of collection "${collection}" ${found ? 'changed its size' : 'vanished from the server'} while it was being saved.`,
    { remedy: 'Find out what removes snapshots on the server, then start the backup again.' },
  );
}
