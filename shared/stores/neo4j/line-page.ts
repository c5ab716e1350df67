import { HASH_BYTES, writeHash } from '../../core/digest.ts';
import { ReusableBuffer } from '../../core/reusable-buffer.ts';
import type { EncodedLine, LineChunk } from '../line-chunk.ts';
import { PAGE_BYTES, PAGE_ROWS_MAX, type PageSink } from './read-range.ts';
import type { ReadNode, ReadRelationship } from './read-record.ts';

/** Capacity for the lines of a page, in bytes: estimates are rarely off by more. */
const ROOM_BYTES = 1.5 * PAGE_BYTES;

/** Encodes a record returned by the server. */
export type Encode = (record: ReadNode | ReadRelationship) => EncodedLine;

/**
 * The lines of a page, before they are copied into entries. Each line is written and hashed when its record arrives,
 * and the record's objects are not kept, so a page takes little more memory than its bytes and causes almost no garbage
 * collection.
 */
export class LinePage implements PageSink<ReadNode | ReadRelationship> {
  readonly #encode: Encode;
  readonly #lines = new ReusableBuffer(ROOM_BYTES, PAGE_BYTES);
  readonly #ids = new BigInt64Array(PAGE_ROWS_MAX);
  /** The end offset of each line. */
  readonly #ends = new Float64Array(PAGE_ROWS_MAX);
  readonly #hashes = Buffer.allocUnsafeSlow(PAGE_ROWS_MAX * HASH_BYTES);
  readonly #isDangling = new Uint8Array(PAGE_ROWS_MAX);
  #count = 0;

  constructor(encode: Encode) {
    this.#encode = encode;
  }

  get bytes(): number {
    return this.#lines.length;
  }

  add(record: ReadNode | ReadRelationship): void {
    const { line, canonical } = this.#encode(record);
    const index = this.#count++;
    this.#lines.write(line);
    this.#lines.write('\n');
    this.#ids[index] = record.id;
    this.#ends[index] = this.#lines.length;
    writeHash(canonical, this.#hashes, index * HASH_BYTES);
    this.#isDangling[index] = 'inside' in record && !record.inside ? 1 : 0;
  }

  clear(): void {
    this.#lines.clear();
    this.#count = 0;
  }

  /** Internal ID of the record at `index`. */
  idAt(index: number): bigint {
    return this.#ids[index] ?? 0n;
  }

  /**
   * Copies the line at `index`, and the directly following lines of the same kind, into their entry, until both entries
   * together have `full` bytes. Returns the index of the next line.
   */
  copyTo(index: number, inside: LineChunk, dangling: LineChunk, full: number): number {
    const kind = this.#isDangling[index];
    const start = index === 0 ? 0 : this.#endOf(index - 1);
    const room = full - inside.bytes - dangling.bytes;
    let next = index + 1;
    while (next < this.#count && this.#isDangling[next] === kind && this.#endOf(next - 1) - start < room)
      next++;
    const lines = this.#lines.view(start, this.#endOf(next - 1));
    const hashes = this.#hashes.subarray(index * HASH_BYTES, next * HASH_BYTES);
    (kind === 1 ? dangling : inside).addWritten(lines, hashes);
    return next;
  }

  #endOf(index: number): number {
    return this.#ends[index] ?? 0;
  }
}
