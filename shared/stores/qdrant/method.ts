import { InvalidInputError } from '../../errors.ts';
import type { ConfigView } from './collections.ts';
import type { QdrantScope } from './connection.ts';

/**
 * Largest collection that is saved as a snapshot where we may choose, in estimated bytes. Loading a snapshot is one
 * request, which has to fit into one invocation of 15 minutes (AWS Lambda quota); at 20 MB/s this takes under 7.
 */
const SNAPSHOT_BYTES_MAX = 8 * 1024 ** 3;

/** Bytes of a collection's name with which the server can still make the names of its snapshot's files. */
const SNAPSHOT_NAME_BYTES_MAX = 128;

/** What decides how a collection can be saved. */
export interface MethodFacts {
  readonly view: ConfigView;
  /** Estimated bytes of its points. */
  readonly bytes: number;
  /** Servers in the cluster. */
  readonly peers: number;
}

/** How a collection is saved, and why. Throws InvalidInputError where the configuration asks for what can't be. */
export function chooseMethod(
  scope: QdrantScope,
  collection: string,
  { view, bytes, peers }: MethodFacts,
): { method: 'snapshot' | 'points'; reason: string } {
  const against = scope.filter
    ? 'only the points of one part of it are wanted, and a snapshot holds all'
    : peers > 1
      ? `the cluster has ${peers} servers, and a snapshot holds the shards of one`
      : Buffer.byteLength(collection) > SNAPSHOT_NAME_BYTES_MAX
        ? `its name is longer than ${SNAPSHOT_NAME_BYTES_MAX} bytes, too long for the file of a snapshot`
        : undefined;
  const custom = view.params.sharding_method === 'custom';
  if (scope.method === 'snapshot' && against) {
    throw new InvalidInputError(`Collection "${collection}" can't be saved by snapshot: ${against}.`, {
      remedy: 'Set "method" to "auto" or "points" in the scope of the vectors.',
    });
  }
  const points = scope.method === 'points' || against !== undefined;
  if (points && custom) {
    throw new InvalidInputError(
      `Collection "${collection}" has shard keys of its own (sharding_method custom), which points entries can't hold${against ? `; and ${against}` : ''}.`,
      {
        remedy:
          'Set "method" to "snapshot" where the cluster has one server; otherwise leave the collection out.',
      },
    );
  }
  if (scope.method === 'points') return { method: 'points', reason: 'the configuration asks for points' };
  if (against) return { method: 'points', reason: against };
  if (scope.method === 'snapshot')
    return { method: 'snapshot', reason: 'the configuration asks for snapshots' };
  if (bytes > SNAPSHOT_BYTES_MAX && !custom) {
    return {
      method: 'points',
      reason: `it has about ${Math.ceil(bytes / 1024 ** 3)} GiB, too much to load a snapshot of it in one request`,
    };
  }
  return { method: 'snapshot', reason: 'one server, whole collection: the fastest way' };
}
