import { thawArchive, thawHours } from '../../catalog/thaw.ts';
import type { ThawRequest } from '../../core/storage-class.ts';
import type { Environment } from '../environment.ts';
import { readJob, updateRunningJob } from '../job/record.ts';
import { readAdmitted } from './plan.ts';

const HOUR_MS = 3_600_000;
/**
 * Time until an archive is looked at again, in seconds. Each look takes three transitions of the workflow and about ten
 * events of its history: a thaw of two days takes a tenth of the events that an execution may have.
 */
const POLL_SECONDS: Readonly<Record<ThawRequest['tier'], number>> = {
  standard: 600,
  bulk: 600,
  expedited: 60,
};

/** Output of the step: whether the inspection can begin, or after how many seconds to look again. */
export interface ThawedRestore {
  readonly job_id: string;
  readonly readable: boolean;
  readonly wait_seconds: number;
}

/**
 * Requests that the archive of a restore or drill be thawed, unless it is readable or that was requested before. The
 * job's record states how long it waits. Repeated until the archive is readable; no lock is held meanwhile, and no
 * writer is paused.
 */
export async function thawForRestore(
  environment: Pick<Environment, 'bucket' | 'log'>,
  jobId: string,
  { pollSeconds, now = Date.now() }: { readonly pollSeconds?: number; readonly now?: number } = {},
): Promise<ThawedRestore> {
  const { bucket, log } = environment;
  const { source, thaw } = await readAdmitted(bucket, jobId);
  if (thaw === undefined) return { job_id: jobId, readable: true, wait_seconds: 0 };
  const { state, place, readable_until, requested } = await thawArchive(bucket, source, thaw, now);
  if (requested) log('The archive was requested from cold storage.', { job_id: jobId, ...thaw });
  const waiting = (await readJob(bucket, jobId))?.thaw;
  const at = new Date(now).toISOString();
  if (state !== 'thawing') {
    if (waiting && waiting.ready_at === undefined) {
      const until = readable_until === undefined ? {} : { readable_until };
      await updateRunningJob(bucket, jobId, { thaw: { ...waiting, ready_at: at, ...until } });
    }
    return { job_id: jobId, readable: true, wait_seconds: 0 };
  }
  if (waiting === undefined && place !== undefined) {
    const expected_by = new Date(now + thawHours(place, thaw.tier).max * HOUR_MS).toISOString();
    await updateRunningJob(bucket, jobId, { thaw: { place, ...thaw, since: at, expected_by } });
  }
  return { job_id: jobId, readable: false, wait_seconds: pollSeconds ?? POLL_SECONDS[thaw.tier] };
}
