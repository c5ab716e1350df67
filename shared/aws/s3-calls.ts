import { setTimeout as delay } from 'node:timers/promises';
import { S3ServiceException } from '@aws-sdk/client-s3';
import { errorFields } from '../core/error-fields.ts';
import { UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';
import { explainAwsCode, explainS3Error } from './s3-error.ts';

/** Tries of one call, on top of the SDK's own three: S3 may throttle a new prefix for half a minute. */
const ATTEMPTS = 6;
/** Longest wait before the second try, in milliseconds; doubled for each further one. */
const FIRST_WAIT = 400;

/** Longest that a call may take, in milliseconds, where its caller does not say. */
const CALL_TIMEOUT = 60_000;
/** The same for calls that move gigabytes on S3's side: copies and completions. */
export const LONG_TIMEOUT = 10 * 60_000;

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
    // Another conditional write of the same key was under way: S3 asks for another try.
    if (error.name === 'ConditionalRequestConflict') return true;
    return explainAwsCode(error, '')?.retryable === true;
  }
  const { name, code, message } = errorFields(error);
  if (name === 'AbortError') return false;
  if (name === 'TimeoutError' || message === 'aborted' || message === 'socket hang up') return true;
  // Node's messages end with the code ("write EPIPE"), which is all that is left where the SDK wraps an error.
  return NETWORK_CODES.has(code) || NETWORK_CODES.has(message.split(' ').at(-1) ?? '');
}

/**
 * Makes a call of S3 that may be repeated, backing off with jitter while S3 throttles or the network fails or is silent
 * for too long. `call` hands its signal to the SDK. Throws UnavailableError, AccessDeniedError or NgbakError; service
 * errors named in `expected` are thrown as they are.
 */
export async function callS3<T>(
  verb: string,
  where: string,
  call: (abortSignal: AbortSignal) => Promise<T>,
  options: { signal?: AbortSignal | undefined; expected?: readonly string[]; timeout?: number } = {},
): Promise<T> {
  const { signal } = options;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    // Not AbortSignal.timeout: once the call is through, its answer may be read for as long as it takes.
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), options.timeout ?? CALL_TIMEOUT);
    try {
      return await call(signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof S3ServiceException && options.expected?.includes(error.name)) throw error;
      const silent = timeout.signal.aborted;
      if (attempt >= ATTEMPTS || !(silent || isTransient(error))) {
        if (!silent) throw explainS3Error(error, verb, where);
        throw new UnavailableError(`S3 did not ${verb} ${where} in time.`, {
          remedy: 'ngbak retries automatically. If the error persists, check endpoint and network.',
          help: HELP.s3Silent,
          cause: error,
        });
      }
      const wait = FIRST_WAIT * 2 ** (attempt - 1);
      await delay(wait / 2 + (Math.random() * wait) / 2, undefined, { signal });
    } finally {
      clearTimeout(timer);
    }
  }
}
