import type { z } from 'zod';
import type { Problem } from '../shared/api/problem.ts';
import type { Deployment, KeyList, Me } from '../shared/api/routes/deployment.ts';
import type { Manifest } from '../shared/archive/format/manifest.ts';
import type { BackupDetails } from '../shared/catalog/summaries.ts';
import { seeAlso } from '../shared/core/help.ts';
import type { AcknowledgeInput } from '../shared/operations/acknowledge.ts';
import type { Cancellation } from '../shared/operations/cancel-job.ts';
import type { Contents, ContentsInput } from '../shared/operations/contents.ts';
import type { Deletion } from '../shared/operations/delete-backup.ts';
import type { Download, DownloadInput } from '../shared/operations/download-backup.ts';
import type { Health } from '../shared/operations/health.ts';
import type { BackupList, ListBackupsInput } from '../shared/operations/list-backups.ts';
import type { JobList, ListJobsInput } from '../shared/operations/list-jobs.ts';
import type { ScheduleList, ScheduleView } from '../shared/operations/list-schedules.ts';
import type { Overview } from '../shared/operations/overview.ts';
import type { Pruned, PruneInput } from '../shared/operations/prune.ts';
import type { ChangeOptionsInput, RestoreBackupInput } from '../shared/operations/restore.ts';
import type { RetentionSetting, SetRetentionInput } from '../shared/operations/retention.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import type { StartedJob } from '../shared/operations/start.ts';
import type { StartBackupInput, StartedBackup } from '../shared/operations/start-backup.ts';
import type { BackupChanges } from '../shared/operations/update-backup.ts';
import type { VerificationLeg } from '../shared/operations/verify-backup.ts';
import type { CreateScheduleInput, ScheduleChanges } from '../shared/schedules/schedule.ts';

/** Longest that one call may take, in milliseconds: API Gateway gives up after 30 seconds. */
const CALL_MS = 40_000;

/** The API of this deployment: the page's own origin, and the same stage of the gateway. */
export const API_URL = new URL('./api/v1/', document.baseURI);

/** What went wrong with a call, in words for the user, and what to do about it. */
export class ApiError extends Error {
  /** HTTP status; 0 where no answer came at all. */
  readonly status: number;
  readonly title: string;
  readonly remedy: string;

  constructor(problem: Pick<Problem, 'status' | 'title' | 'detail' | 'remedy'>) {
    super(problem.detail);
    this.name = 'ApiError';
    this.status = problem.status;
    this.title = problem.title;
    this.remedy = problem.remedy;
  }
}

/** Query parameters; what is undefined is left out. */
type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
type VerificationAnswer = Omit<VerificationLeg, 'cursor'> & { readonly cursor: string | null };

export interface CallOptions {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Calls the API of this deployment with one key. Its answers have passed the schemas of shared/ on their way out, so
 * here they only have their types.
 */
export class ApiClient {
  readonly #key: string;
  readonly #refused: () => void;

  /** @param refused  called when the key is no longer valid */
  constructor(key: string, refused: () => void) {
    this.#key = key;
    this.#refused = refused;
  }

