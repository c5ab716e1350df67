import { S3ServiceException } from '@aws-sdk/client-s3';
import { AccessDeniedError, NgbakError, UnavailableError } from '../errors.ts';

/** Tells what S3 refused, in an operator's words: `verb` is `read`, `write`, …, `where` an `s3://` address. */
export function explainS3Error(error: unknown, verb: string, where: string): Error {
  if (error instanceof NgbakError) return error;
  if (error instanceof Error && error.name === 'AbortError') return error;
  if (error instanceof S3ServiceException) {
    const status = error.$metadata.httpStatusCode ?? 0;
    if (status === 403) {
      return new AccessDeniedError(`No permission to ${verb} ${where}: ${error.name}.`, {
        remedy: "Check this role's grants on the bucket and on its KMS key.",
        cause: error,
      });
    }
    if (status === 429 || status >= 500) {
      return new UnavailableError(`S3 could not ${verb} ${where}: ${error.name}.`, {
        remedy: 'It is tried again; if it goes on, look at the AWS Health Dashboard.',
        cause: error,
      });
    }
  }
  if (isNetworkError(error)) {
    return new UnavailableError(`S3 did not answer when asked to ${verb} ${where}.`, {
      remedy: 'Check network and endpoint, and try again.',
      cause: error,
    });
  }
  return new NgbakError(`Could not ${verb} ${where}.`, {
    remedy: 'Check bucket name, endpoint and network.',
    cause: error,
  });
}

const NETWORK_CODES = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN']);

/** Whether no answer came at all. */
export function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return NETWORK_CODES.has(code) || error.name === 'TimeoutError';
}
