/**
 * How to handle a failure: `retry` it later, get a new `address`, give up because the upload is `gone`, because the
 * `session` of the user has expired, because the `file` cannot be read, or because it was `refused` permanently.
 */
export type UploadFailure = 'retry' | 'address' | 'gone' | 'session' | 'file' | 'refused';

export class UploadError extends Error {
  readonly failure: UploadFailure;
  readonly remedy: string;

  constructor(failure: UploadFailure, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'UploadError';
    this.failure = failure;
    this.remedy = options.remedy ?? REMEDIES[failure];
  }
}

const REMEDIES: Record<UploadFailure, string> = {
  retry: 'Check your network, then resume. Uploaded parts are kept.',
  address: 'Resume to retry with new URLs. If that fails again, your key may have lost its role.',
  gone: 'Start the restore again. Incomplete uploads are removed after a day.',
  session: 'Sign in again, then resume. Uploaded parts are kept.',
  file: 'Choose the file again. Uploaded parts are kept.',
  refused: 'Cancel this upload and start the restore again.',
};
