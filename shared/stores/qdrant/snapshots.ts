import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AccessDeniedError, describeError, IntegrityError, UnavailableError } from '../../errors.ts';
import type { LegContext } from '../port.ts';
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

/** Milliseconds that a server may take to write a snapshot, or to load one. */
export const SNAPSHOT_TIMEOUT_MS = 30 * 60_000;

/** Milliseconds that a clean-up waits for a server that still writes a snapshot, and between two looks at it. */
const UNTIL_WRITTEN_MS = 5 * 60_000;
const POLL_MS = 500;
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
  // What an attempt of this job left behind that was cut off.
  await removeSnapshots(client, context, collection);
  const before = await listSnapshots(client, collection, signal);
  const newest =
    before
      .map(({ name }) => timeOf(name))
      .sort()
      .at(-1) ?? '0';
  const prefix = markPrefix(context.jobId, collection);
  const mark = `${prefix}after.${newest}`;
  await changeAliases(client, [{ create_alias: { collection_name: collection, alias_name: mark } }], signal);
  const result = await client.call('POST', collectionPath(collection, '/snapshots?wait=true'), {
    signal,
    timeoutMs: SNAPSHOT_TIMEOUT_MS,
    repeat: false,
  });
  const snapshot = Snapshot.parse(result);
  if (timeOf(snapshot.name) === '0') {
    throw new QdrantRefusedError(
      `Qdrant named a snapshot of collection "${collection}" in a way that we do not know: ${snapshot.name}.`,
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
      `Somebody else took a snapshot of collection "${collection}" in the same second.`,
      { remedy: 'Start the backup again.' },
    );
  }
  return snapshot.checksum ? snapshot : withChecksum(client, collection, snapshot, signal);
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
 * of others stay: where a crash left several that could be ours, none is touched and the log names them.
 */
export async function removeSnapshots(
  client: QdrantClient,
  context: LegContext,
  collection?: string,
): Promise<void> {
  const prefix = markPrefix(context.jobId, collection);
  const marks = (await listAliases(client, context.signal)).filter(({ alias }) => alias.startsWith(prefix));
  for (const mark of marks) {
    const [, state, time = '0'] = /\.(is|after)\.([0-9-]+)$/.exec(mark.alias) ?? [];
    // The server goes on writing when nobody waits for its answer any more.
    if (state !== 'is') await untilWritten(client, mark.collection, context);
    const snapshots = await listSnapshots(client, mark.collection, context.signal);
    const ours = snapshots.filter(({ name }) =>
      state === 'is' ? timeOf(name) === time : timeOf(name) > time,
    );
    if (ours.length > 1) {
      context.log('Snapshots may be ours or not: left alone.', {
        collection: mark.collection,
        snapshots: ours.map(({ name }) => name).slice(0, 10),
      });
    } else {
      for (const { name } of ours) await removeSnapshot(client, mark.collection, name, context.signal);
    }
    const actions: AliasAction[] = [{ delete_alias: { alias_name: mark.alias } }];
    await changeAliases(client, actions, context.signal);
  }
}

const Running = z.looseObject({
  collections: z.looseObject({
    snapshots: z.array(z.looseObject({ id: z.string(), running_snapshots: z.number() })).optional(),
  }),
});

/** Waits while the server writes a snapshot of the collection. Throws UnavailableError where that takes too long. */
async function untilWritten(client: QdrantClient, collection: string, context: LegContext): Promise<void> {
  const end = Date.now() + Math.min(UNTIL_WRITTEN_MS, Math.max(0, context.timeLeft()));
  while (await isWriting(client, collection, context.signal)) {
    if (Date.now() >= end) {
      throw new UnavailableError(`The Qdrant server still writes a snapshot of collection "${collection}".`, {
        remedy: `When it is done, remove the snapshot and the alias "${markPrefix(context.jobId, collection)}…".`,
      });
    }
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
}

async function isWriting(client: QdrantClient, collection: string, signal: AbortSignal): Promise<boolean> {
  let result: unknown;
  try {
    result = await client.call('GET', '/telemetry?details_level=2', { signal });
  } catch (error) {
    // A key that may take snapshots, but may not read this: then nobody can tell.
    if (error instanceof AccessDeniedError) return false;
    throw error;
  }
  const running = Running.safeParse(result).data?.collections.snapshots ?? [];
  return running.some(({ id, running_snapshots }) => id === collection && running_snapshots > 0);
}

/**
 * Loads a snapshot of ours over a collection, or makes the collection from it. The server answers when readers see the
 * new content; the file that it keeps of every upload is removed, also where it refused the content.
 */
export async function uploadSnapshot(
  client: QdrantClient,
  collection: string,
  file: { size: number; sha256: string; open: () => AsyncIterable<Uint8Array> },
  context: LegContext,
): Promise<void> {
  const name = uploadName(context.jobId);
  const query = `priority=snapshot&wait=true&checksum=${file.sha256}`;
  try {
    await client.upload(
      collectionPath(collection, `/snapshots/upload?${query}`),
      { name, size: file.size, open: file.open },
      { timeoutMs: SNAPSHOT_TIMEOUT_MS, signal: context.signal },
    );
  } catch (error) {
    if (!context.signal.aborted) await discardRefused(client, collection, name, context);
    throw error;
  }
  await removeSnapshot(client, collection, name, context.signal);
}

/** After a failed upload. The failure itself matters more than what it left, so this one only tells. */
async function discardRefused(
  client: QdrantClient,
  collection: string,
  name: string,
  context: LegContext,
): Promise<void> {
  const { signal } = context;
  try {
    const exists = (await listCollections(client, signal)).includes(collection);
    // Without its collection no call reaches the file.
    if (!exists) await client.call('PUT', collectionPath(collection), { body: '{}', signal });
    await removeSnapshot(client, collection, name, signal);
    if (!exists) await dropCollection(client, collection, signal);
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
    { remedy: 'See who removes snapshots on the server, then start the backup again.' },
  );
}
