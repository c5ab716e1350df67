import { InvalidInputError } from '../../core/errors.ts';
import { type ConfigView, denseVectors, vectorBytes } from './collections.ts';
import type { QdrantScope } from './connection.ts';

/** Bytes that a server is sure to write or to take of a snapshot each second. */
export const UPLOAD_BYTES_PER_SECOND = 20 * 1024 ** 2;
/** Seconds that one call may take: a Lambda function lives 15 minutes, and needs one for its own. */
const CALL_SECONDS_MAX = 14 * 60;

/**
 * Largest collection that is saved as a snapshot where we may choose, in estimated bytes. Loading a snapshot is one
 * request, which has to fit into one invocation of 15 minutes (AWS Lambda quota); at 20 MB/s this takes under 7.
 */
const SNAPSHOT_BYTES_MAX = 8 * 1024 ** 3;

/** Bytes of a collection's name with which the server can still make the names of its snapshot's files. */
const SNAPSHOT_NAME_BYTES_MAX = 128;

/** Types of vectors that come back as they were, or with a rounding that is known (see compare.ts). */
const EXACT_TYPES = new Set(['float32', 'float16', 'uint8']);

/** Bytes of a point in a snapshot beside its vectors and their links, where nobody knows. */
const PAYLOAD_BYTES_GUESS = 1024;
/** Bytes of one link of the vector index, and links of a point for each `m` (HNSW: twice in its lowest layer). */
const LINK_BYTES = 4;
const LINKS_PER_M = 2.5;
const M_DEFAULT = 16;

/** Bytes of a snapshot of a collection, roughly: vectors, the links of their index, and payload. */
export function snapshotBytes(view: ConfigView, count: number): number {
  const vectors = Object.keys(denseVectors(view)).length;
  const m = view.hnsw_config?.m ?? M_DEFAULT;
  return Math.ceil(
    count * (vectorBytes(view) + vectors * m * LINKS_PER_M * LINK_BYTES + PAYLOAD_BYTES_GUESS),
  );
}

/** What decides how a collection can be saved. */
export interface MethodFacts {
  readonly view: ConfigView;
  /** Estimated bytes of a snapshot of it. */
  readonly bytes: number;
  /** Servers in the cluster. */
  readonly peers: number;
}

/** Whether points entries can hold a collection. */
export function canBePoints(view: ConfigView): boolean {
  const exact = Object.values(denseVectors(view)).every(
    ({ datatype }) => datatype == null || EXACT_TYPES.has(datatype),
  );
  return exact && view.params.sharding_method !== 'custom';
}

/** How a collection is saved, and why. Throws InvalidInputError where the configuration asks for what can't be. */
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
      `Collection "${collection}" has shard keys of its own (sharding_method custom), which points entries cannot represent${against ? `; and ${against}` : ''}.`,
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
  const whole = custom || unknown !== undefined;
  if ((scope.method === 'snapshot' || whole) && bytes > UPLOAD_BYTES_PER_SECOND * CALL_SECONDS_MAX) {
    throw new InvalidInputError(
      `Collection "${collection}" has about ${Math.ceil(bytes / 1024 ** 3)} GiB, more than a server can reliably write as a snapshot, or load from one, within ${CALL_SECONDS_MAX / 60} minutes, the time limit of a call.`,
      {
        remedy: whole
          ? 'Exclude it from the scope, and back it up with the tools of Qdrant: it cannot be saved as points.'
          : 'Set "method" to "points" (or "auto") in the scope of the vectors.',
      },
    );
  }
  if (scope.method === 'snapshot')
    return { method: 'snapshot', reason: 'the configuration asks for snapshots' };
  if (bytes > SNAPSHOT_BYTES_MAX && !whole) {
    return {
      method: 'points',
      reason: `it has about ${Math.ceil(bytes / 1024 ** 3)} GiB, too much to load a snapshot of it in one request`,
    };
  }
  return { method: 'snapshot', reason: 'one server, whole collection: the fastest way' };
}
