import { hasEnded } from '../../../shared/core/job-state.ts';
import type { JobView } from '../../../shared/operations/show-job.ts';

/** The stages of a restore in its wizard. */
export type RestoreStage = 'upload' | 'inspection' | 'decision' | 'restore' | 'result';

/** Phases that only follow the confirmation. */
const WRITING = new Set(['test-load', 'clear', 'load', 'verify', 'finish']);
/** The first state of the workflow after the confirmation; infra/workflows/restore.ts names it. */
const BEGIN = 'Begin restore';

/** Determines the stage from the job alone, so that only its address has to be kept. */
export function stageOf(job: JobView): RestoreStage {
  if (hasEnded(job.state)) return 'result';
  if (job.state === 'awaiting_confirmation') return 'decision';
  if (job.state === 'pending' && job.upload !== undefined && job.execution_arn === undefined) return 'upload';
  const began =
    job.progress.some(({ phase }) => WRITING.has(phase)) || job.log.some(({ text }) => text === BEGIN);
  return began ? 'restore' : 'inspection';
}
