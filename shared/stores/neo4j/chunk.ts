import type { EntryPiece } from '../../archive/types.ts';
import { MultisetDigest, type Tally } from '../../digest.ts';
import { ReusableBuffer } from '../reusable-buffer.ts';
import type { EncodedLine } from './lines.ts';

/** An entry is closed once it has this many bytes, uncompressed: a few seconds of work, and all that is held. */
export const CHUNK_BYTES = 4 * 1024 ** 2;
/** Room of a chunk, in bytes: the line that makes it full is whole. */
const ROOM_BYTES = CHUNK_BYTES + 256 * 1024;

/** Lines on their way into one entry, with the tally of their records. */
export class Chunk {
  readonly #lines = new ReusableBuffer(ROOM_BYTES);
  #count = 0;
  #digest = new MultisetDigest();

  /** Bytes so far. */
  get bytes(): number {
    return this.#lines.length;
  }

  get count(): number {
    return this.#count;
  }

  add({ line, canonical }: EncodedLine): void {
    this.#lines.write(line);
    this.#lines.write('\n');
    this.#count++;
    this.#digest.add(canonical);
  }

  tally(): Tally {
    return { count: this.#count, digest: this.#digest.hex() };
  }

  /** The whole entry; its data is there until {@link clear}. */
  piece(name: string): EntryPiece {
    const size = this.bytes;
    return { name, size, offset: 0, length: size, data: [this.#lines.view()] };
  }

  /** Makes room for the next entry. */
  clear(): void {
    this.#lines.clear();
    this.#count = 0;
    this.#digest = new MultisetDigest();
  }
}
