import { HASH_BYTES, writeHash } from '../../digest.ts';
import type { EncodedLine, LineChunk } from '../line-chunk.ts';
import { ReusableBuffer } from '../reusable-buffer.ts';
import { PAGE_BYTES, PAGE_ROWS_MAX, type PageSink } from './read-range.ts';
import type { ReadNode, ReadRelationship } from './read-record.ts';

/** Room for the lines of a page, in bytes: estimates are seldom off by more. */
const ROOM_BYTES = 1.5 * PAGE_BYTES;

/** Encodes a record that the server handed out. */
export type Encode = (record: ReadNode | ReadRelationship) => EncodedLine;

/**
 * The lines of a page, on their way into entries. Each is written and hashed when its record comes: no object of a record
 * outlives that, so the page costs its bytes, and next to no collection of garbage.
 */
export class LinePage implements PageSink<ReadNode | ReadRelationship> {
  readonly #encode: Encode;
  readonly #lines = new ReusableBuffer(ROOM_BYTES, PAGE_BYTES);
  readonly #ids = new BigInt64Array(PAGE_ROWS_MAX);
  /** Where each line ends. */
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

  /** Internal id of the record at `index`. */
  idAt(index: number): bigint {
    return this.#ids[index] ?? 0n;
  }

  /** Copies the line at `index` into the entry that it belongs to. */
  copyTo(index: number, inside: LineChunk, dangling: LineChunk): void {
    const line = this.#lines.view(index === 0 ? 0 : this.#ends[index - 1], this.#ends[index]);
    (this.#isDangling[index] === 1 ? dangling : inside).addWritten(line, this.#hashes, index * HASH_BYTES);
  }
}
