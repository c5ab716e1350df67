import type { UploadStatus } from '../../shared/operations/upload.ts';
import { type ApiClient, ApiError } from '../api.ts';
import { UploadError, type UploadFailure } from './errors.ts';
import type { RemotePart } from './parts.ts';
import type { UploadApi } from './upload.ts';

/** The state of a job's upload in S3, and its request; the first 1,000 parts. */
export function uploadStatus(client: ApiClient, jobId: string, signal?: AbortSignal): Promise<UploadStatus> {
  return client.listUpload(jobId, {}, signal);
}

/**
 * The upload of one job through the API of this deployment.
 *
 * @param client   returns the client of the current user: a session may expire during an upload
 */
export function uploadApi(client: () => ApiClient, jobId: string, partBytes: number): UploadApi {
  return {
    partBytes,
    async parts(signal) {
      const all: RemotePart[] = [];
      for (let after: number | undefined = 0; after !== undefined; ) {
        const page: UploadStatus = await explained(client().listUpload(jobId, { after }, signal));
        all.push(...page.parts);
        after = page.next_after;
      }
      return all;
    },
    async address({ number }, sha256, signal) {
      const { parts } = await explained(
        client().presignParts(jobId, { parts: [{ number, sha256 }] }, signal),
      );
      const [part] = parts;
      if (part) return { url: part.url, headers: part.headers };
      throw new UploadError('refused', `The API returned no URL for part ${number}.`);
    },
    async complete(signal) {
      await explained(client().completeUpload(jobId, signal));
    },
    async abort() {
      await explained(client().cancelJob(jobId));
    },
  };
}

const FAILURES: Partial<Record<number, UploadFailure>> = {
  0: 'retry',
  401: 'session',
  403: 'session',
  404: 'gone',
  409: 'gone',
  429: 'retry',
};

/** Maps errors of the API to those of an upload. */
async function explained<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const failure = FAILURES[error.status] ?? (error.status >= 500 ? 'retry' : 'refused');
    throw new UploadError(failure, error.message, {
      cause: error,
      ...(failure === 'session' ? {} : { remedy: error.remedy }),
    });
  }
}
