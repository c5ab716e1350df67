import type { ContentSink } from './verify.ts';

/** A sink for code that pulls its input: `read` receives the written chunks as an iterable. */
export function pulledSink(read: (content: AsyncIterable<Uint8Array>) => Promise<void>): ContentSink {
  return new PulledSink(read);
}

class PulledSink implements ContentSink {
  readonly #reading: Promise<void>;
  #settled = false;
  /** Resolved with the next chunk; with undefined at the end. */
  #next = Promise.withResolvers<Uint8Array | undefined>();
  /** Resolved once the reader requests the next chunk, and so no longer uses the previous one. */
  #requested = Promise.withResolvers<void>();

  constructor(read: (content: AsyncIterable<Uint8Array>) => Promise<void>) {
    this.#reading = read(this.#chunks()).finally(() => {
      this.#settled = true;
      this.#requested.resolve();
    });
    // The next write reports a failure.
    this.#reading.catch(() => undefined);
    this.#next.promise.catch(() => undefined);
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      this.#requested.resolve();
      const chunk = await this.#next.promise;
      if (chunk === undefined) return;
      this.#next = Promise.withResolvers();
      this.#next.promise.catch(() => undefined);
      yield chunk;
    }
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#requested.promise;
    if (this.#settled) {
      await this.#reading;
      return;
    }
    this.#requested = Promise.withResolvers();
    this.#next.resolve(chunk);
    await this.#requested.promise;
    if (this.#settled) await this.#reading;
  }

  async end(): Promise<void> {
    await this.#requested.promise;
    this.#next.resolve(undefined);
    await this.#reading;
  }

  async abort(): Promise<void> {
    this.#next.reject(new Error('The content is incomplete.'));
    await this.#reading.catch(() => undefined);
  }
}
