import { sleep } from '../../shared/core/retry.ts';
import type { ApiClient } from '../api.ts';
import { UploadError } from './errors.ts';
import { uploadApi } from './restore-upload.ts';
import { sendPart } from './send-part.ts';
import { Upload } from './upload.ts';

interface Running {
  readonly upload: Upload;
  client: ApiClient;
}

/** The uploads of this tab by job: they continue while the user views other pages. */
const running = new Map<string, Running>();

/** The upload of a job whose file is open in this tab; from now on it calls the API as `client`. */
export function runningUpload(jobId: string, client: ApiClient): Upload | undefined {
  const found = running.get(jobId);
  if (found) found.client = client;
  return found?.upload;
}

/** Starts to upload a file for a job, or resumes with the parts that S3 already has. */
export function startUpload(jobId: string, file: File, partBytes: number, client: ApiClient): Upload {
  const held: Running = {
    client,
    upload: new Upload({
      api: uploadApi(() => held.client, jobId, partBytes),
      file,
      send: sendPart,
      wait: async (ms, signal) => {
        await sleep(ms, signal);
        await online(signal);
      },
      only: (work) => alone(jobId, work),
    }),
  };
  running.set(jobId, held);
  held.upload.subscribe(() => guardTab());
  void held.upload.resume();
  return held.upload;
}

/** Forgets an upload that is replaced by another file, or has ended. */
export function discardUpload(jobId: string): void {
  running.delete(jobId);
}

/** Waits while the computer is offline, for any time: it is not a failed attempt. */
async function online(signal: AbortSignal): Promise<void> {
  if (navigator.onLine) return;
  const back = Promise.withResolvers<void>();
  const over = () => back.reject(signal.reason);
  addEventListener('online', () => back.resolve(), { once: true, signal });
  signal.addEventListener('abort', over, { once: true });
  await back.promise.finally(() => signal.removeEventListener('abort', over));
}

/** Two tabs with the same upload would each send every part. */
async function alone(jobId: string, work: () => Promise<void>): Promise<void> {
  await navigator.locks.request(lockName(jobId), { ifAvailable: true }, (lock) => {
    if (lock) return work();
    throw new UploadError('refused', 'Another tab is uploading this file.', {
      remedy: 'Continue there, or close that tab and resume here.',
    });
  });
}

/** Whether some tab of this browser is uploading for the job right now. */
export async function isUploading(jobId: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query();
  return held.some(({ name }) => name === lockName(jobId));
}

const lockName = (jobId: string) => `ngbak upload ${jobId}`;

let guarded = false;

/** Makes the browser ask before it closes a tab with an upload in progress. */
function guardTab(): void {
  const busy = [...running.values()].some(({ upload }) =>
    ['checking', 'uploading', 'waiting', 'completing'].includes(upload.state().phase),
  );
  if (busy === guarded) return;
  guarded = busy;
  if (busy) addEventListener('beforeunload', ask);
  else removeEventListener('beforeunload', ask);
}

function ask(event: BeforeUnloadEvent): void {
  event.preventDefault();
}
