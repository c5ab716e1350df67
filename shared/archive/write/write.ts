import { IntegrityError } from '../../core/errors.ts';
import type { Codec } from '../format/codec.ts';
import type { IndexLine } from '../format/lines.ts';
import type { Manifest, ManifestDraft } from '../format/manifest.ts';
import type { EntryPiece } from '../format/types.ts';
import { encodeSegment } from './segment.ts';
import { encodeTail } from './tail.ts';

/** An entry after it was written. */
export type WrittenEntry = Pick<IndexLine, 'name' | 'size' | 'sha256'>;

export interface WriteOptions {
  readonly codec: Codec;
  readonly level?: number;
  /** Maximum size of a member, in uncompressed bytes. */
  readonly memberBytes?: number;
  readonly signal?: AbortSignal;
}

/**
 * Streams a whole archive in a single process: files on a disk, tests, rewritten archives. `manifest` may be a
 * function of the written entries, called after all pieces were consumed. Returns the finished manifest. Holds the
 * index in memory, about 300 bytes per entry.
 */
export async function* writeArchive(
  pieces: AsyncIterable<EntryPiece>,
  manifest: ManifestDraft | ((entries: readonly WrittenEntry[]) => ManifestDraft),
  options: WriteOptions,
): AsyncGenerator<Buffer, Manifest> {
  const data = yield* encodeSegment(pieces, { ...options, name: 'archive' }, null);
  if (data.open !== null) {
    throw new IntegrityError(
      `The archive's data ends within ${data.open.name}, after ${data.open.written} of ${data.open.size} bytes.`,
      { remedy: 'Start again, and report this as a bug in ngbak.' },
    );
  }
  const entries = async function* (): AsyncGenerator<IndexLine> {
    yield* data.entries;
  };
  return yield* encodeTail({
    codec: options.codec,
    ...(options.level === undefined ? {} : { level: options.level }),
    entries,
    offset: data.bytes,
    manifest: typeof manifest === 'function' ? manifest(data.entries) : manifest,
  });
}