  /** Calls `path` below /api/v1/. Throws ApiError, or the signal's reason. */
  async call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const url = new URL(path, API_URL);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      // A list is the same name several times.
      if (value !== undefined) for (const one of [value].flat()) url.searchParams.append(name, String(one));
    }
    const { body, signal } = options;
    const answer = await send(url, {
      method,
      headers: {
        authorization: `Bearer ${this.#key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      cache: 'no-store',
      // A redirect would carry the key to somebody else.
      redirect: 'error',
      signal: AbortSignal.any([AbortSignal.timeout(CALL_MS), ...(signal ? [signal] : [])]),
    });
    if (!answer.ok) {
      if (answer.status === 401) this.#refused();
      throw await explain(answer);
    }
    return (await answer.json()) as T;
  }

  me = (signal?: AbortSignal) => this.call<Me>('GET', 'me', { signal });
  deployment = (signal?: AbortSignal) => this.call<Deployment>('GET', 'deployment', { signal });
  keys = (signal?: AbortSignal) => this.call<KeyList>('GET', 'keys', { signal });
  overview = (signal?: AbortSignal) => this.call<Overview>('GET', 'overview', { signal });
  health = (signal?: AbortSignal) => this.call<Health>('GET', 'health', { signal });

  listBackups = (query: Partial<ListBackupsInput> = {}, signal?: AbortSignal) =>
    this.call<BackupList>('GET', 'backup', { query, signal });
  showBackup = (id: string, signal?: AbortSignal) =>
    this.call<BackupDetails>('GET', `backup/${at(id)}`, { signal });
  startBackup = (body: z.input<typeof StartBackupInput>, idempotencyKey: string) =>
    this.call<StartedBackup>('POST', 'backup', { body, headers: { 'idempotency-key': idempotencyKey } });
  listContents = (id: string, query: Partial<ContentsInput>, signal?: AbortSignal) =>
    this.call<Contents>('GET', `backup/${at(id)}/contents`, { query, signal });
  showManifest = (id: string, signal?: AbortSignal) =>
    this.call<Manifest>('GET', `backup/${at(id)}/manifest`, { signal });
  /** Where to download an archive, or one entry of it. The address is a credential: it is used at once and not kept. */
  downloadBackup = (id: string, query: Partial<DownloadInput> = {}) =>
    this.call<Download>('GET', `backup/${at(id)}/download`, { query: { ...query, redirect: false } });
  updateBackup = (id: string, body: BackupChanges) =>
    this.call<BackupDetails>('PATCH', `backup/${at(id)}`, { body });
  acknowledgeWarnings = (id: string, body: Partial<AcknowledgeInput>) =>
    this.call<BackupDetails>('POST', `backup/${at(id)}/acknowledge`, { body });
  deleteBackup = (id: string) => this.call<Deletion>('DELETE', `backup/${at(id)}`);
  /** One leg of a verification; call again with its cursor until it is done. */
  verifyBackup = (id: string, cursor: string | null, signal?: AbortSignal) =>
    this.call<VerificationAnswer>('POST', `backup/${at(id)}/verify`, { body: { cursor }, signal });
  prune = (body: Partial<PruneInput>, signal?: AbortSignal) =>
    this.call<Pruned>('POST', 'backup/prune', { body, signal });

  showRetention = (signal?: AbortSignal) => this.call<RetentionSetting>('GET', 'retention', { signal });
  setRetention = (body: SetRetentionInput) => this.call<RetentionSetting>('PUT', 'retention', { body });
  /** Lets the policy of cdk.json count again. */
  resetRetention = (version: string) =>
    this.call<RetentionSetting>('DELETE', 'retention', { query: { version } });

  restoreBackup = (body: z.input<typeof RestoreBackupInput>, idempotencyKey: string) =>
    this.call<StartedJob>('POST', 'restore', { body, headers: { 'idempotency-key': idempotencyKey } });
  /** Approves a restore that was inspected at this time; refused when it was inspected again since. */
  confirmRestore = (job: string, phrase: string, inspected_at: string) =>
    this.call<{ job_id: string }>('POST', `restore/${at(job)}/confirm`, { body: { phrase, inspected_at } });
  rejectRestore = (job: string, reason?: string) =>
    this.call<{ job_id: string }>('POST', `restore/${at(job)}/reject`, { body: { reason } });
  /** Inspects a restore that waits once more, with other options; nothing is written. */
  changeRestoreOptions = (job: string, body: z.input<typeof ChangeOptionsInput>) =>
    this.call<{ job_id: string }>('POST', `restore/${at(job)}/options`, { body });

  listSchedules = (signal?: AbortSignal) => this.call<ScheduleList>('GET', 'schedules', { signal });
  showSchedule = (name: string, signal?: AbortSignal) =>
    this.call<ScheduleView>('GET', `schedules/${at(name)}`, { signal });
  createSchedule = (body: z.input<typeof CreateScheduleInput>) =>
    this.call<ScheduleView>('POST', 'schedules', { body });
  changeSchedule = (name: string, body: z.input<typeof ScheduleChanges>) =>
    this.call<ScheduleView>('PATCH', `schedules/${at(name)}`, { body });
  removeSchedule = (name: string) => this.call<{ name: string }>('DELETE', `schedules/${at(name)}`);
  /** Starts now what the schedule would start. */
  runSchedule = (name: string, idempotencyKey: string) =>
    this.call<StartedBackup>('POST', `schedules/${at(name)}/run`, {
      headers: { 'idempotency-key': idempotencyKey },
    });

  listJobs = (query: Partial<ListJobsInput> = {}, signal?: AbortSignal) =>
    this.call<JobList>('GET', 'jobs', { query, signal });
  showJob = (job: string, signal?: AbortSignal) => this.call<JobView>('GET', `jobs/${at(job)}`, { signal });
  cancelJob = (job: string) => this.call<Cancellation>('POST', `jobs/${at(job)}/cancel`);
}

const at = encodeURIComponent;

async function send(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    const late = cause instanceof DOMException && cause.name === 'TimeoutError';
    throw new ApiError({
      status: 0,
      title: navigator.onLine ? 'No response' : 'Offline',
      detail: late ? 'The API did not respond in time.' : 'The API could not be reached.',
      remedy: navigator.onLine
        ? 'ngbak retries automatically. If the error persists, check that the stack is still deployed.'
        : 'This computer is offline. The page continues as soon as the network is back.',
    });
  }
}

async function explain(answer: Response): Promise<ApiError> {
  const text = await answer.text();
  try {
    const problem = JSON.parse(text) as Partial<Problem>;
    if (typeof problem.detail === 'string' && typeof problem.remedy === 'string') {
      return new ApiError({
        status: answer.status,
        title: problem.title ?? 'Error',
        detail: problem.detail,
        remedy: problem.help === undefined ? problem.remedy : `${problem.remedy} ${seeAlso(problem.help)}`,
      });
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  // Not from our API but from something before it: the gateway, or a proxy.
  return new ApiError({
    status: answer.status,
    title: 'Unexpected response',
    detail: `The API answered ${answer.status} with an unexpected body.`,
    remedy:
      answer.status === 429
        ? 'Too many requests. Wait a moment and try again.'
        : 'Try again. If the error persists, check the logs of the API function.',
  });
}
