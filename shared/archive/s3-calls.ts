import { setTimeout as delay } from 'node:timers/promises';
import { S3ServiceException } from '@aws-sdk/client-s3';
import { explainS3Error } from '../bucket/s3-error.ts';

/** Tries of one call, on top of the SDK's own three: S3 may throttle a new prefix for half a minute. */
const ATTEMPTS = 6;
/** Longest wait before the second try, in milliseconds; doubled for each further one. */
const FIRST_WAIT = 400;

const NETWORK_CODES = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** Whether the same call may go through later: throttled, failed on S3's side, or cut off on the way. */
export function isTransient(error: unknown): boolean {
  if (error instanceof S3ServiceException) {
    const status = error.$metadata.httpStatusCode ?? 0;
    return (
      status === 429 ||
      (status >= 500 && status !== 501) ||
      error.name === 'SlowDown' ||
      error.name === 'RequestTimeout'
    );
  }
  if (!(error instanceof Error) || error.name === 'AbortError') return false;
  const code = 'code' in error ? String(error.code) : '';
  return NETWORK_CODES.has(code) || error.name === 'TimeoutError' || error.message === 'aborted';
}

/**
 * Makes a call of S3 that may be repeated, backing off with jitter while S3 throttles or the network fails. Throws
 * UnavailableError, AccessDeniedError or NgbakError; with `expected`, those service errors are thrown as they are.
 */
export async function callS3<T>(
  verb: string,
  where: string,
  call: () => Promise<T>,
  options: { signal?: AbortSignal | undefined; expected?: readonly string[] } = {},
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    options.signal?.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (error instanceof S3ServiceException && options.expected?.includes(error.name)) throw error;
      if (attempt >= ATTEMPTS || !isTransient(error)) throw explainS3Error(error, verb, where);
      const wait = FIRST_WAIT * 2 ** (attempt - 1);
      await delay(wait / 2 + (Math.random() * wait) / 2, undefined, { signal: options.signal });
    }
  }
}
