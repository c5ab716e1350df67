import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import {
  JOB_DAYS_COMPLETE_KEY,
  JOB_DAYS_PREFIX,
  JOB_TOTALS_KEY,
  JOBS,
  jobDayKey,
  jobOfDayKey,
} from '../../aws/keys.ts';
import { describeError, InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { hasEnded } from '../../core/job-state.ts';
import { mapOrdered } from '../../core/ordered.ts';
import { addToDay, type JobRecord, readJob } from './record.ts';
import { JobSummary, summarizeJob } from './summary.ts';
import { addJob, JobTotals, noTotals } from './totals.ts';

/**
 * The index of jobs by creation day, so that lists and metrics need not read every record of 90 days. The day cannot be
 * derived from the ids: EventBridge Scheduler chooses those of scheduled runs.
 *
 * Every job has an entry, which is written before its record. Two days later, the reconciler moves the data that lists
 * need about finished jobs into one object per day, and removes their entries.
 */

/** Records read concurrently. */
const READS_AT_ONCE = 32;
/** Maximum number of jobs in the memory of a process, at about 1 KiB each: the newest days. */
const REMEMBERED_MAX = 2000;
/**
 * Time from the start of a day until its jobs are moved into one object, in milliseconds: two days after the end of the
 * day.
 */
const SETTLED_MS = 3 * 86_400_000;
/** Size in bytes at which no more jobs are added to the object of a day. Below the limit for records. */
const DAY_BYTES_MAX = 3 * 1024 * 1024;

/** Age at which days are added to the totals, in milliseconds. Their job records expire at that time. */
const EXPIRED_MS = 90 * 86_400_000;

const JobDay = z.object({ jobs: z.array(JobSummary) });
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** A job in a list, or the reason why its record cannot be read. */
export type ListedJob =
  | { readonly id: string; readonly job: JobSummary; readonly problem?: undefined }
  | { readonly id: string; readonly job?: undefined; readonly problem: string };

interface JobDay {
  /** ETag of the object with finished jobs of this day. Undefined if there is none. */
  folded: string | undefined;
  /** Jobs that have individual entries. */
  readonly entries: string[];
}

/**
 * The days of the index, newest first. Undefined while jobs that earlier versions created are missing from the index.
 */
async function readIndex(bucket: Bucket): Promise<Map<string, JobDay> | undefined> {
  const { days, complete } = await listIndex(bucket);
  return complete ? days : undefined;
}

async function listIndex(bucket: Bucket): Promise<{ days: Map<string, JobDay>; complete: boolean }> {
  const found = new Map<string, JobDay>();
  let complete = false;
  for await (const { key, etag } of bucket.keys(JOB_DAYS_PREFIX)) {
    if (key === JOB_DAYS_COMPLETE_KEY) complete = true;
    const [, day = '', entry] = /^([^/.]+)(?:\/(.+)|\.json)$/.exec(key.slice(JOB_DAYS_PREFIX.length)) ?? [];
    if (!DAY.test(day)) continue;
    const known = found.get(day) ?? { folded: undefined, entries: [] };
    found.set(day, known);
    if (entry === undefined) known.folded = etag;
    else if (Id.safeParse(entry).success) known.entries.push(entry);
  }
  return { days: new Map([...found].sort(([a], [b]) => (a < b ? 1 : -1))), complete };
}

/**
 * What the last listing of a process found that need not be read again: the objects of days by their ETags, and jobs
 * whose records are final.
 */
interface Remembered {
  readonly days: Map<string, { etag: string; jobs: JobSummary[] }>;
  readonly settled: Map<string, JobSummary>;
}
const inMemory = new WeakMap<Bucket, Remembered>();

/**
 * Every job of the last 90 days, newest day first. Reads the record of a job only if no object of a day contains the
 * job, and if this process has not found it to be final before.
 */
export async function* listedJobs(bucket: Bucket): AsyncGenerator<ListedJob> {
  const days = await readIndex(bucket);
  if (!days) {
    yield* readAll(bucket, allIds(bucket));
    return;
  }
  const before = inMemory.get(bucket);
  const now: Remembered = { days: new Map(), settled: new Map() };
  let room = REMEMBERED_MAX;
  const folded = mapOrdered(days, READS_AT_ONCE, async ([day, { folded: etag = '', entries }]) => {
    const known = before?.days.get(day);
    const jobs =
      known && known.etag === etag
        ? known.jobs
        : etag === ''
          ? []
          : await readDay(bucket, day).catch(unreadable);
    return { day, etag, jobs, entries };
  });
  for await (const { day, etag, jobs, entries } of folded) {
    const done = typeof jobs === 'string' ? [] : jobs;
    if (typeof jobs === 'string') yield { id: day, problem: jobs };
    else if (etag !== '' && jobs.length <= room) {
      now.days.set(day, { etag, jobs });
      room -= jobs.length;
    }
    const known = new Set(done.map(({ job_id }) => job_id));
    const others = entries.filter((id) => !known.has(id));
    for await (const item of readAll(bucket, others, day, before?.settled)) {
      if (item.job && isSettled(item.job) && room > 0) {
        now.settled.set(item.id, item.job);
        room--;
      }
      yield item;
    }
    for (const job of done) yield { id: job.job_id, job };
  }
  inMemory.set(bucket, now);
}

/** The ids of all jobs that may not have ended. */
export async function* unsettledJobs(bucket: Bucket): AsyncGenerator<string> {
  const days = await readIndex(bucket);
  if (!days) yield* allIds(bucket);
  else for (const { entries } of days.values()) yield* entries;
}

async function* allIds(bucket: Bucket): AsyncGenerator<string> {
  for await (const id of bucket.folders(JOBS)) if (Id.safeParse(id).success) yield id;
}

/**
 * The list data of these jobs, from their records unless they are known. With a day, jobs that were created on another
 * day are omitted: a repeated request has two entries.
 */
async function* readAll(
  bucket: Bucket,
  ids: AsyncIterable<string> | Iterable<string>,
  day = '',
  known?: ReadonlyMap<string, JobSummary>,
): AsyncGenerator<ListedJob> {
  const items = mapOrdered(ids, READS_AT_ONCE, async (id) => {
    const summary = known?.get(id);
    if (summary) return { id, job: summary };
    const { job, problem } = await readOne(bucket, id);
    return { id, job: job && summarizeJob(job), problem };
  });
  for await (const { id, job, problem } of items) {
    if (problem !== undefined) yield { id, problem };
    else if (job?.created_at.startsWith(day)) yield { id, job };
  }
}

async function* readRecords(bucket: Bucket, ids: AsyncIterable<string> | Iterable<string>) {
  yield* mapOrdered(ids, READS_AT_ONCE, async (id) => ({ id, ...(await readOne(bucket, id)) }));
}

/** One corrupt record must not hide the others. */
async function readOne(
  bucket: Bucket,
  id: string,
): Promise<{ job?: JobRecord | undefined; problem?: string | undefined }> {
  const job = await readJob(bucket, id).catch(unreadable);
  return typeof job === 'string' ? { problem: job } : { job };
}

function unreadable(error: unknown): string {
  if (error instanceof InvalidInputError) return describeError(error);
  throw error;
}

async function readDay(bucket: Bucket, day: string): Promise<JobSummary[]> {
  return (await bucket.readRecord(jobDayKey(day), JobDay))?.value.jobs ?? [];
}

/** Adds an index entry for every job that has none. */
async function addMissing(bucket: Bucket): Promise<void> {
  const { days, complete } = await listIndex(bucket);
  const known = new Set<string>();
  for (const [day, { folded, entries }] of days) {
    for (const id of entries) known.add(id);
    if (folded !== undefined) for (const { job_id } of await readDay(bucket, day)) known.add(job_id);
  }
  async function* missing() {
    for await (const id of allIds(bucket)) if (!known.has(id)) yield id;
  }
  for await (const { id, job } of readRecords(bucket, missing())) {
    if (job) await addToDay(bucket, job);
    // A record that cannot be read is listed as unreadable, on the day that it was found.
    else await addToDay(bucket, { job_id: id, created_at: new Date().toISOString() });
  }
  if (!complete) await bucket.writeRecord(JOB_DAYS_COMPLETE_KEY, {});
}

/** Buckets whose jobs this process has already added to the index. */
const indexed = new Set<string>();

/**
 * Keeps the index small: moves finished jobs of past days into one object per day. Also adds jobs of versions without
 * an index. Idempotent; remaining work is left for the next call.
 */
export async function foldJobDays(bucket: Bucket, timeLeft: () => number, now = Date.now()): Promise<void> {
  if (!indexed.has(bucket.place)) {
    await addMissing(bucket);
    indexed.add(bucket.place);
  }
  const { days } = await listIndex(bucket);
  for (const [day, { entries }] of days) {
    if (timeLeft() <= 0) return;
    if (entries.length > 0 && Date.parse(day) + SETTLED_MS < now) {
      await foldDay(bucket, day, entries);
    }
  }
  // Oldest first: the totals store only the last day that they include.
  for (const [day, { folded, entries }] of [...days].reverse()) {
    if (timeLeft() <= 0) return;
    if (folded !== undefined && entries.length === 0 && Date.parse(day) + EXPIRED_MS < now)
      await addToTotals(bucket, day);
  }
}

/** Totals of the jobs of all days up to and including `through`. */
const PastTotals = z.object({ through: z.string(), totals: JobTotals });
type PastTotals = z.infer<typeof PastTotals>;

/** Adds the jobs of a day to the totals, and removes its object. Idempotent. */
async function addToTotals(bucket: Bucket, day: string): Promise<void> {
  const found = await bucket.readRecord(JOB_TOTALS_KEY, PastTotals);
  if (found === undefined || found.value.through < day) {
    const totals = found?.value.totals ?? noTotals();
    for (const job of await readDay(bucket, day)) addJob(totals, job);
    const record = { through: day, totals };
    await bucket.writeRecord(JOB_TOTALS_KEY, record, found ? { etag: found.etag } : { absent: true });
  }
  await bucket.removeVersion({ key: jobDayKey(day) });
}

/**
 * Totals over all days whose job records have expired. Read them after listing the jobs: a day that was moved into the
 * totals in between is in both, and `through` allows the caller not to count it twice.
 */
export async function pastTotals(bucket: Bucket): Promise<PastTotals> {
  const found = await bucket.readRecord(JOB_TOTALS_KEY, PastTotals).catch((error: unknown) => {
    // Written by another version, or corrupt: the counters start over, which Prometheus treats as a restart.
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  });
  return found?.value ?? { through: '', totals: noTotals() };
}

async function foldDay(bucket: Bucket, day: string, entries: readonly string[]): Promise<void> {
  const found = await bucket.readRecord(jobDayKey(day), JobDay);
  const jobs = new Map(found?.value.jobs.map((job) => [job.job_id, job]));
  let bytes = JSON.stringify([...jobs.values()], null, 2).length;
  const folded: string[] = [];
  for await (const { id, job, problem } of readRecords(bucket, entries)) {
    if (problem !== undefined) continue;
    // The record has expired, or was never written.
    if (job === undefined) folded.push(id);
    if (job === undefined || !isSettled(job)) continue;
    const summary = summarizeJob(job);
    bytes += JSON.stringify(summary, null, 2).length * 2;
    if (bytes > DAY_BYTES_MAX) break;
    // Skips the entry of a job that was requested twice and was created on another day.
    if (job.created_at.startsWith(day)) jobs.set(id, summary);
    folded.push(id);
  }
  if (folded.length === 0) return;
  await bucket.writeRecord(
    jobDayKey(day),
    { jobs: [...jobs.values()] },
    found ? { etag: found.etag } : { absent: true },
  );
  const removed = mapOrdered(folded, READS_AT_ONCE, (id) =>
    bucket.removeVersion({ key: jobOfDayKey(day, id) }),
  );
  for await (const _ of removed);
}

/** Whether this record is final: the job has ended, and its writers are not waiting to be resumed. */
function isSettled({ state, writers }: Pick<JobRecord, 'state' | 'writers'>): boolean {
  return hasEnded(state) && writers !== 'paused';
}
