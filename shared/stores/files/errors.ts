import { isNativeError } from 'node:util/types';
import { AccessDeniedError, InvalidInputError, NgbakError, UnavailableError } from '../../core/errors.ts';

const PAUSE_WRITERS =
  'Pause what writes to it while the backup runs (a pause hook does that), and try again.';

/** A file changed while it was read. Can be retried once its writer has finished. */
export class FileChangedError extends UnavailableError {
  constructor(folder: string, file: string) {
    super(`${folder}: file "${file}" changed while it was read.`, { remedy: PAUSE_WRITERS });
  }
}

/** A file changed after an earlier step had archived its beginning. Only a new backup can contain it completely. */
export class FileBegunError extends NgbakError {
  constructor(folder: string, file: string) {
    super(`${folder}: file "${file}" changed after its first part was archived by an earlier step.`, {
      remedy: PAUSE_WRITERS,
    });
  }
}

/** Something other than a folder, such as a link, has the name of a folder that a file of the knowledge base is in. */
export class NotAFolderError extends InvalidInputError {
  constructor(folder: string, name: string) {
    super(`${folder}: "${name}" is not a folder. Links are not followed.`, {
      remedy: 'Replace it by a folder, or leave it out of the scope of the store.',
    });
  }
}

/** A folder has the name of a file that is to be written. */
export class NotAFileError extends InvalidInputError {
  constructor(folder: string, name: string) {
    super(`${folder}: "${name}" is a folder, but a file in the archive.`, {
      remedy: 'Remove the folder, and restore again.',
    });
  }
}

/**
 * Translates failures of the file system or S3 into understandable errors. ngbak's own errors are returned unchanged.
 */
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

/** The code of a failure, such as `ENOENT`, or else its name. */
export function codeOf(error: unknown): string {
  if (!isNativeError(error)) return String(error);
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error.name;
}
