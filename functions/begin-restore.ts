import { z } from 'zod';
import { Id } from '../shared/core/ids.ts';
import { beginRestore } from '../shared/workflows/restore/begin.ts';
import { step } from './step.ts';

/** Takes the target's lock: from here on, the restore may write. */
export const handler = step(z.object({ job_id: Id }), (environment, { job_id }, leg) =>
  beginRestore(environment, job_id, leg),
);
