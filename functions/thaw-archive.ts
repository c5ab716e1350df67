import { z } from 'zod';
import { Id } from '../shared/core/ids.ts';
import { thawForRestore } from '../shared/workflows/restore/thaw.ts';
import { step } from './step.ts';

/** Requests the archive of a restore or drill from cold storage, once, and reports whether it is readable. */
export const handler = step(z.object({ job_id: Id }), (environment, { job_id }) => {
  const seconds = process.env.NGBAK_THAW_POLL_SECONDS;
  return thawForRestore(environment, job_id, seconds === undefined ? {} : { pollSeconds: Number(seconds) });
});
