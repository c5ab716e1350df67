import { createHash } from 'node:crypto';
import { MultisetDigest, type Tallies } from '../../core/digest.ts';
import { JsonMemberError, MemberScanner } from '../redis/json-entry.ts';
import { canonicalString } from '../redis/record.ts';

/**
 * Files are read and digested in pieces of this many bytes, and a leg can end between two pieces. Tallies depend on
 * this value.
 */
export const PIECE_BYTES = 64 * 1024 ** 2;

/** Canonical record of a piece of a file: the file's name, the piece's offset and its SHA-256. */
export function canonicalPiece(file: string, start: number, sha256: string): string {
  return JSON.stringify([file, start, sha256]);
}

/**
 * Computes the tallies of a file while its bytes are read. A file counts as one, with its last piece, and is digested
 * by the name, offset and SHA-256 of each piece. The keys of a `kv_store_<namespace>.json` are counted too, so that
 * statistics can include the number of documents and chunks. Keys are counted only in files of one piece, because
 * counting needs every byte in order; a file that is not a JSON object counts only as a file.
 */
export class FileDigest {
  readonly #file: string;
  readonly #size: number;
  readonly #namespace: string | undefined;
  readonly #pieces = new MultisetDigest();
  readonly #keys = new MultisetDigest();
  #scanner: MemberScanner | undefined;
  #keyCount = 0;
  #offset: number;
  #start: number;
  #hash = createHash('sha256');

  /** @param offset where the bytes start within the file: must be the start of a piece */
  constructor(file: string, size: number, offset = 0) {
    this.#file = file;
    this.#size = size;
    this.#offset = offset;
    this.#start = offset;
    this.#namespace = /^kv_store_(.+)\.json$/.exec(file)?.[1];
    if (this.#namespace !== undefined && size <= PIECE_BYTES) this.#scanner = new MemberScanner();
  }

  /** Adds bytes, in order, in chunks of any size. */
  add(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + PIECE_BYTES - (this.#offset - this.#start));
      this.#hash.update(part);
      this.#offset += part.length;
      at += part.length;
      if (this.#offset - this.#start === PIECE_BYTES) this.#closePiece();
    }
    this.#scan((scanner) => {
      for (const { key, value } of scanner.feed(chunk)) {
        this.#keys.add(canonicalString(key.toString('latin1'), value, null));
        this.#keyCount++;
      }
    });
  }

  /** Passes content through unmodified, and adds it. */
  async *watch(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      this.add(chunk);
      yield chunk;
    }
  }

  /** Returns the tallies, after all bytes have been added. */
  tallies(): Tallies {
    if (this.#offset > this.#start || this.#size === 0) this.#closePiece();
    this.#scan((scanner) => scanner.end());
    const files = { count: this.#offset === this.#size ? 1 : 0, digest: this.#pieces.hex() };
    if (!this.#scanner) return { files };
    return { files, [`keys:${this.#namespace}`]: { count: this.#keyCount, digest: this.#keys.hex() } };
  }

  #closePiece(): void {
    this.#pieces.add(canonicalPiece(this.#file, this.#start, this.#hash.digest('hex')));
    this.#hash = createHash('sha256');
    this.#start = this.#offset;
  }

  #scan(work: (scanner: MemberScanner) => void): void {
    if (!this.#scanner) return;
    try {
      work(this.#scanner);
    } catch (error) {
      if (!(error instanceof JsonMemberError)) throw error;
      this.#scanner = undefined;
    }
  }
}
