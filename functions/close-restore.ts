import { z } from 'zod';
import { Id } from '../shared/core/ids.ts';
import { closeExecution } from '../shared/workflows/restore/close-rehearsal.ts';
import { step } from './step.ts';

/** Last step of a restore: reports what was restored and how it was verified, or what a rehearsal has parsed. */
export const handler = step(z.object({ job_id: Id }), (environment, { job_id }) =>
  closeExecution(environment, job_id),
);
