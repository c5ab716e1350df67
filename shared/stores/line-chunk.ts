import type { EntryPiece } from '../archive/format/types.ts';
import { wholeEntry } from '../archive/format/whole-entry.ts';
import { HASH_BYTES, MultisetDigest, type Tally } from '../core/digest.ts';
import { ReusableBuffer } from '../core/reusable-buffer.ts';

/** A record as the archive holds it. */
export interface EncodedLine {
  /** Its text, without the line's end. */
  readonly line: string;
  /** The text that its digest is taken over. */
  readonly canonical: string;
}

/** Lines on their way into one entry after the other, with the tally of their records. */
export class LineChunk {
  readonly #lines: ReusableBuffer;
  #count = 0;
  #digest = new MultisetDigest();

  /** Parameters are those of {@link ReusableBuffer}; what an entry takes beyond its room is given back by {@link clear}. */
  constructor(room: number, taken = 0) {
    this.#lines = new ReusableBuffer(room, taken);
  }

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

  /** Adds lines that are written already, each with its end, and their hashes, one behind the other. */
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

  /** The whole entry; its data is there until {@link clear}. */
  piece(name: string): EntryPiece {
    return wholeEntry(name, this.#lines.view());
  }

  /** Makes room for the next entry. */
  clear(): void {
    this.#lines.clear();
    this.#count = 0;
    this.#digest = new MultisetDigest();
  }
}
