/**
 * Buffers of one size that are filled again and again. A new one for each mebibyte would cost more time than the fastest
 * compression, and would lie around until the garbage collector comes by: memory would grow with the data.
 */
export class BufferPool {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];

  /**
   * @param bytes  size of each buffer
   * @param reserved  buffers whose memory is taken at once: what a function will need, it has or lacks from the start,
   *   and not from the hour on in which there is more data than ever
   */
  constructor(bytes: number, reserved = 0) {
    this.#bytes = bytes;
    // Filled, since the system hands out memory that nobody wrote to only in name.
    for (let count = 0; count < reserved; count++) this.#free.push(Buffer.allocUnsafeSlow(bytes).fill(0));
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
