import {
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  ExecutionDoesNotExist,
  GetExecutionHistoryCommand,
  type HistoryEvent,
} from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { hasEnded, type JobState } from '../core/job-state.ts';
import { noSuchJob } from '../core/refusals.ts';
import { type Progress, readProgress } from '../workflows/job/progress.ts';
import { JobRecord, readJob } from '../workflows/job/record.ts';
import { findInspection, Inspection } from '../workflows/restore/inspection.ts';
import { findAdmitted } from '../workflows/restore/plan.ts';
import { RestoreOptions } from '../workflows/restore/request.ts';
import type { OperationsContext } from './context.ts';
import { StoreProgress, summarizeProgress } from './job-progress.ts';
import { executionArn } from './start.ts';

/** Events of the execution's history that are looked through for log lines. */
const HISTORY_EVENTS = 200;

export const JobView = JobRecord.extend({
  /** How far each store has come in what it is doing now. */
  progress: z.array(StoreProgress),
  /** How a restore is done, once it was admitted. */
  options: RestoreOptions.optional(),
  /** What the inspection found, once a restore has been inspected. */
  inspection: Inspection.optional(),
  /** The steps that the execution went through, oldest first, without its internal choices; the newest 200 events at most. */
  log: z.array(z.object({ at: z.iso.datetime(), text: z.string() })),
  /** The execution in the AWS console. */
  console_url: z.string().optional(),
});
export type JobView = z.infer<typeof JobView>;

/**
 * Everything that is known of a job: its record, progress, inspection and log. Also of one that has no record, because
 * its workflow has only just begun or was refused before it got one. Throws NotFoundError.
 */
export async function showJob(context: OperationsContext, jobId: string): Promise<JobView> {
  const { bucket } = context;
  const id = parseInput(Id, jobId, 'The job id');
  const record = (await readJob(bucket, id)) ?? (await fromExecution(context, id));
  const arn = record.execution_arn;
  const isRestore = record.kind !== 'backup';
  const [progress, restore, inspected, log] = await Promise.all([
    readProgress(bucket, id),
    isRestore ? findAdmitted(bucket, id) : undefined,
    isRestore ? findInspection(bucket, id) : undefined,
    arn === undefined ? [] : readLog(context, arn),
  ]);
  const options = inspected?.resolved?.options ?? restore?.options;
  return {
    ...record,
    progress: summarizeProgress(keepCurrent(progress, record)),
    ...(options ? { options } : {}),
    ...(inspected ? { inspection: Inspection.parse(inspected) } : {}),
    log,
    ...(arn === undefined ? {} : { console_url: consoleUrl(arn) }),
  };
}

/** A job whose end left a shard open tells where it stood; a running one tells what is being worked on. */
function keepCurrent(progress: Progress[], job: JobRecord): Progress[] {
  return hasEnded(job.state) && job.state === 'completed'
    ? progress.map((part) => ({ ...part, finished: true }))
    : progress;
}

/** What the execution of that name says, where the job has no record. Throws NotFoundError where there is none. */
async function fromExecution({ sfn, stateMachines }: OperationsContext, jobId: string): Promise<JobRecord> {
  for (const kind of ['backup', 'restore'] as const) {
    const arn = executionArn(stateMachines[kind], jobId);
    let found: DescribeExecutionCommandOutput;
    try {
      found = await sfn.send(new DescribeExecutionCommand({ executionArn: arn }));
    } catch (error) {
      if (error instanceof ExecutionDoesNotExist) continue;
      throw error;
    }
    const states: Record<string, JobState> = {
      RUNNING: 'pending',
      SUCCEEDED: 'completed',
      ABORTED: 'cancelled',
    };
    const created = (found.startDate ?? new Date(0)).toISOString();
    const request = Request.safeParse(parseJsonOrNothing(found.input));
    return {
      job_id: jobId,
      kind: request.data?.drill ? 'drill' : kind,
      target: request.data?.drill?.target ?? request.data?.target ?? 'default',
      state: states[found.status ?? ''] ?? 'failed',
      execution_arn: arn,
      created_at: created,
      updated_at: (found.stopDate ?? found.startDate ?? new Date(0)).toISOString(),
      ...(found.stopDate ? { finished_at: found.stopDate.toISOString() } : {}),
      ...(found.error ? { error: { name: found.error, message: found.cause ?? 'No cause was given.' } } : {}),
    };
  }
  throw noSuchJob(jobId);
}

const Request = z.object({ target: Id.optional(), drill: z.object({ target: Id.optional() }).optional() });

/** The input of an execution is whatever somebody started it with. */
function parseJsonOrNothing(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

async function readLog({ sfn }: OperationsContext, arn: string): Promise<JobView['log']> {
  try {
    const { events = [] } = await sfn.send(
      new GetExecutionHistoryCommand({ executionArn: arn, reverseOrder: true, maxResults: HISTORY_EVENTS }),
    );
    return events.reverse().flatMap((event) => {
      const text = describe(event);
      return text === undefined || !event.timestamp ? [] : [{ at: event.timestamp.toISOString(), text }];
    });
  } catch (error) {
    // Step Functions forgets executions after 90 days; the job's record outlives that in some buckets.
    if (error instanceof ExecutionDoesNotExist) return [];
    throw error;
  }
}

/** States by which a workflow decides and passes data on: internal, and no work is done in them. */
const INTERNAL_STATES: readonly string[] = ['ChoiceStateEntered', 'PassStateEntered'];

/** An event of the history in words; undefined for those that say nothing to an operator. */
function describe(event: HistoryEvent): string | undefined {
  if (INTERNAL_STATES.includes(event.type ?? '')) return undefined;
  if (event.stateEnteredEventDetails) return event.stateEnteredEventDetails.name;
  const failed =
    event.executionFailedEventDetails ??
    event.executionAbortedEventDetails ??
    event.executionTimedOutEventDetails;
  if (failed) return [failed.error, failed.cause].filter(Boolean).join(': ') || 'stopped';
  const step = event.lambdaFunctionFailedEventDetails ?? event.taskFailedEventDetails;
  if (step?.error) return `failed: ${step.error}`;
  return undefined;
}

/** Where the consoles of the partitions are (AWS Management Console, "Getting started"). */
const CONSOLES: Readonly<Record<string, string>> = {
  aws: 'console.aws.amazon.com',
  'aws-cn': 'console.amazonaws.cn',
  'aws-us-gov': 'console.amazonaws-us-gov.com',
};

/** `arn:aws:states:eu-central-1:…` → the execution's page in the console of that partition and region. */
export function consoleUrl(arn: string): string {
  const [, partition = '', , region = ''] = arn.split(':');
  // China and GovCloud have one console for all of their regions; the region is in the query.
  const host = CONSOLES[partition] ?? CONSOLES.aws;
  const regional = partition === 'aws' ? `${region}.` : '';
  return `https://${regional}${host}/states/home?region=${region}#/v2/executions/details/${arn}`;
}
