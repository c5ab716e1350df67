import { z } from 'zod';
import { Id } from '../shared/core/ids.ts';
import { checkConsistency } from '../shared/workflows/backup/consistency.ts';
import { step } from './step.ts';

/** Measures every store again after the export, and grades the consistency of the backup. */
export const handler = step(z.object({ job_id: Id }), (environment, { job_id }, leg) =>
  checkConsistency(environment, job_id, leg),
);
