import { hasEnded } from '../../shared/core/job-state.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import { useSession } from '../session.tsx';
import { type Loaded, useData } from '../use-data.ts';

/** Poll interval of a running job, in milliseconds; its progress is written once a second. */
const RUNNING_MS = 1500;
/** The same for a job that waits for a user. */
const WAITING_MS = 5000;

/** A job, refreshed until it has ended. */
export function useJob(jobId: string | undefined): Loaded<JobView> {
  const { api } = useSession();
  return useData(
    jobId,
    (signal) => api.showJob(jobId ?? '', signal),
    ({ state }) =>
      hasEnded(state) ? undefined : state === 'awaiting_confirmation' ? WAITING_MS : RUNNING_MS,
  );
}
