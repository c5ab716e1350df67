import {
  type $Command,
  GetObjectCommand,
  PutObjectCommand,
  type S3Client,
  type S3ClientResolvedConfig,
  S3ServiceException,
  type ServiceInputTypes,
  type ServiceOutputTypes,
} from '@aws-sdk/client-s3';
import { UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';
import { retry } from '../core/retry.ts';
import { addressOf } from './address.ts';
import { explainS3Error, isTransient } from './s3-error.ts';

/** Attempts of one call, each with the SDK's own three: S3 may throttle a new prefix for half a minute. */
const ATTEMPTS = 6;
const FIRST_WAIT_MS = 400;

/** Timeout of a call, in milliseconds, if its caller sets none. */
const CALL_TIMEOUT = 60_000;
/** The same for calls that move gigabytes within S3: copies and completions. */
export const LONG_TIMEOUT = 10 * 60_000;

export interface S3CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Names or HTTP statuses of service errors that are thrown unchanged and not retried. */
  readonly expected?: readonly (string | number)[];
  /** Timeout of one attempt, in milliseconds. */
  readonly timeout?: number | undefined;
  /** Maximum number of attempts; 1 for conditional writes, whose retry would find what the first attempt wrote. */
  readonly attempts?: number;
}

/**
 * Sends a command to S3: the only place that does. Retries, with backoff and jitter, while S3 throttles, the network
 * fails or no answer arrives in time. Throws UnavailableError, AccessDeniedError or NgbakError; service errors named
 * in `expected` are thrown unchanged.
 *
 * @param verb  what the call does, for errors: `read`, `write`, `list`
 */
export function sendS3<In extends ServiceInputTypes, Out extends ServiceOutputTypes>(
  s3: S3Client,
  verb: string,
  command: $Command<In, Out, S3ClientResolvedConfig, ServiceInputTypes, ServiceOutputTypes>,
  options: S3CallOptions = {},
): Promise<Out> {
  return call(verb, placeOf(s3, command.input), options, (abortSignal) => {
    const { timeout } = options;
    return s3.send(command, { abortSignal, ...(timeout === undefined ? {} : { requestTimeout: timeout }) });
  });
}

/** The text of a small object, and its ETag. */
export function readS3Text(
  s3: S3Client,
  object: { Bucket: string; Key: string; Range?: string },
  options: S3CallOptions & { readonly bytesMax?: number } = {},
): Promise<{ text: string; etag: string; bytes: number }> {
  // The body is read within the call, so that a truncated response is requested again.
  return call('read', placeOf(s3, object), options, async (abortSignal) => {
    const {
      Body,
      ETag = '',
      ContentLength: bytes = 0,
    } = await s3.send(new GetObjectCommand(object), { abortSignal });
    if (bytes > (options.bytesMax ?? Number.POSITIVE_INFINITY)) return { text: '', etag: ETag, bytes };
    return { text: (await Body?.transformToString('utf-8')) ?? '', etag: ETag, bytes };
  });
}

/** Writes a small object as JSON, replacing any object with its key. */
export async function writeS3Json(
  s3: S3Client,
  object: { Bucket: string; Key: string },
  value: object,
  options: S3CallOptions = {},
): Promise<void> {
  const body = { Body: JSON.stringify(value), ContentType: 'application/json' };
  await sendS3(s3, 'write', new PutObjectCommand({ ...object, ...body }), options);
}

function placeOf(s3: S3Client, input: object): string {
  const { Bucket = '', Key, Prefix = '' } = input as { Bucket?: string; Key?: string; Prefix?: string };
  return addressOf(s3, Bucket, Key ?? Prefix);
}

function call<T>(
  verb: string,
  where: string,
  { signal, expected = [], timeout = CALL_TIMEOUT, attempts = ATTEMPTS }: S3CallOptions,
  send: (abortSignal: AbortSignal) => Promise<T>,
): Promise<T> {
  const isExpected = (error: unknown) =>
    error instanceof S3ServiceException &&
    (expected.includes(error.name) || expected.includes(error.$metadata.httpStatusCode ?? 0));
  return retry(
    async () => {
      // Not AbortSignal.timeout: after the call has returned, reading its response may take any time.
      const silent = new AbortController();
      const timer = setTimeout(() => silent.abort(), timeout);
      try {
        return await send(signal === undefined ? silent.signal : AbortSignal.any([signal, silent.signal]));
      } catch (error) {
        throw silent.signal.aborted ? silence(verb, where, error) : error;
      } finally {
        clearTimeout(timer);
      }
    },
    {
      attempts,
      firstMs: FIRST_WAIT_MS,
      signal,
      isTransient: (error) => !isExpected(error) && (error instanceof SilentS3Error || isTransient(error)),
    },
  ).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw isExpected(error) ? error : explainS3Error(error, verb, where);
  });
}

/** S3 did not answer within the timeout of a call. */
class SilentS3Error extends UnavailableError {}

function silence(verb: string, where: string, cause: unknown): SilentS3Error {
  return new SilentS3Error(`S3 did not ${verb} ${where} in time.`, {
    remedy: 'ngbak retries automatically. If the error persists, check endpoint and network.',
    help: HELP.s3Silent,
    cause,
  });
}
