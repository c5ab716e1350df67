import type { EntryPiece } from '../archive/types.ts';
import { wholeEntry } from '../archive/whole-entry.ts';
import { MultisetDigest, type Tally } from '../digest.ts';
import { ReusableBuffer } from './reusable-buffer.ts';

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

  /** Adds a line that is written already, with its end, and hashed at an offset of some hashes. */
  addWritten(line: Uint8Array, hashes: Uint8Array, offset: number): void {
    this.#lines.append(line);
    this.#count++;
    this.#digest.addHash(hashes, offset);
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
