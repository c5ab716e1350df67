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
import { expectedUnits, type Progress, readProgress } from '../workflows/job/progress.ts';
import { JobRecord, readJob } from '../workflows/job/record.ts';
import { countsToLoad, findInspection, Inspection } from '../workflows/restore/inspection.ts';
import { findAdmitted } from '../workflows/restore/plan.ts';
import { RestoreOptions } from '../workflows/restore/request.ts';
import type { OperationsContext } from './context.ts';
import { OverallProgress, overallProgress, StoreProgress, summarizeProgress } from './job-progress.ts';
import { executionArn } from './start.ts';

/** Number of events of the execution's history from which log lines are taken. */
const HISTORY_EVENTS = 200;

export const JobView = JobRecord.extend({
  /** Progress of each store in its current phase. */
  progress: z.array(StoreProgress),
  /** Progress of all stores together. Absent if the total is unknown. */
  overall: OverallProgress.optional(),
  /** Options of a restore, once it was admitted. */
  options: RestoreOptions.optional(),
  /** Findings of the inspection, once a restore has been inspected. */
  inspection: Inspection.optional(),
  /** The steps of the execution, oldest first, without internal choices. From the newest 200 events at most. */
  log: z.array(z.object({ at: z.iso.datetime(), text: z.string() })),
  /** The execution in the AWS console. */
  console_url: z.string().optional(),
});
export type JobView = z.infer<typeof JobView>;

/**
 * Everything known about a job: its record, progress, inspection and log. Includes jobs without a record, whose
 * workflow has only just begun or was refused before it created one. Throws NotFoundError.
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
  const moment = { now: Date.now(), ended: hasEnded(record.state) };
  const stores = summarizeProgress(markFinished(progress, record), moment);
  const restored = inspected?.stores
    .filter(({ store }) => inspected.resolved?.stores.includes(store) ?? true)
    .map((found) => {
      const counts = countsToLoad(found, options?.only);
      return { store: found.store, units: counts && expectedUnits(found.kind, counts) };
    });
  const overall = overallProgress(stores, restored, moment);
  return {
    ...record,
    progress: stores,
    ...(overall ? { overall } : {}),
    ...(options ? { options } : {}),
    ...(inspected ? { inspection: Inspection.parse(inspected) } : {}),
    log,
    ...(arn === undefined ? {} : { console_url: consoleUrl(arn) }),
  };
}

/**
 * Marks all progress of a completed job as finished. For other jobs it stays as recorded, and shows where the job is or
 * where it stopped.
 */
function markFinished(progress: Progress[], job: JobRecord): Progress[] {
  return hasEnded(job.state) && job.state === 'completed'
    ? progress.map((part) => ({ ...part, finished: true }))
    : progress;
}

/** Describes a job without a record, from the execution of that name. Throws NotFoundError if there is none. */
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

/** The input of an execution is arbitrary: anyone may have started it manually. */
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
    const lines = events.reverse().flatMap((event) => {
      const text = describe(event);
      return text === undefined || !event.timestamp ? [] : [{ at: event.timestamp.toISOString(), text }];
    });
    const isFirst = (text: string, index: number) => lines.findIndex((line) => line.text === text) === index;
    return lines.filter(({ text }, index) => !REPEATED.includes(text) || isFirst(text, index));
  } catch (error) {
    // Step Functions forgets executions after 90 days; some buckets keep the job's record for longer.
    if (error instanceof ExecutionDoesNotExist) return [];
    throw error;
  }
}

/** Internal states in which a workflow branches or passes data on, without doing work. */
const INTERNAL_STATES: readonly string[] = ['ChoiceStateEntered', 'PassStateEntered'];
/** The steps that are repeated while an archive is thawed, for up to two days: only the first ones are logged. */
const REPEATED: readonly string[] = ['Thaw archive', 'Wait for the thawed archive'];

/** An event of the history as text. Undefined for events that are irrelevant to operators. */
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

/** Hosts of the consoles of the partitions (AWS Management Console, "Getting started"). */
const CONSOLES: Readonly<Record<string, string>> = {
  aws: 'console.aws.amazon.com',
  'aws-cn': 'console.amazonaws.cn',
  'aws-us-gov': 'console.amazonaws-us-gov.com',
};

/** `arn:aws:states:eu-central-1:…` → the execution's page in the console of that partition and region. */
export function consoleUrl(arn: string): string {
  const [, partition = '', , region = ''] = arn.split(':');
  // China and GovCloud have one console for all of their regions, which takes the region from the query.
  const host = CONSOLES[partition] ?? CONSOLES.aws;
  const regional = partition === 'aws' ? `${region}.` : '';
  return `https://${regional}${host}/states/home?region=${region}#/v2/executions/details/${arn}`;
}
