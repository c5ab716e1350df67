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

/** Milliseconds that a clean-up waits for a server that still writes a snapshot, and between two looks at it. */
const UNTIL_WRITTEN_MS = 5 * 60_000;
const POLL_MS = 500;
/** Milliseconds beyond a leg's time that its last call may take: a Lambda function aborts 50 s after it (functions/step.ts). */
const GRACE_MS = 40_000;
/** Looks at a server that neither writes a snapshot nor lists it before it is taken for given up. */
const IDLE_LOOKS_MAX = 6;
/** How often the list of snapshots is asked for a checksum that the answer lacked. */
const CHECKSUM_LOOKS_MAX = 4;

const Snapshot = z.looseObject({
  name: z.string().min(1).max(512),
  size: z.number().int().positive(),
  // The server answers before the file with it is written: about one in thousands is an empty text (Qdrant 1.16).
  checksum: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullish()
    .catch(undefined),
});
/** A snapshot that lies on the server: name, size in bytes, SHA-256. */
export type Snapshot = z.infer<typeof Snapshot>;

/**
 * The server chooses a snapshot's name, so a process that dies before it reads the answer would leave a file that
 * nobody knows. Therefore an alias is put on the collection first, `ngbak-snapshot.<job>.<collection's hash>.after.<t>`
 * where t is the time in the newest snapshot's name so far, and replaced by `….is.<t>` once the new one's name is
 * known. Aliases survive crashes of ours and of the server, can't be mistaken, and are part of no snapshot.
 */
function markPrefix(jobId: string, collection?: string): string {
  const hash =
    collection === undefined ? '' : `${createHash('sha256').update(collection).digest('hex').slice(0, 16)}.`;
  return `${MARK}${jobId}.${hash}`;
}

/** The time in a snapshot's name, as the server writes it: `2025-10-06-14-30-00`; `0` where there is none. */
function timeOf(snapshotName: string): string {
  return /-(\d{4}(?:-\d\d){5})\.snapshot$/.exec(snapshotName)?.[1] ?? '0';
}

/** The snapshots of a collection; none where the collection is gone. */
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

/** Milliseconds that one call may take, which nothing can interrupt: as long as the leg lasts. */
function lastingMs(context: LegContext): number {
  return Math.max(0, context.timeLeft()) + GRACE_MS;
}

/** Bytes of an upload beside its file. */
export const UPLOAD_FRAME_BYTES = 1024;

/** Path by which snapshots are uploaded. */
export function uploadPath(collection: string): string {
  return collectionPath(collection, '/snapshots/upload?priority=snapshot&wait=true');
}

/** Path of a snapshot's file. */
export function snapshotPath(collection: string, name: string): string {
  return collectionPath(collection, `/snapshots/${pathSegment(name)}`);
}

/** Has the server write a snapshot, in a way that `removeSnapshots` finds it whatever happens. */
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
  // Within one second the server gives the same name twice: then the file is somebody else's as well.
  if (before.some(({ name }) => name === snapshot.name)) {
    throw new QdrantRefusedError(
      `Another client took a snapshot of collection "${collection}" in the same second.`,
      { remedy: 'Start the backup again.' },
    );
  }
  return snapshot.checksum ? snapshot : withChecksum(client, collection, snapshot, signal);
}

/**
 * One call that waits for the snapshot. A proxy may give up waiting before the server does: then the snapshot is looked
 * for as long as the server is at work. Throws UnavailableError where none comes to be, or the time is up.
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
      timeoutMs: lastingMs(context),
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
    const end = Date.now() + lastingMs(context);
    for (let idle = 0; idle < IDLE_LOOKS_MAX && Date.now() < end; ) {
      const writing = await isWriting(client, collection, signal);
      const [found, another] = (await listSnapshots(client, collection, signal)).filter(
        ({ name }) => !known.has(name) && timeOf(name) > newest,
      );
      // The file is listed while it grows; its checksum is written last. Two of them could both be ours.
      if (found && !another && !writing && (found.checksum || idle > 0)) return found;
      idle = writing ? 0 : idle + 1;
      await sleep(POLL_MS, undefined, { signal });
    }
    throw error;
  }
}

/** Looks up the checksum that the answer lacked. A server that has none does not get one by it. */
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
    if (listed?.checksum || attempt === CHECKSUM_LOOKS_MAX) return listed ?? snapshot;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/**
 * Removes the snapshots that this job had made, of one collection or of all, with their marks. Idempotent. Snapshots
 * of others stay: where a crash left several that could be ours, none is touched and the log names them. Says whether an
 * attempt was among them that was cut off before its snapshot was there.
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
    // The server continues to write when nobody waits for its answer any more.
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

/** Waits while the server writes a snapshot of the collection. Throws UnavailableError where that takes too long. */
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

/** What the server does with snapshots of a collection right now. */
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
    // A key that may take snapshots, but may not read this: then nobody can tell.
    if (error instanceof AccessDeniedError) return nothing;
    throw error;
  }
  const all = Running.safeParse(result).data?.collections.snapshots ?? [];
  return all.find(({ id }) => id === collection) ?? nothing;
}

/**
 * Loads a snapshot of ours over a collection, or makes the collection from it. The server answers when readers see the
 * new content; the file that it keeps of every upload is removed, also where it refused the content. Where a proxy gave
 * up waiting, the server is waited for.
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
      { timeoutMs: lastingMs(context), signal: context.signal },
    );
  } catch (error) {
    const waits = error instanceof UnavailableError && !context.signal.aborted;
    if (waits && (await isLoaded(client, collection, loaded, context))) {
      await removeSnapshot(client, collection, name, context.signal);
      return;
    }
    if (!context.signal.aborted) await discardRefused(client, collection, { name, existed }, context);
    throw error;
  }
  await removeSnapshot(client, collection, name, context.signal);
}

/** Waits while the server loads a snapshot that nobody waits for any more, and says whether its content is there. */
async function isLoaded(
  client: QdrantClient,
  collection: string,
  loaded: () => Promise<boolean>,
  context: LegContext,
): Promise<boolean> {
  const end = Date.now() + lastingMs(context);
  for (let idle = 0; Date.now() < end; ) {
    const busy = await isRecovering(client, collection, context.signal);
    if (!busy && (await isThere(loaded, context))) return true;
    idle = busy ? 0 : idle + 1;
    if (idle === IDLE_LOOKS_MAX) return false;
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
  return false;
}

/** A collection that was damaged by the load may answer nothing but errors: then its content is not there. */
async function isThere(loaded: () => Promise<boolean>, { signal }: LegContext): Promise<boolean> {
  try {
    return await loaded();
  } catch (error) {
    if (signal.aborted || !(error instanceof UnavailableError || error instanceof QdrantRefusedError))
      throw error;
    return false;
  }
}

/** After a failed upload. The failure itself matters more than what it left, so this one only logs. */
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
    // What became of the collection may be listed and yet know no snapshots; without a collection no call reaches the file.
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

/** Removes a snapshot's file; nothing happens where there is none. */
export async function removeSnapshot(
  client: QdrantClient,
  collection: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.call('DELETE', `${snapshotPath(collection, name)}?wait=true`, { signal });
  } catch (error) {
    // Gone already: what was to be reached.
    if (!(error instanceof QdrantNotFoundError)) throw error;
  }
}

/** The snapshot of an earlier leg. Throws IntegrityError where the server has lost it. */
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
