import { z } from 'zod';
import { recordBackup } from '../shared/backup/record.ts';
import { Id } from '../shared/ids.ts';
import { step } from './step.ts';

/** Writes the catalog record: from here on, the backup is there. */
export const handler = step(z.object({ job_id: Id }), (environment, { job_id }) =>
  recordBackup(environment, job_id),
);
