import { NgbakError, UnavailableError } from '../../shared/core/errors.ts';
import { backoff, sleep } from '../../shared/core/retry.ts';
import type { Download } from '../../shared/operations/download-backup.ts';

/** Bytes of one ranged GET: large enough to be worth a round trip, small enough to repeat. */
export const CHUNK_BYTES = 8 * 1024 ** 2;
/** Concurrent ranges. */
export const CONNECTIONS = 4;
/** Consecutive attempts for a range that receive no byte. */
const ATTEMPTS = 6;
const WAITS = { firstMs: 300 };
/** Longest time without a received byte, in milliseconds. The total time of a range depends on the connection. */
const STALL_MS = 60_000;

/** A part of a file that one request fetches. */
export interface Range {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
}

/** Stores bytes at a position of the file. */
type Put = (bytes: Uint8Array, position: number) => unknown;

/** The ranges of a file of so many bytes, in order. */
export function rangesOf(bytes: number): Range[] {
  return Array.from({ length: Math.ceil(bytes / CHUNK_BYTES) }, (_, number) => ({
    number,
    offset: number * CHUNK_BYTES,
    length: Math.min(CHUNK_BYTES, bytes - number * CHUNK_BYTES),
  }));
}

/** The current link, renewed once for all concurrent ranges that find it expired. */
export class Links {
  current: Download;
  readonly #make: () => Promise<Download>;
  #renewing: Promise<void> | undefined;

  constructor(first: Download, make: () => Promise<Download>) {
    this.current = first;
    this.#make = make;
  }

  static async open(make: () => Promise<Download>): Promise<Links> {
    return new Links(await make(), make);
  }

  async renew(old: Download): Promise<void> {
    if (this.current !== old) return;
    this.#renewing ??= this.#make().then(
      (link) => {
        this.current = link;
        this.#renewing = undefined;
      },
      (error) => {
        this.#renewing = undefined;
        throw error;
      },
    );
    await this.#renewing;
  }
}

/**
 * Fetches one range. A connection that breaks or stalls is replaced by one that continues after the last received byte;
 * consecutive attempts without a byte are limited.
 */
export async function fetchRange(
  put: Put,
  { offset, length }: Range,
  links: Links,
  { signal, stallMs = STALL_MS }: { readonly signal: AbortSignal; readonly stallMs?: number },
  advance: (bytes: number) => void,
): Promise<void> {
  let written = 0;
  let attempt = 0;
  for (;;) {
    attempt++;
    const link = links.current;
    const stalled = new AbortController();
    const timer = setTimeout(() => stalled.abort(), stallMs);
    try {
      const answer = await fetch(link.url, {
        headers: { range: `bytes=${offset + written}-${offset + length - 1}` },
        signal: AbortSignal.any([signal, stalled.signal]),
      });
      if ((answer.status === 206 || answer.status === 200) && answer.body) {
        // A server may send the whole file instead of the range (RFC 9110, 14.2).
        const begins = answer.status === 206 ? offset + written : 0;
        await putFrom(put, offset + written, length - written, answer.body, begins, (bytes) => {
          timer.refresh();
          if (bytes === 0) return;
          attempt = 0;
          written += bytes;
          advance(bytes);
        });
        return;
      }
      await answer.body?.cancel();
      // An expired link is refused with 403.
      if (answer.status === 403 && attempt < ATTEMPTS) await links.renew(link);
      throw new UnavailableError(
        `S3 answered with status ${answer.status} to a range of ${link.backup_id}.`,
        {
          remedy: 'Start the download again: it resumes where it stopped.',
        },
      );
    } catch (error) {
      if (signal.aborted) throw error;
      if (attempt >= ATTEMPTS) throw failed(link, error);
      await sleep(backoff(attempt, WAITS), signal);
    } finally {
      clearTimeout(timer);
    }
  }
}

function failed(link: Download, cause: unknown): NgbakError {
  if (cause instanceof NgbakError) return cause;
  // Without the address: a presigned URL is a credential.
  return new UnavailableError(`The download of ${link.backup_id} was interrupted.`, {
    remedy: 'Start the download again: it resumes where it stopped.',
    cause: cause instanceof Error ? new Error(cause.name) : undefined,
  });
}

/**
 * Stores the bytes of `body` from `offset` on; the first byte of the body has position `begins`. After every chunk,
 * reports the number of bytes stored, which is zero for bytes before `offset`.
 */
async function putFrom(
  put: Put,
  offset: number,
  length: number,
  body: ReadableStream<Uint8Array>,
  begins: number,
  onBytes: (bytes: number) => void,
): Promise<void> {
  let position = begins;
  let written = 0;
  for await (const bytes of body) {
    const wanted = bytes.subarray(Math.max(0, offset - position), Math.max(0, offset + length - position));
    position += bytes.length;
    if (wanted.length > 0) await put(wanted, offset + written);
    written += wanted.length;
    onBytes(wanted.length);
    if (written === length) return;
  }
  throw new Error('fewer bytes than requested');
}
