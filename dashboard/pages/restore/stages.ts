import { hasEnded } from '../../../shared/core/job-state.ts';
import type { JobView } from '../../../shared/operations/show-job.ts';

/** Where a restore stands, as its wizard shows it. */
export type RestoreStage = 'upload' | 'inspection' | 'decision' | 'restore' | 'result';

/** Phases that come after the confirmation only. */
const WRITING = new Set(['test-load', 'clear', 'load', 'verify', 'finish']);
/** The workflow's state that comes first after the confirmation; infra/workflows/restore.ts names it. */
const BEGIN = 'Begin restore';

/** Finds out from a job alone where it stands: so its address is all that has to be kept. */
export function stageOf(job: JobView): RestoreStage {
  if (hasEnded(job.state)) return 'result';
  if (job.state === 'awaiting_confirmation') return 'decision';
  if (job.state === 'pending' && job.upload !== undefined && job.execution_arn === undefined) return 'upload';
  const began =
    job.progress.some(({ phase }) => WRITING.has(phase)) || job.log.some(({ text }) => text === BEGIN);
  return began ? 'restore' : 'inspection';
}
