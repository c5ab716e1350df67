import type { Environment, Leg } from '../environment.ts';
import { isSafetyJob } from '../restore/safety.ts';
import type { LegContext } from '../stores/port.ts';
import type { ProgressWriter } from './progress.ts';

/** The context that store adapters work in, for one leg of a job. */
export function legContext(
  environment: Environment,
  leg: Leg,
  jobId: string,
  progress?: ProgressWriter,
): LegContext {
  return {
    jobId,
    asIs: isSafetyJob(jobId),
    timeLeft: leg.timeLeft,
    signal: leg.signal,
    progress: (unit, done, total) => progress?.report(unit, done, total),
    log: environment.log,
  };
}
