/**
 * A pool of buffers of one size. Allocating a buffer for each mebibyte would take longer than the fastest
 * compression, and unused buffers would stay until the next garbage collection, so that memory would grow with the
 * data.
 */
export class BufferPool {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];

  /**
   * @param bytes  size of each buffer
   * @param reserved  buffers allocated in advance, so that a function with too little memory fails at once and not
   *   only when there is more data than ever before
   */
  constructor(bytes: number, reserved = 0) {
    this.#bytes = bytes;
    // Filled because the kernel provides physical memory only once it is written to.
    for (let count = 0; count < reserved; count++) this.#free.push(Buffer.allocUnsafeSlow(bytes).fill(0));
  }

  /** A buffer with arbitrary content. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
  }

  /** Returns a buffer, or the start of one, to the pool. It must no longer be in use. */
  give(buffer: Buffer): void {
    this.#free.push(Buffer.from(buffer.buffer, 0, this.#bytes));
  }
}
