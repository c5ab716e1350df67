import { backoff, sleep } from '../../shared/core/retry.ts';
import type { Download } from '../../shared/operations/download-backup.ts';
import { ApiError } from '../api.ts';
import { Crc32 } from './crc32.ts';

/** Consecutive attempts that receive no byte. */
const ATTEMPTS = 8;
const WAITS = { firstMs: 500, longestMs: 30_000 };

/** The destination of the bytes. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void>;
}

export interface FetchOptions {
  /** Requests a new link: the first one may expire before the last byte. */
  readonly link: () => Promise<Download>;
  readonly sink: Sink;
  readonly signal: AbortSignal;
  progress(done: number, total: number): void;
  /** @default sleep */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Fetches an archive directly from S3, in one stream that resumes after the last byte if it breaks, and compares its
 * CRC-32 with that of the catalogued archive. Memory holds one chunk. Throws ApiError.
 */
export async function fetchArchive({
  link: makeLink,
  sink,
  signal,
  progress,
  wait = sleep,
}: FetchOptions): Promise<Download> {
  let link = await makeLink();
  const crc = new Crc32();
  let done = 0;
  let failures = 0;
  progress(0, link.bytes);
  while (done < link.bytes) {
    try {
      const answer = await fetch(link.url, {
        headers: done === 0 ? {} : { range: `bytes=${done}-` },
        cache: 'no-store',
        signal,
      });
      if (answer.status === 403 && failures < ATTEMPTS - 1) link = await makeLink();
      if (answer.status !== (done === 0 ? 200 : 206) || !answer.body) {
        throw interrupted(`S3 answered ${answer.status}.`);
      }
      const reader = answer.body.getReader();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        await sink.write(piece.value);
        crc.update(piece.value);
        done += piece.value.length;
        failures = 0;
        progress(done, link.bytes);
      }
    } catch (error) {
      if (signal.aborted) throw error;
      // The class that fetch throws for network errors; anything else except a refusal is a bug or a disk error.
      const broken = isNamed(error, 'TypeError');
      failures++;
      if (!(broken || error instanceof ApiError) || failures >= ATTEMPTS) {
        throw broken ? interrupted('The connection to S3 broke.') : error;
      }
      await wait(backoff(failures, WAITS), signal);
    }
  }
  if (link.crc32 === undefined || (done === link.bytes && crc.base64() === link.crc32)) return link;
  throw new ApiError({
    status: 422,
    title: 'Damaged data',
    detail: `The download has ${done} bytes and CRC-32 ${crc.base64()}; the archive has ${link.bytes} and ${link.crc32}.`,
    remedy: 'Download it again. If the error persists, verify the backup.',
  });
}

/** Checked by name: tests run in a realm with another TypeError class. */
function isNamed(error: unknown, name: string): boolean {
  return typeof error === 'object' && error !== null && Reflect.get(error, 'name') === name;
}

function interrupted(detail: string): ApiError {
  return new ApiError({
    status: 0,
    title: 'Download interrupted',
    detail,
    remedy: 'Check the network, then download the backup again.',
  });
}
