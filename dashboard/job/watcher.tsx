import Link from '@cloudscape-design/components/link';
import { useEffect, useRef } from 'react';
import { hasEnded, type JobState } from '../../shared/core/job-state.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import { beginWanted, discardDownload, isWanted } from '../download/running.ts';
import { type Notice, useNotices } from '../notices.tsx';
import { href, useRoute } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';
import { KIND_OF } from './kinds.ts';

/** Jobs that are looked at: more at once would be no news but noise. */
const NEWEST = 20;
const EVERY_MS = { running: 4000, quiet: 20_000 };

/** Tells, wherever the user is, that a job has ended or waits for them. Jobs that had ended before are no news. */
export function JobWatcher() {
  const { api } = useSession();
  const { notify } = useNotices();
  const { parts } = useRoute();
  const { data } = useData(
    'watched jobs',
    (signal) => api.listJobs({ limit: NEWEST }, signal),
    ({ jobs }) => (jobs.some(({ state }) => !hasEnded(state)) ? EVERY_MS.running : EVERY_MS.quiet),
  );
  useEffect(() => {
    for (const { job_id, state, backup_id } of data?.jobs ?? []) {
      if (!hasEnded(state) || !isWanted(job_id)) continue;
      if (state === 'completed' && backup_id !== undefined) beginWanted(job_id, backup_id, api);
      else discardDownload(job_id);
    }
  }, [data, api]);
  const known = useRef<Map<string, JobState>>(undefined);
  // The page of a job tells it itself.
  const open = parts[0] === 'job' || parts[0] === 'restore' ? parts[1] : undefined;
  useEffect(() => {
    if (!data) return;
    const before = known.current;
    known.current = new Map(data.jobs.map(({ job_id, state }) => [job_id, state]));
    if (!before) return;
    for (const job of data.jobs) {
      const was = before.get(job.job_id);
      // What began and ended between two looks is news as well.
      if (was === job.state || job.job_id === open) continue;
      const notice = noticeOf(job);
      if (notice) notify(notice, `job ${job.job_id}`);
    }
  }, [data, notify, open]);
  return null;
}

/** What is reported about a job in this state; undefined if there is nothing to report. */
function noticeOf(job: JobSummary): Notice | undefined {
  const what = `${KIND_OF[job.kind]} ${job.target}`;
  const link = (
    <Link color="inverted" href={href([job.kind === 'restore' ? 'restore' : 'job', job.job_id])}>
      Open
    </Link>
  );
  switch (job.state) {
    case 'completed':
      return { type: 'success', header: `${what} completed`, content: link };
    case 'failed':
      return {
        type: 'error',
        header: `${what} failed`,
        content: (
          <>
            {job.error?.message} {link}
          </>
        ),
      };
    case 'rolled_back':
      return {
        type: 'warning',
        header: `${what} was rolled back`,
        content: (
          <>
            {job.error?.message} {link}
          </>
        ),
      };
    case 'cancelled':
      return { type: 'info', header: `${what} was cancelled`, content: link };
    case 'awaiting_confirmation':
      return { type: 'warning', header: `${what} is waiting for confirmation`, content: link };
    default:
      return undefined;
  }
}
