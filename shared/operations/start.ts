import { createHash, randomBytes } from 'node:crypto';
import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  ExecutionDoesNotExist,
  type SFNClient,
  StartExecutionCommand,
  StateMachineDoesNotExist,
} from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { RefusedError } from '../core/refusals.ts';

/**
 * An identifier that a client chooses for one request: repeating the request with the same key returns the same job.
 */
export const IdempotencyKey = z.string().min(1).max(200);

export const StartedJob = z.object({
  job_id: Id,
  execution_arn: z.string(),
  started_at: z.iso.datetime(),
  /** True if an earlier request with the same key had already started the job. */
  replayed: z.boolean(),
});
export type StartedJob = z.infer<typeof StartedJob>;

/** `backup_2026-11-21T03-00-00Z_1a2b3c4d`. With an idempotency key, the id is derived from the key alone. */
export function newJobId(kind: 'backup' | 'restore' | 'drill', key?: string): string {
  if (key !== undefined) return `${kind}_${createHash('sha256').update(key).digest('hex').slice(0, 32)}`;
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  return `${kind}_${stamp}Z_${randomBytes(4).toString('hex')}`;
}

/** The ARN of the execution with that name: `…:stateMachine:NAME` → `…:execution:NAME:execution`. */
export function executionArn(stateMachineArn: string, name: string): string {
  return `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;
}

/**
 * Starts a workflow whose execution is named after the job. Step Functions keeps names until 90 days after the end of
 * an execution; until then, a repeated name returns the first execution. Throws RefusedError if that had a different
 * input.
 */
export async function startJob(
  sfn: SFNClient,
  stateMachineArn: string,
  jobId: string,
  input: object,
): Promise<StartedJob> {
  const text = JSON.stringify(input);
  // Checked first, because StartExecution does not distinguish a new execution from a running one with the same input.
  const earlier = await replayed(sfn, stateMachineArn, jobId, text);
  if (earlier) return earlier;
  try {
    const started = await sfn.send(new StartExecutionCommand({ stateMachineArn, name: jobId, input: text }));
    return {
      job_id: jobId,
      execution_arn: started.executionArn ?? executionArn(stateMachineArn, jobId),
      started_at: (started.startDate ?? new Date()).toISOString(),
      replayed: false,
    };
  } catch (error) {
    if (error instanceof StateMachineDoesNotExist) {
      throw new InvalidInputError(`There is no state machine ${stateMachineArn}.`, {
        remedy: 'Use the ARN from the outputs of the stack: `aws cloudformation describe-stacks`.',
        cause: error,
      });
    }
    if (!(error instanceof ExecutionAlreadyExists)) throw error;
    const other = await replayed(sfn, stateMachineArn, jobId, text);
    if (!other) throw error;
    return other;
  }
}

async function replayed(
  sfn: SFNClient,
  stateMachineArn: string,
  jobId: string,
  input: string,
): Promise<StartedJob | undefined> {
  const arn = executionArn(stateMachineArn, jobId);
  try {
    const found = await sfn.send(new DescribeExecutionCommand({ executionArn: arn }));
    if (found.input !== input) throw usedKey(jobId);
    return {
      job_id: jobId,
      execution_arn: arn,
      started_at: (found.startDate ?? new Date(0)).toISOString(),
      replayed: true,
    };
  } catch (error) {
    if (error instanceof ExecutionDoesNotExist) return undefined;
    throw error;
  }
}

/** The error for an idempotency key that was already used for a different request. */
export function usedKey(jobId: string, cause?: unknown): RefusedError {
  return new RefusedError('This idempotency key was used for another request.', {
    remedy: `Use a new key, or show the job that was started with it: \`ngbak job ${jobId}\`.`,
    cause,
  });
}
