import type { EntryPiece } from '../../archive/types.ts';
import { MultisetDigest, type Tally } from '../../digest.ts';
import type { EncodedLine } from './lines.ts';

/** An entry is closed once it has this many bytes, uncompressed: a few seconds of work, and all that is held. */
export const CHUNK_BYTES = 4 * 1024 ** 2;
/** Room of a chunk, in bytes: the line that makes it full is whole. Memory that nothing was written to costs nothing. */
const ROOM_BYTES = CHUNK_BYTES + 256 * 1024;

/** Lines on their way into one entry, with the tally of their records. Their bytes are kept in one buffer, filled anew. */
export class Chunk {
  #buffer = Buffer.allocUnsafeSlow(ROOM_BYTES);
  #bytes = 0;
  #count = 0;
  #digest = new MultisetDigest();

  /** Bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#count;
  }

  add({ line, canonical }: EncodedLine): void {
    // Three bytes of UTF-8 for each unit of UTF-16 at most.
    this.#reserve(line.length * 3 + 1);
    this.#bytes += this.#buffer.write(line, this.#bytes);
    this.#bytes = this.#buffer.writeUInt8(0x0a, this.#bytes);
    this.#count++;
    this.#digest.add(canonical);
  }

  tally(): Tally {
    return { count: this.#count, digest: this.#digest.hex() };
  }

  /** The whole entry; its data is there until {@link clear}. */
  piece(name: string): EntryPiece {
    const data = [this.#buffer.subarray(0, this.#bytes)];
    return { name, size: this.#bytes, offset: 0, length: this.#bytes, data };
  }

  /** Makes room for the next entry. */
  clear(): void {
    this.#bytes = 0;
    this.#count = 0;
    this.#digest = new MultisetDigest();
    // What one very long line took is given back.
    if (this.#buffer.length > ROOM_BYTES) this.#buffer = Buffer.allocUnsafeSlow(ROOM_BYTES);
  }

  #reserve(bytes: number): void {
    const needed = this.#bytes + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#bytes);
    this.#buffer = larger;
  }
}
