import { isNativeError } from 'node:util/types';
import { AccessDeniedError, InvalidInputError, NgbakError, UnavailableError } from '../../core/errors.ts';

const PAUSE_WRITERS =
  'Pause what writes to it while the backup runs (a pause hook does that), and try again.';

/** A file became another one while it was read. Worth another try, when what writes to it has finished. */
export class FileChangedError extends UnavailableError {
  constructor(folder: string, file: string) {
    super(`${folder}: file "${file}" changed while it was read.`, { remedy: PAUSE_WRITERS });
  }
}

/** A file became another one although an earlier step has archived its beginning: only a new backup can have all of it. */
export class FileBegunError extends NgbakError {
  constructor(folder: string, file: string) {
    super(`${folder}: file "${file}" changed after its first part was archived by an earlier step.`, {
      remedy: PAUSE_WRITERS,
    });
  }
}

/** Failures of the file system or of S3 in words that help; errors of ours stay as they are. */
export function folderError(folder: string, what: string, error: unknown): NgbakError {
  if (error instanceof NgbakError) return error;
  const code = codeOf(error);
  const message = `${folder}: ${what} failed (${code}).`;
  if (['ENOENT', 'ENOTDIR', 'NoSuchBucket'].includes(code)) {
    return new InvalidInputError(message, {
      remedy:
        'Check "location" in the secret of the store, and that the folder is mounted or the bucket exists.',
      cause: error,
    });
  }
  if (['EACCES', 'EPERM', 'EROFS', 'AccessDenied', 'Forbidden', '403'].includes(code)) {
    return new AccessDeniedError(message, {
      remedy: 'Allow the role of the function, or its EFS access point, to read and write there.',
      cause: error,
    });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new NgbakError(message, { remedy: 'Free space there, and restore again.', cause: error });
  }
  return new UnavailableError(message, {
    remedy: 'ngbak retries automatically. If the error persists, check the storage.',
    cause: error,
  });
}

/** The code of a failure, such as `ENOENT`; for those without one their name. */
export function codeOf(error: unknown): string {
  if (!isNativeError(error)) return String(error);
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error.name;
}
