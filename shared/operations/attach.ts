import type { z } from 'zod';
import { InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { noSuchJob } from '../core/refusals.ts';
import { readJob } from '../workflows/job/record.ts';
import { AttachRequest, isConfirmed } from '../workflows/restore/request.ts';
import type { OperationsContext } from './context.ts';
import { type Requester, startRestore } from './restore.ts';
import type { StartedJob } from './start.ts';

/** Options for attaching relationships that an earlier restore deferred. */
export const AttachInput = AttachRequest.omit({ attach: true, requested_by: true });
export type AttachInput = z.infer<typeof AttachInput>;

/**
 * Starts the job that attaches the relationships that a restore with `dangling: defer` kept. It can be repeated
 * whenever new nodes may exist: relationships that are already attached stay unchanged. Throws NotFoundError or
 * InvalidInputError.
 */
export async function attachDeferred(
  context: OperationsContext,
  jobId: string,
  input: AttachInput,
  by: Requester,
): Promise<StartedJob> {
  const attach = parseInput(Id, jobId, 'The job id');
  const job = await readJob(context.bucket, attach);
  if (!job) throw noSuchJob(attach);
  if (job.kind !== 'restore') {
    throw new InvalidInputError(`Job ${attach} is a ${job.kind}, which does not keep relationships.`, {
      remedy: 'Name a restore that deferred relationships.',
    });
  }
  isConfirmed(input.confirm, job.target);
  return startRestore(context, { ...input, attach }, by);
}
