import { type HeadObjectCommandOutput, S3ServiceException } from '@aws-sdk/client-s3';
import { errorFields } from '../core/error-fields.ts';
import { AccessDeniedError, InvalidInputError, NgbakError, UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';

/** An object is in a storage class from which it must be restored before it can be read. */
export class ObjectArchivedError extends InvalidInputError {}

/** Explains an error of S3 in an operator's terms: `verb` is `read`, `write`, …, `where` an `s3://` address. */
export function explainS3Error(error: unknown, verb: string, where: string): Error {
  if (error instanceof NgbakError) return error;
  if (error instanceof Error && error.name === 'AbortError') return error;
  const known = explainAwsCode(error, `S3 could not ${verb} ${where}`, where);
  if (known) return known;
  if (error instanceof S3ServiceException) {
    const status = error.$metadata.httpStatusCode ?? 0;
    if (status === 403) {
      return new AccessDeniedError(`No permission to ${verb} ${where}: ${error.name}.`, {
        remedy: "Check this role's grants on the bucket and on its KMS key.",
        help: HELP.noPermission,
        cause: error,
      });
    }
  }
  if (isNetworkError(error)) {
    return new UnavailableError(`S3 did not respond when asked to ${verb} ${where}.`, {
      remedy: 'Check network and endpoint, and try again.',
      cause: error,
    });
  }
  const name = error instanceof S3ServiceException ? `: ${error.name}` : '';
  return new NgbakError(`Could not ${verb} ${where}${name}.`, {
    remedy: 'Check bucket name, endpoint and network.',
    cause: error,
  });
}

/** Names of AWS errors after which the same call may succeed later. */
const PASSING = new Set([
  'BandwidthLimitExceeded',
  'EC2ThrottledException',
  'InternalError',
  'InternalFailure',
  'InternalServerError',
  'InternalServiceError',
  'LimitExceededException',
  'PriorRequestNotComplete',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'RequestTimeout',
  'RequestTimeoutException',
  'ServiceUnavailable',
  'ServiceUnavailableException',
  'SlowDown',
  'ThrottledException',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
  'TransactionInProgressException',
]);

const EXPIRED = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired']);
const SKEWED = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture']);

/**
 * Explains AWS errors that have a specific cause and remedy, whichever service reports them; undefined for all
 * others. The only place that knows their names.
 *
 * @param failed  what failed, as the beginning of a sentence
 * @param where   the object, if the error is about one
 */
export function explainAwsCode(error: unknown, failed: string, where?: string): NgbakError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, message } = error;
  // S3 passes on errors of KMS as `KMS.<name>`.
  const plain = name.replace(/^KMS\./, '');
  if (PASSING.has(plain) || isServerFault(error)) {
    return new UnavailableError(`${failed}: ${name}.`, {
      remedy:
        'ngbak retries automatically. If the error persists, check the AWS Health Dashboard and the quotas of the account.',
      cause: error,
    });
  }
  if (name === 'InvalidObjectState') {
    return archivedError(
      where ?? 'The object',
      'StorageClass' in error ? String(error.StorageClass) : undefined,
      error,
    );
  }
  if (EXPIRED.has(name)) {
    return new AccessDeniedError(`${failed}: the AWS session has expired (${name}).`, {
      remedy: 'Sign in again, for example with `aws sso login`, and repeat the command.',
      help: HELP.session,
      cause: error,
    });
  }
  if (SKEWED.has(name) || /signature (expired|not yet current)/i.test(message)) {
    return new AccessDeniedError(`${failed}: the clock of this machine is ${skewOf(error)}.`, {
      remedy:
        'Set the clock, by NTP if possible, and try again: AWS refuses requests that are more than 5 to 15 minutes off.',
      help: HELP.clock,
      cause: error,
    });
  }
  if (/^KMS/.test(name) || /^(Disabled|KMSInvalidState)Exception$/.test(plain)) {
    const key = /arn:[\w-]+:kms:[\w:/-]+/.exec(message)?.[0];
    const state = keyState(plain, message);
    return new AccessDeniedError(
      `${failed}: its KMS key${key === undefined ? '' : ` ${key}`} ${state} (${name}).`,
      {
        remedy:
          'Enable the key, or cancel its deletion, in the KMS console. Without it nothing in the bucket can be read, backups included.',
        help: HELP.keyUnusable,
        cause: error,
      },
    );
  }
  return undefined;
}

