import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { Problem } from '../shared/api/problem.ts';
import { BackupDetails } from '../shared/catalog/summaries.ts';
import {
  AccessDeniedError,
  IntegrityError,
  InvalidInputError,
  NgbakError,
  UnavailableError,
} from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import { NotFoundError, RefusedError } from '../shared/core/refusals.ts';
import { retry } from '../shared/core/retry.ts';
import { Cancellation } from '../shared/operations/cancel-job.ts';
import { Contents } from '../shared/operations/contents.ts';
import { Deletion } from '../shared/operations/delete-backup.ts';
import { Download } from '../shared/operations/download-backup.ts';
import { Health } from '../shared/operations/health.ts';
import { BackupList } from '../shared/operations/list-backups.ts';
import { JobList } from '../shared/operations/list-jobs.ts';
import { ScheduleList, ScheduleView } from '../shared/operations/list-schedules.ts';
import { Pruned } from '../shared/operations/prune.ts';
import { RetentionSetting } from '../shared/operations/retention.ts';
import { JobView } from '../shared/operations/show-job.ts';
import { StartedJob } from '../shared/operations/start.ts';
import { StartedBackup } from '../shared/operations/start-backup.ts';
import { CompletedUpload, PresignedParts, UploadStatus } from '../shared/operations/upload.ts';
import { VerificationLeg } from '../shared/operations/verify-backup.ts';
import { MultipartUpload } from '../shared/workflows/restore/request.ts';
import type { Client } from './client.ts';

/** Longest that one call may take, in milliseconds: API Gateway gives up after 30 seconds. */
const CALL_MS = 40_000;
/** Largest answer that is read, in bytes: Lambda's answers have at most 6 MB. */
const ANSWER_BYTES_MAX = 8 * 1024 ** 2;

/** Tries of a call that may be repeated. */
const TRIES = { attempts: 3, firstMs: 500 };

const Accepted = z.object({ job_id: z.string() });

/** Does everything through the HTTP API with a key; archives go between this machine and S3. */
export function apiClient(url: string, key: string | undefined): Client {
  if (key === undefined) {
    throw new InvalidInputError('No key for the HTTP API is configured.', {
      remedy:
        'Set NGBAK_API_KEY or "api_key" in the configuration file; or use AWS credentials with --direct.',
    });
  }
  const base = `${url.replace(/\/+$/, '')}/api/v1`;

  /** With an idempotency key, or where it only reads, a call that got no answer is made again. */
  async function call<T>(
    schema: z.ZodType<T>,
    method: string,
    path: string,
    body?: object,
    idempotencyKey?: string,
  ): Promise<T> {
    const repeatable = method === 'GET' || idempotencyKey !== undefined;
    return retry(
      async () => {
        const answer = await send(`${base}${path}`, method, key ?? '', { body, idempotencyKey });
        const text = await readText(answer);
        if (answer.ok) return parseInput(schema, parseAnswer(text, base), `The answer of ${base}`);
        throw explain(answer.status, text, base);
      },
      { ...TRIES, isTransient: (error) => repeatable && error instanceof UnavailableError },
    );
  }
  const query = (input: object) => {
    const given = Object.entries(input).filter(([, value]) => value !== undefined);
    // A list is the same name several times.
    const pairs = given.flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]));
    return `?${new URLSearchParams(pairs)}`;
  };
  const at = (id: string) => encodeURIComponent(id);

  return {
    where: base,
    startBackup: (input) => call(StartedBackup, 'POST', '/backup', input, newKey()),
    listBackups: (input) => call(BackupList, 'GET', `/backup${query(input)}`),
    showBackup: (id) => call(BackupDetails, 'GET', `/backup/${at(id)}`),
    listContents: (id, input) => call(Contents, 'GET', `/backup/${at(id)}/contents${query(input)}`),
    downloadBackup: (id, input) =>
      call(Download, 'GET', `/backup/${at(id)}/download${query({ ...input, redirect: false })}`),
    updateBackup: (id, changes) => call(BackupDetails, 'PATCH', `/backup/${at(id)}`, changes),
    acknowledgeWarnings: (id, input) => call(BackupDetails, 'POST', `/backup/${at(id)}/acknowledge`, input),
    deleteBackup: (id) => call(Deletion, 'DELETE', `/backup/${at(id)}`),
    verifyBackup: (id, { cursor }) => call(VerificationLeg, 'POST', `/backup/${at(id)}/verify`, { cursor }),
    restoreBackup: (input) => call(StartedJob, 'POST', '/restore', input, newKey()),
    uploadLimit: async () => (await call(UploadLimits, 'GET', '/deployment')).upload?.max_bytes,
    requestUpload: (input) => call(MultipartUpload, 'POST', '/restore', input, newKey()),
    listUpload: (job, input) => call(UploadStatus, 'GET', `/restore/${at(job)}/parts${query(input)}`),
    presignParts: (job, input) => call(PresignedParts, 'POST', `/restore/${at(job)}/parts`, input),
    completeUpload: (job) => call(CompletedUpload, 'POST', `/restore/${at(job)}/complete`),
    attachDeferred: (job, input) => call(StartedJob, 'POST', `/restore/${at(job)}/attach`, input, newKey()),
    async confirmRestore(job, phrase, inspected_at) {
      await call(Accepted, 'POST', `/restore/${at(job)}/confirm`, { phrase, inspected_at });
    },
    async changeRestoreOptions(job, input) {
      await call(Accepted, 'POST', `/restore/${at(job)}/options`, input);
    },
    async rejectRestore(job, reason) {
      await call(Accepted, 'POST', `/restore/${at(job)}/reject`, reason === undefined ? {} : { reason });
    },
    listJobs: (input) => call(JobList, 'GET', `/jobs${query(input)}`),
    showJob: (job) => call(JobView, 'GET', `/jobs/${at(job)}`),
    cancelJob: (job) => call(Cancellation, 'POST', `/jobs/${at(job)}/cancel`),
    prune: (input) => call(Pruned, 'POST', '/backup/prune', input),
    showRetention: () => call(RetentionSetting, 'GET', '/retention'),
    setRetention: (input) => call(RetentionSetting, 'PUT', '/retention', input),
    resetRetention: (version) => call(RetentionSetting, 'DELETE', `/retention${query({ version })}`),
    listSchedules: () => call(ScheduleList, 'GET', '/schedules'),
    showSchedule: (name) => call(ScheduleView, 'GET', `/schedules/${at(name)}`),
    createSchedule: (input) => call(ScheduleView, 'POST', '/schedules', input),
    changeSchedule: (name, changes) => call(ScheduleView, 'PATCH', `/schedules/${at(name)}`, changes),
    removeSchedule: (name) => call(z.object({ name: z.string() }), 'DELETE', `/schedules/${at(name)}`),
    runSchedule: (name) => call(StartedBackup, 'POST', `/schedules/${at(name)}/run`, undefined, newKey()),
    rebuildCatalog: () => {
      throw new InvalidInputError('Rebuilding the catalog needs AWS credentials: every archive is read.', {
        remedy: 'Add --direct.',
      });
    },
    async permissions() {
      const { name, role } = await call(Me, 'GET', '/me');
      return `"${name}" is ${role}: ${MAY[role]}`;
    },
    health: () => call(Health, 'GET', '/health'),
    async clockOffsetMs() {
      const { headers } = await send(`${base}/openapi.json`, 'GET', key);
      return Date.parse(headers.get('date') ?? '') - Date.now();
    },
  };
}

