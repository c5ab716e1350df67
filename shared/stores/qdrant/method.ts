import { InvalidInputError } from '../../core/errors.ts';
import { type ConfigView, denseVectors, vectorBytes } from './collections.ts';
import type { QdrantScope } from './connection.ts';

/** Assumed minimum rate at which a server writes or receives a snapshot, in bytes per second. */
export const UPLOAD_BYTES_PER_SECOND = 20 * 1024 ** 2;
/**
 * Maximum duration of one call in seconds: a Lambda function may run for 15 minutes, one of which it needs for itself.
 */
const CALL_SECONDS_MAX = 14 * 60;

/**
 * Maximum estimated size in bytes of a collection that is saved by snapshot when the method can be chosen freely.
 * Loading a snapshot is a single request, which must fit into one invocation of 15 minutes (AWS Lambda quota); at 20
 * MB/s, this size takes less than 7 minutes.
 */
const SNAPSHOT_BYTES_MAX = 8 * 1024 ** 3;

/** Maximum length of a collection's name, in bytes, for which the server can form the file names of a snapshot. */
const SNAPSHOT_NAME_BYTES_MAX = 128;

/** Vector types that are restored exactly, or with a known rounding (see compare.ts). */
const EXACT_TYPES = new Set(['float32', 'float16', 'uint8']);

/** Assumed size in bytes of a point in a snapshot, not counting its vectors and their links. */
const PAYLOAD_BYTES_GUESS = 1024;
/**
 * Bytes per link of the vector index, and links per point for each unit of `m` (HNSW has twice as many in its lowest
 * layer).
 */
const LINK_BYTES = 4;
const LINKS_PER_M = 2.5;
const M_DEFAULT = 16;

/** Estimates the size of a collection's snapshot in bytes: vectors, the links of their index, and payload. */
export function snapshotBytes(view: ConfigView, count: number): number {
  const vectors = Object.keys(denseVectors(view)).length;
  const m = view.hnsw_config?.m ?? M_DEFAULT;
  return Math.ceil(
    count * (vectorBytes(view) + vectors * m * LINKS_PER_M * LINK_BYTES + PAYLOAD_BYTES_GUESS),
  );
}

/** Facts that determine how a collection can be saved. */
export interface MethodFacts {
  readonly view: ConfigView;
  /** Estimated size of its snapshot. */
  readonly bytes: number;
  /** Number of servers in the cluster. */
  readonly peers: number;
}

/** Whether a collection can be saved as points entries. */
export function canBePoints(view: ConfigView): boolean {
  const exact = Object.values(denseVectors(view)).every(
    ({ datatype }) => datatype == null || EXACT_TYPES.has(datatype),
  );
  return exact && view.params.sharding_method !== 'custom';
}

/**
 * Chooses how a collection is saved, with the reason. Throws InvalidInputError if the configured method is not
 * possible.
 */
export function chooseMethod(
  scope: QdrantScope,
  collection: string,
  { view, bytes, peers }: MethodFacts,
): { method: 'snapshot' | 'points'; reason: string } {
  const against = scope.filter
    ? 'only a part of its points is in the scope, and a snapshot contains all'
    : peers > 1
      ? `the cluster has ${peers} servers, and a snapshot contains the shards of one`
      : Buffer.byteLength(collection) > SNAPSHOT_NAME_BYTES_MAX
        ? `its name is longer than ${SNAPSHOT_NAME_BYTES_MAX} bytes, too long for the file of a snapshot`
        : undefined;
  const custom = view.params.sharding_method === 'custom';
  const unknown = Object.values(denseVectors(view)).find(
    ({ datatype }) => datatype != null && !EXACT_TYPES.has(datatype),
  );
  if (scope.method === 'snapshot' && against) {
    throw new InvalidInputError(`Collection "${collection}" can't be saved by snapshot: ${against}.`, {
      remedy: 'Set "method" to "auto" or "points" in the scope of the vectors.',
    });
  }
  const points = scope.method === 'points' || against !== undefined;
  if (points && custom) {
    throw new InvalidInputError(
      `Collection "${collection}" has custom shard keys (sharding_method custom), which points entries cannot represent${against ? `; and ${against}` : ''}.`,
      {
        remedy:
          'Set "method" to "snapshot" where the cluster has one server; otherwise leave the collection out.',
      },
    );
  }
  if (points && unknown) {
    throw new InvalidInputError(
      `Collection "${collection}" has vectors of type "${unknown.datatype}", which a server may change when they are loaded as points${against ? `; and ${against}` : ''}.`,
      { remedy: 'Set "method" to "snapshot" or "auto" in the scope of the vectors.' },
    );
  }
  if (scope.method === 'points') return { method: 'points', reason: 'the configuration asks for points' };
  if (against) return { method: 'points', reason: against };
  const snapshotRequired = custom || unknown !== undefined;
  if (
    (scope.method === 'snapshot' || snapshotRequired) &&
    bytes > UPLOAD_BYTES_PER_SECOND * CALL_SECONDS_MAX
  ) {
    throw new InvalidInputError(
      `Collection "${collection}" has about ${Math.ceil(bytes / 1024 ** 3)} GiB, more than a server can reliably write as a snapshot, or load from one, within ${CALL_SECONDS_MAX / 60} minutes, the time limit of a call.`,
      {
        remedy: snapshotRequired
          ? 'Exclude it from the scope, and back it up with the tools of Qdrant: it cannot be saved as points.'
          : 'Set "method" to "points" (or "auto") in the scope of the vectors.',
      },
    );
  }
  if (scope.method === 'snapshot')
    return { method: 'snapshot', reason: 'the configuration asks for snapshots' };
  if (bytes > SNAPSHOT_BYTES_MAX && !snapshotRequired) {
    return {
      method: 'points',
      reason: `it has about ${Math.ceil(bytes / 1024 ** 3)} GiB, too much to load a snapshot of it in one request`,
    };
  }
  return { method: 'snapshot', reason: 'one server, whole collection: the fastest way' };
}