function keyState(name: string, message: string): string {
  if (/pending deletion/i.test(message)) return 'is about to be deleted';
  if (/disabled/i.test(name) || /disabled/i.test(message)) return 'is disabled';
  if (/NotFound/i.test(name)) return 'does not exist';
  return 'cannot be used in its present state';
}

function isServerFault(error: Error): boolean {
  const metadata = '$metadata' in error ? (error.$metadata as { httpStatusCode?: number }) : undefined;
  const status = metadata?.httpStatusCode ?? 0;
  return status === 429 || (status >= 500 && status !== 501);
}

/** How wrong the clock is, if the response has the server's time. */
function skewOf(error: Error): string {
  const serverTime = 'ServerTime' in error ? String(error.ServerTime) : undefined;
  const headers =
    '$response' in error
      ? (error.$response as { headers?: Record<string, string> } | undefined)?.headers
      : undefined;
  const server = Date.parse(serverTime ?? headers?.date ?? '');
  if (Number.isNaN(server)) return 'wrong';
  const minutes = Math.round((Date.now() - server) / 60_000);
  const unit = Math.abs(minutes) === 1 ? 'minute' : 'minutes';
  return minutes === 0 ? 'wrong' : `${Math.abs(minutes)} ${unit} ${minutes > 0 ? 'ahead' : 'behind'}`;
}

function archivedError(
  where: string,
  storageClass: string | undefined,
  cause?: unknown,
): ObjectArchivedError {
  return new ObjectArchivedError(
    `${where} is in the storage class ${storageClass ?? 'GLACIER or DEEP_ARCHIVE'} and cannot be read until it is restored from there.`,
    {
      remedy:
        'Thaw it: with `--thaw` or `ngbak thaw` if it is the archive of a backup, or with `aws s3api restore-object --restore-request Days=7`. That takes minutes to 48 hours; then try again.',
      help: HELP.archivedObject,
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

const ARCHIVED = new Set(['GLACIER', 'DEEP_ARCHIVE']);

/**
 * Why an object can't be read before it is restored from its storage class, according to S3's response; undefined if
 * it can be read. Objects in GLACIER_IR always can.
 */
export function archivedObject(
  {
    StorageClass,
    ArchiveStatus,
    Restore,
  }: Pick<HeadObjectCommandOutput, 'StorageClass' | 'ArchiveStatus' | 'Restore'>,
  where: string,
): ObjectArchivedError | undefined {
  const archived = ARCHIVED.has(StorageClass ?? '') || ArchiveStatus !== undefined;
  if (!archived || /ongoing-request="false"/.test(Restore ?? '')) return undefined;
  return archivedError(where, ArchiveStatus ?? StorageClass);
}

const NETWORK_CODES = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** Whether no response arrived, or only a part of it. */
export function isNetworkError(error: unknown): boolean {
  const { name, code, message } = errorFields(error);
  if (name === 'AbortError') return false;
  if (name === 'TimeoutError' || message === 'aborted' || message === 'socket hang up') return true;
  // Node's messages end with the code ("write EPIPE"), which is all that is left if the SDK wraps an error.
  return NETWORK_CODES.has(code) || NETWORK_CODES.has(message.split(' ').at(-1) ?? '');
}

/** Whether the same call may succeed later: it was throttled, failed on AWS's side, or was cut off by the network. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof S3ServiceException)) return isNetworkError(error);
  // Another conditional write of the same key was in progress: S3 asks for a retry.
  return error.name === 'ConditionalRequestConflict' || explainAwsCode(error, '')?.retryable === true;
}
