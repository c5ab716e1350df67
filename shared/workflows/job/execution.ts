import {
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  ExecutionDoesNotExist,
  type SFNClient,
} from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { Id } from '../../core/ids.ts';
import { parseInput } from '../../core/input.ts';

/** The Step Functions execution that a step belongs to, from the context object. */
export const ExecutionInfo = z.object({ name: z.string(), arn: z.string(), start: z.iso.datetime() });
export type ExecutionInfo = z.infer<typeof ExecutionInfo>;

/** The id of a job that is named after its execution. Throws InvalidInputError if that name is not a valid id. */
export function jobIdOf({ name }: ExecutionInfo): string {
  return parseInput(Id, name, `The execution name "${name}", which names the job,`);
}

/** Describes an execution. Undefined if Step Functions does not know it: executions are forgotten after 90 days. */
export async function describeExecution(
  sfn: SFNClient,
  executionArn: string,
): Promise<DescribeExecutionCommandOutput | undefined> {
  try {
    return await sfn.send(new DescribeExecutionCommand({ executionArn }));
  } catch (error) {
    if (error instanceof ExecutionDoesNotExist) return undefined;
    throw error;
  }
}

/** Whether an execution has not ended yet. False for one that Step Functions does not know. */
export function isRunning(execution: DescribeExecutionCommandOutput | undefined): boolean {
  return execution?.status === 'RUNNING' || execution?.status === 'PENDING_REDRIVE';
}
