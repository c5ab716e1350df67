import { DescribeExecutionCommand, type SFNClient } from '@aws-sdk/client-sfn';
import type { Bucket } from '../../shared/bucket/bucket.ts';
import { NgbakError } from '../../shared/errors.ts';
import { type Progress, readProgress } from '../../shared/jobs/progress.ts';
import { hasEnded, type JobRecord, readJob } from '../../shared/jobs/record.ts';
import { alignColumns, bar, formatCount, type StepView } from './screen.ts';

/** Pause between two looks at a job, in milliseconds. */
const LOOK_MS = 250;

/** A workflow that did not end as it should. */
export class DemoFailedError extends NgbakError {}

/**
 * Follows an execution to its end, showing its progress, and gives back its output. Throws DemoFailedError with the
 * message that the operator would read in the console.
 */
export async function followExecution(
  clients: { sfn: SFNClient; bucket: Bucket },
  execution: { arn: string; jobId: string },
  view: StepView,
  signal: AbortSignal,
): Promise<unknown> {
  for (;;) {
    signal.throwIfAborted();
    const found = await clients.sfn.send(new DescribeExecutionCommand({ executionArn: execution.arn }));
    view.live(progressLines(await readProgress(clients.bucket, execution.jobId)));
    if (found.status === 'SUCCEEDED') return JSON.parse(found.output ?? 'null');
    if (found.status !== 'RUNNING') {
      throw new DemoFailedError(
        `The workflow ended as ${found.status}: ${found.error ?? ''} ${found.cause ?? ''}`,
        {
          remedy: 'Run the demo with --keep and look at the logs of the stack.',
        },
      );
    }
    await pause(LOOK_MS, signal);
  }
}

/** Follows a job by its record, as it must be where an upload starts the execution. Gives back the ended job. */
export async function followJob(
  bucket: Bucket,
  jobId: string,
  view: StepView,
  signal: AbortSignal,
): Promise<JobRecord> {
  let state = '';
  for (;;) {
    signal.throwIfAborted();
    const job = await readJob(bucket, jobId);
    const progress = await readProgress(bucket, jobId);
    const now = progress.findLast((one) => !one.finished)?.phase ?? progress.at(-1)?.phase ?? '';
    if (job) state = job.state;
    view.live([`${state}${now === '' ? '' : `, ${now}`}`, ...progressLines(progress)]);
    if (job && hasEnded(job.state)) {
      if (job.state === 'completed') return job;
      throw new DemoFailedError(
        `The ${job.kind} ended as ${job.state}: ${job.error?.message ?? 'no message'}`,
        {
          remedy: 'Run the demo with --keep and look at the logs of the stack.',
        },
      );
    }
    await pause(LOOK_MS, signal);
  }
}

/** One line for each store: its phase, a bar, and how much of what is done. */
export function progressLines(all: readonly Progress[]): string[] {
  const rows: string[][] = [];
  for (const [store, shards] of Map.groupBy(all, (one) => one.store)) {
    const units = new Map<string, { done: number; total: number | undefined }>();
    for (const { units: own } of shards) {
      for (const [unit, { done, total }] of Object.entries(own)) {
        const sum = units.get(unit);
        units.set(unit, {
          done: (sum?.done ?? 0) + done,
          total:
            total === undefined || (sum && sum.total === undefined) ? undefined : (sum?.total ?? 0) + total,
        });
      }
    }
    const totals = [...units.values()];
    const known = totals.length > 0 && totals.every(({ total }) => total !== undefined);
    const done = totals.reduce((sum, unit) => sum + unit.done, 0);
    const total = known ? totals.reduce((sum, unit) => sum + (unit.total ?? 0), 0) : undefined;
    const finished = shards.every((shard) => shard.finished);
    const text = [...units].map(([unit, { done: count }]) => `${formatCount(count)} ${unit}`).join(', ');
    const phase = shards.find((shard) => !shard.finished)?.phase ?? shards[0]?.phase ?? '';
    rows.push([store, finished ? bar(1, 1) : bar(done, total), phase, text]);
  }
  return alignColumns(rows, 4);
}

export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(finish, milliseconds);
    function finish(): void {
      signal.removeEventListener('abort', stop);
      resolve();
    }
    function stop(): void {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal.addEventListener('abort', stop, { once: true });
  });
}
