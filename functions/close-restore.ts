import { z } from 'zod';
import { Id } from '../shared/core/ids.ts';
import { closeRestore } from '../shared/workflows/restore/close.ts';
import { step } from './step.ts';

/** Last step of a restore: reports what was restored and how it was verified. */
export const handler = step(z.object({ job_id: Id }), (environment, { job_id }) =>
  closeRestore(environment, job_id),
);
