import { z } from 'zod';
import type { EntryPiece, EntryReader, IndexEntry } from '../../archive/format/types.ts';
import type { Json } from '../../core/json.ts';
import type { StoreName } from '../../core/store-names.ts';
import type { Shard } from '../export-step.ts';
import type { LegContext } from '../leg.ts';
import type { Store } from '../store.ts';
import type { ContentPiece } from './record-reader.ts';

/** A piece of the entries of a store. */
export interface SourcePiece {
  readonly piece: ContentPiece;
  /** The entries that belong to it. */
  readonly archive: EntryReader;
  /** Where the source continues after this piece; undefined if a leg may not end here. */
  readonly next: Json | undefined;
}

/** One side of a comparison: the entries of a store, from a position on. */
export interface RecordSource {
  pieces(from: Json): AsyncIterable<SourcePiece>;
}

/** A side without records. */
export const NO_SOURCE: RecordSource = {
  async *pieces() {
    yield* [];
  },
};

/** The last entry that was read, and how much of it; null if all of it was. */
const ArchivePosition = z.object({ entry: z.string(), offset: z.int().nonnegative().nullable() });

/**
 * The entries of a store in an archive.
 *
 * @param pieceBytes bytes after which reading an entry may be interrupted
 * @param isRead which entries are read
 */
export function archiveSource(
  archive: EntryReader,
  store: StoreName,
  pieceBytes = Number.POSITIVE_INFINITY,
  isRead: (entry: IndexEntry) => boolean = () => true,
): RecordSource {
  return {
    async *pieces(position) {
      const from = position === null ? null : ArchivePosition.parse(position);
      let isReached = from === null;
      for (const prefix of [`${store}/`, `references/${store}/`]) {
        for await (const entry of archive.entries(prefix)) {
          const isLast = entry.name === from?.entry;
          const start = isLast ? from?.offset : isReached ? 0 : null;
          isReached ||= isLast;
          if (start != null && isRead(entry)) yield* piecesOf(archive, entry, start, pieceBytes);
        }
      }
    },
  };
}

function* piecesOf(
  archive: EntryReader,
  entry: IndexEntry,
  start: number,
  pieceBytes: number,
): Generator<SourcePiece> {
  const { name, size } = entry;
  if (start === 0 && size <= pieceBytes) {
    // Read as a whole, so that its digest is checked.
    const piece = { name, size, offset: 0, length: size, data: archive.open(entry) };
    yield { piece, archive, next: { entry: name, offset: null } };
    return;
  }
  for (let offset = start; offset < size; offset += pieceBytes) {
    const length = Math.min(pieceBytes, size - offset);
    const piece = { name, size, offset, length, data: archive.open(entry, { offset, length }) };
    const end = offset + length;
    yield { piece, archive, next: { entry: name, offset: end < size ? end : null } };
  }
}

const LivePosition = z.object({ shard: z.int().nonnegative(), cursor: z.json() });

/** The entries that an export of a live store would have now. Nothing is written. */
export function liveSource(store: Store, shards: readonly Shard[], context: LegContext): RecordSource {
  return {
    async *pieces(position) {
      const from = position === null ? { shard: 0, cursor: null } : LivePosition.parse(position);
      for (let number = from.shard; number < shards.length; number++) {
        const shard = shards[number];
        if (!shard) return;
        const start = number === from.shard ? from.cursor : null;
        for await (const { piece, companions = [], next } of store.export(shard, start, context)) {
          const pieces = [piece, ...companions];
          const archive = archiveOf(pieces);
          const after: Json = { shard: next === null ? number + 1 : number, cursor: next };
          // A leg must not end between the pieces of one step.
          for (const one of pieces) {
            yield {
              piece: { ...one, data: contentOf(one) },
              archive,
              next: one === pieces.at(-1) ? after : undefined,
            };
          }
        }
      }
    },
  };
}

/** The pieces of one step of an export, as an archive. */
function archiveOf(pieces: readonly EntryPiece[]): EntryReader {
  const entries = pieces.map(({ name, size }) => ({ name, size, sha256: '', offset: 0, length: 0 }));
  return {
    async *entries(prefix) {
      yield* entries.filter(({ name }) => name.startsWith(prefix));
    },
    find: async (name) => entries.find((entry) => entry.name === name),
    async *open({ name }) {
      const piece = pieces.find((one) => one.name === name);
      if (piece) yield* contentOf(piece);
    },
  };
}

async function* contentOf({ data }: EntryPiece): AsyncGenerator<Uint8Array> {
  yield* data;
}