/** Of the deployment, what an upload needs; deployments of earlier versions do not state it. */
const UploadLimits = z.object({ upload: z.object({ max_bytes: z.number() }).optional() });

const Me = z.object({ name: z.string(), role: z.enum(['viewer', 'operator', 'admin']) });

/** What each role may do: docs/api.md has it call by call. */
const MAY: Record<z.infer<typeof Me>['role'], string> = {
  viewer: 'may read everything and change nothing',
  operator: 'may back up, restore and download, but not delete backups',
  admin: 'may do everything',
};

/** One key for each request that is meant once, however often it is sent. */
function newKey(): string {
  return `cli-${randomUUID()}`;
}

async function send(
  url: string,
  method: string,
  key: string,
  { body, idempotencyKey }: { body?: object | undefined; idempotencyKey?: string | undefined } = {},
): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // A redirect would carry the key to somebody else.
      redirect: 'error',
      signal: AbortSignal.timeout(CALL_MS),
    });
  } catch (cause) {
    throw new UnavailableError(`${new URL(url).origin} did not answer.`, {
      remedy: 'Check the address of the API and the network, and try again.',
      cause,
    });
  }
}

async function readText(answer: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) {
      throw new NgbakError(`The response is larger than ${ANSWER_BYTES_MAX} bytes.`, {
        remedy: 'Check that the address is that of the HTTP API of ngbak.',
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseAnswer(text: string, base: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new NgbakError(`${base} returned a response that is not JSON.`, {
      remedy: 'Check that the address is that of the HTTP API of ngbak.',
      cause,
    });
  }
}

/** The error that a problem document tells, of the class that the exit codes know. */
function explain(status: number, text: string, base: string): NgbakError {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Not from our API but from something before it, such as a proxy.
    parsed = undefined;
  }
  const problem = Problem.safeParse(parsed);
  const message = problem.success ? problem.data.detail : `${base} answered ${status}.`;
  const remedy = problem.success ? problem.data.remedy : 'Check the address of the API, and try again.';
  const advice = { remedy, help: problem.success ? problem.data.help : undefined };
  if (status === 401 || status === 403) return new AccessDeniedError(message, advice);
  if (status === 404) return new NotFoundError(message, advice);
  if (status === 409) return new RefusedError(message, advice);
  if (status === 422) return new IntegrityError(message, advice);
  if (status === 400) return new InvalidInputError(message, advice);
  if (status === 429 || status === 503) return new UnavailableError(message, advice);
  return new NgbakError(message, advice);
}
