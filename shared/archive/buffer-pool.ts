/**
 * Buffers of one size that are filled again and again. A new one for each mebibyte would cost more time than the fastest
 * compression, and would lie around until the garbage collector comes by: memory would grow with the data.
 */
export class BufferPool {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];

  /** @param bytes  size of each buffer */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** A buffer with any content. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
  }

  /** Takes back a buffer, or the start of one, that nobody reads any more. */
  give(buffer: Buffer): void {
    this.#free.push(Buffer.from(buffer.buffer, 0, this.#bytes));
  }
}
