/**
 * Bytes of one entry after the other, kept in one buffer that is reused. Slices of what a server sent would keep
 * whole packets alive until a full garbage collection: memory would follow the size of the data.
 */
export class ReusableBuffer {
  readonly #room: number;
  #buffer: Buffer;
  #length = 0;

  /**
   * @param room  bytes that are there from the start; memory that nothing was written to costs nothing
   * @param taken  how many of them are taken at once, since they will be anyhow: a process that has too little memory
   *   fails when it begins, and not with the first large knowledge base
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
    // Three bytes of UTF-8 for each unit of UTF-16 at most.
    this.#reserve(text.length * 3);
    this.#length += this.#buffer.write(text, this.#length);
  }

  /** Adds a copy of some bytes. */
  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** The bytes so far, or some of them; they are there until {@link clear}. */
  view(from = 0, to = this.#length): Buffer {
    return this.#buffer.subarray(from, to);
  }

  /** Takes back what was added behind a length. */
  cutTo(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  /** Makes room for the next entry. What one very long record took is given back. */
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
