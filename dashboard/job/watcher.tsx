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

/** Maximum number of watched jobs: more notices would only distract. */
const NEWEST = 20;
const EVERY_MS = { running: 4000, quiet: 20_000 };

/** Reports on every page that a job has ended or waits for the user. Jobs that had ended before are not reported. */
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
  // The page of the job reports it itself.
  const open = parts[0] === 'job' || parts[0] === 'restore' ? parts[1] : undefined;
  useEffect(() => {
    if (!data) return;
    const before = known.current;
    known.current = new Map(data.jobs.map(({ job_id, state }) => [job_id, state]));
    if (!before) return;
    for (const job of data.jobs) {
      const was = before.get(job.job_id);
      // A job that began and ended between two polls is reported too.
      if (was === job.state || job.job_id === open) continue;
      const notice = noticeOf(job);
      if (notice) notify(notice, `job ${job.job_id}`);
    }
  }, [data, notify, open]);
  return null;
}

/** The notice for a job in this state; undefined if there is nothing to report. */
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
