import { hash } from 'node:crypto';

/** Bytes of the hash of an identity, and of a content: with 128 bits, no two of them are equal by accident. */
export const HASH_PART = 16;
/** Both hashes, by which rows are sorted. */
export const SORTED_BYTES = 2 * HASH_PART;
const KIND_AT = SORTED_BYTES;
const NAME_LENGTH_AT = KIND_AT + 2;
/** Bytes of a row without its name. */
export const ROW_HEAD = NAME_LENGTH_AT + 1;
/** Maximum length of a name in bytes. Longer names are cut off. */
export const NAME_BYTES_MAX = 120;
/** Maximum length of a row in bytes. */
export const ROW_BYTES_MAX = ROW_HEAD + NAME_BYTES_MAX;

/** Bits of a sort key that hold the number of a row; the rest of the 52 bits hold the start of its hash. */
const NUMBER_BITS = 20;
/** Maximum number of rows in a buffer. */
export const ROWS_MAX = 2 ** NUMBER_BITS;
const NO_CONTENT = Buffer.alloc(HASH_PART);

/** The kind of the row at an offset, as its number in the list of kinds. */
export function kindAt(rows: Buffer, offset: number): number {
  return rows.readUInt16BE(offset + KIND_AT);
}

/** Number of bytes of the row at an offset. */
export function lengthAt(rows: Buffer, offset: number): number {
  return ROW_HEAD + (rows[offset + NAME_LENGTH_AT] ?? 0);
}

/** The name of the row at an offset. */
export function nameAt(rows: Buffer, offset: number): string {
  return rows.toString('utf8', offset + ROW_HEAD, offset + lengthAt(rows, offset));
}

/**
 * Rows of records in the order in which they are read: the hash of the identity, the hash of the content, the number of
 * the kind, and the name. They take a fixed amount of memory, from which a sorted run is written whenever it is full.
 */
export class RowBuffer {
  readonly #rows: Buffer;
  readonly #offsets: Uint32Array;
  #count = 0;
  #bytes = 0;

  /** @param bytesMax size of a run */
  constructor(bytesMax: number) {
    this.#rows = Buffer.allocUnsafeSlow(bytesMax + ROW_BYTES_MAX);
    this.#offsets = new Uint32Array(Math.min(ROWS_MAX, Math.ceil(bytesMax / ROW_HEAD) + 1));
  }

  get count(): number {
    return this.#count;
  }

  /** True if a run must be written before the next row is added. */
  get isFull(): boolean {
    return this.#count === this.#offsets.length || this.#bytes + ROW_BYTES_MAX > this.#rows.length;
  }

  add(kind: number, identity: string, content: string | Uint8Array | null, name: string): void {
    const rows = this.#rows;
    const at = this.#bytes;
    // A binary string is cut to the part that is kept; Node creates it faster than a buffer.
    rows.write(hash('sha256', identity, 'binary'), at, HASH_PART, 'latin1');
    if (content === null) NO_CONTENT.copy(rows, at + HASH_PART);
    else rows.write(hash('sha256', content, 'binary'), at + HASH_PART, HASH_PART, 'latin1');
    rows.writeUInt16BE(kind, at + KIND_AT);
    const length = rows.write(name.slice(0, NAME_BYTES_MAX), at + ROW_HEAD, NAME_BYTES_MAX, 'utf8');
    rows[at + NAME_LENGTH_AT] = length;
    this.#offsets[this.#count++] = at;
    this.#bytes = at + ROW_HEAD + length;
  }

  /** Returns the rows, sorted by their hashes, and empties the buffer. */
  takeSorted(): Buffer {
    const order = this.#order();
    const sorted = Buffer.allocUnsafe(this.#bytes);
    let end = 0;
    for (const number of order) {
      const at = this.#offsets[number] ?? 0;
      end += this.#rows.copy(sorted, end, at, at + lengthAt(this.#rows, at));
    }
    this.#count = 0;
    this.#bytes = 0;
    return sorted;
  }

  /** The numbers of the rows in order. */
  #order(): Uint32Array {
    const scale = 2 ** NUMBER_BITS;
    const keys = new Float64Array(this.#count);
    for (let number = 0; number < this.#count; number++) {
      keys[number] = this.#rows.readUInt32BE(this.#offsets[number]) * scale + number;
    }
    // Typed arrays are sorted as numbers, without a call for each comparison.
    keys.sort();
    const order = new Uint32Array(this.#count);
    for (let at = 0; at < order.length; at++) order[at] = (keys[at] ?? 0) % scale;
    // Only rows whose hashes start alike are compared: those of equal identities, and a few others.
    for (let from = 0; from < order.length; ) {
      let to = from + 1;
      while (to < order.length && startOf(keys[to], scale) === startOf(keys[from], scale)) to++;
      if (to > from + 1) order.set([...order.subarray(from, to)].sort(this.#compare), from);
      from = to;
    }
    return order;
  }

  readonly #compare = (left: number, right: number): number => {
    const [one = 0, other = 0] = [this.#offsets[left], this.#offsets[right]];
    return this.#rows.compare(this.#rows, other, other + SORTED_BYTES, one, one + SORTED_BYTES);
  };
}

function startOf(key: number | undefined, scale: number): number {
  return Math.floor((key ?? 0) / scale);
}
