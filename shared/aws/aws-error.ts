import { AccessDeniedError, NgbakError, UnavailableError } from '../core/errors.ts';
import { explainAwsCode, isNetworkError } from './s3-error.ts';

const NO_ACCESS = new Set([
  'AccessDenied',
  'AccessDeniedException',
  'CredentialsProviderError',
  'InvalidAccessKeyId',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'TokenProviderError',
  'UnrecognizedClientException',
]);

/** Explains an error of the AWS SDK in an operator's terms; other errors are returned unchanged. */
export function explainAwsError(error: unknown): unknown {
  if (error instanceof NgbakError || !(error instanceof Error)) return error;
  const known = explainAwsCode(error, 'AWS refused the call');
  if (known) return known;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (NO_ACCESS.has(error.name)) {
    return new AccessDeniedError(`AWS refused the call: ${error.name}.`, {
      remedy:
        'Check the credentials (AWS_PROFILE, `aws sts get-caller-identity`) and what their role may do.',
      cause: error,
    });
  }
  if (error.message === 'Region is missing') {
    return new AccessDeniedError('No AWS region is configured.', {
      remedy: 'Set AWS_REGION, or `region` in the AWS profile.',
      cause: error,
    });
  }
  if (isNetworkError(error)) {
    return new UnavailableError(`AWS did not respond: ${code || error.name}.`, {
      remedy: 'Check network and endpoint, and try again.',
      cause: error,
    });
  }
  return error;
}
