import type { EntryPiece } from '../archive/format/types.ts';
import { wholeEntry } from '../archive/format/whole-entry.ts';
import { HASH_BYTES, MultisetDigest, type Tally } from '../core/digest.ts';
import { ReusableBuffer } from '../core/reusable-buffer.ts';

/** A record as stored in the archive. */
export interface EncodedLine {
  /** Its text, without the line ending. */
  readonly line: string;
  /** The text from which its digest is computed. */
  readonly canonical: string;
}

/** Buffers the lines of one entry after another, with the tally of their records. */
export class LineChunk {
  readonly #lines: ReusableBuffer;
  #count = 0;
  #digest = new MultisetDigest();

  /**
   * Takes the parameters of {@link ReusableBuffer}. Memory that an entry takes beyond `room` is released by
   * {@link clear}.
   */
  constructor(room: number, taken = 0) {
    this.#lines = new ReusableBuffer(room, taken);
  }

  /** Number of bytes so far. */
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

  /** Adds encoded lines, each with its line ending, and their hashes, concatenated. */
  addWritten(lines: Uint8Array, hashes: Uint8Array): void {
    this.#lines.append(lines);
    for (let at = 0; at < hashes.length; at += HASH_BYTES) {
      this.#digest.addHash(hashes, at);
      this.#count++;
    }
  }

  tally(): Tally {
    return { count: this.#count, digest: this.#digest.hex() };
  }

  /** Returns the whole entry. Its data is valid until {@link clear}. */
  piece(name: string): EntryPiece {
    return wholeEntry(name, this.#lines.view());
  }

  /** Resets the buffer for the next entry. */
  clear(): void {
    this.#lines.clear();
    this.#count = 0;
    this.#digest = new MultisetDigest();
  }
}
