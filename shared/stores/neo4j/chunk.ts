import type { EntryPiece } from '../../archive/types.ts';
import { MultisetDigest, type Tally } from '../../digest.ts';
import type { EncodedLine } from './lines.ts';

/** Lines on their way into one entry, with the tally of their records. */
export class Chunk {
  readonly #lines: Buffer[] = [];
  readonly #digest = new MultisetDigest();
  #bytes = 0;

  /** Bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#lines.length;
  }

  add({ line, canonical }: EncodedLine): void {
    const bytes = Buffer.from(`${line}\n`);
    this.#lines.push(bytes);
    this.#bytes += bytes.length;
    this.#digest.add(canonical);
  }

  tally(): Tally {
    return { count: this.count, digest: this.#digest.hex() };
  }

  /** The whole entry. */
  piece(name: string): EntryPiece {
    return { name, size: this.#bytes, offset: 0, length: this.#bytes, data: this.#lines };
  }
}
