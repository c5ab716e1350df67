import type { BufferPool } from './buffer-pool.ts';

/**
 * Reads a stream of chunks in runs of a requested length. Holds one chunk, and the bytes that {@link ByteReader.take}
 * joins.
 */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  #ended = false;
  /** Bytes returned so far. */
  position = 0;

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks =
      Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  /** True if no bytes are left. */
  async ended(): Promise<boolean> {
    while (this.#chunk.length === 0 && !this.#ended) {
      const next = await this.#chunks.next();
      if (next.done) this.#ended = true;
      else this.#chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    return this.#chunk.length === 0;
  }

  /** The next `length` bytes, or fewer at the end of the stream. The result must not be written to. */
  async take(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0 && !(await this.ended())) {
      const part = this.#cut(missing);
      parts.push(part);
      missing -= part.length;
    }
    return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
  }

  /** Streams the next `length` bytes, or fewer at the end of the stream. */
  async *stream(length: number): AsyncGenerator<Buffer> {
    let missing = length;
    while (missing > 0 && !(await this.ended())) {
      const part = this.#cut(missing);
      missing -= part.length;
      yield part;
    }
  }

  /** Skips the next `length` bytes, or fewer at the end of the stream. */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0 && !(await this.ended()); ) left -= this.#cut(left).length;
  }

  /** The rest of the stream. */
  async *rest(): AsyncGenerator<Buffer> {
    while (!(await this.ended())) yield this.#cut(this.#chunk.length);
  }

  /** Pushes back the bytes that were taken last, to be read next. */
  unread(bytes: Buffer): void {
    this.position -= bytes.length;
    const chunk = this.#chunk;
    // Usually the bytes are a slice of the current chunk, so nothing is copied.
    const adjacent = bytes.buffer === chunk.buffer && bytes.byteOffset + bytes.length === chunk.byteOffset;
    if (adjacent) this.#chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length + chunk.length);
    else this.#chunk = chunk.length === 0 ? bytes : Buffer.concat([bytes, chunk]);
  }

  /** Closes the stream if it was not read to its end. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#chunk = Buffer.alloc(0);
    await this.#chunks.return?.();
  }

  #cut(length: number): Buffer {
    const part = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(part.length);
    this.position += part.length;
    return part;
  }
}

/**
 * Joins chunks into buffers of the pool's size (the last may be smaller). Copies, so that the buffers behind the
 * chunks can be freed.
 */
export async function* coalesce(chunks: AsyncIterable<Uint8Array>, pool: BufferPool): AsyncGenerator<Buffer> {
  let buffer = pool.take();
  let filled = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    while (rest.length > 0) {
      const part = rest.subarray(0, buffer.length - filled);
      buffer.set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
      if (filled === buffer.length) {
        yield buffer;
        buffer = pool.take();
        filled = 0;
      }
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}
