/**
 * Collects the bytes of one entry after another in a single buffer. Slices of a server's response would keep whole
 * packets alive until a full garbage collection, so that memory would grow with the data.
 */
export class ReusableBuffer {
  readonly #room: number;
  #buffer: Buffer;
  #length = 0;

  /**
   * @param room  initial capacity in bytes; memory that was never written to costs nothing
   * @param taken  how much of it is written to at once, because it will be needed anyway: a process with too little
   *   memory fails at the start, and not with the first large knowledge base
   */
  constructor(room: number, taken = 0) {
    this.#room = room;
    this.#buffer = Buffer.allocUnsafeSlow(room).fill(0, 0, taken);
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Adds a text as UTF-8. */
  write(text: string): void {
    // At most three bytes of UTF-8 for each UTF-16 unit.
    this.#reserve(text.length * 3);
    this.#length += this.#buffer.write(text, this.#length);
  }

  /** Adds a copy of some bytes. */
  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** The bytes so far, or a range of them; valid until {@link clear}. */
  view(from = 0, to = this.#length): Buffer {
    return this.#buffer.subarray(from, to);
  }

  /** Truncates the content to a length. */
  cutTo(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  /** Makes room for the next entry. Memory that a very long record needed is freed. */
  clear(): void {
    this.#length = 0;
    if (this.#buffer.length > this.#room) this.#buffer = Buffer.allocUnsafeSlow(this.#room);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
