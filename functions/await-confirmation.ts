import { z } from 'zod';
import { Id } from '../shared/core/ids.ts';
import { requestConfirmation } from '../shared/workflows/restore/confirmation.ts';
import { step } from './step.ts';

/** Records the task token with which an operator confirms or rejects the restore, while the workflow waits. */
export const handler = step(
  z.object({ job_id: Id, task_token: z.string().min(1) }),
  (environment, { job_id, task_token }) => requestConfirmation(environment, job_id, task_token),
);
