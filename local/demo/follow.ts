import { DescribeExecutionCommand, type SFNClient } from '@aws-sdk/client-sfn';
import prettyBytes from 'pretty-bytes';
import type { Bucket } from '../../shared/aws/bucket.ts';
import { NgbakError } from '../../shared/core/errors.ts';
import { relatedJobId } from '../../shared/core/job-ids.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import { type Progress, readProgress } from '../../shared/workflows/job/progress.ts';
import { type JobRecord, readJob } from '../../shared/workflows/job/record.ts';
import { alignColumns, bar, formatCount, type StepView } from './screen.ts';

/** Polling interval for a job, in milliseconds. */
const POLL_MS = 250;

/** A workflow that failed. */
export class DemoFailedError extends NgbakError {}

/**
 * Follows an execution to its end, showing its progress, and returns its output. Throws DemoFailedError with the
 * message that an operator would see in the console.
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
    await pause(POLL_MS, signal);
  }
}

/**
 * Follows a restore by its job record, because the execution is started by an upload. Returns the ended job. Throws
 * DemoFailedError if it did not complete.
 */
export async function followRestore(
  bucket: Bucket,
  jobId: string,
  view: StepView,
  signal: AbortSignal,
): Promise<JobRecord> {
  for (;;) {
    signal.throwIfAborted();
    const job = await readJob(bucket, jobId);
    const progress = await readProgress(bucket, jobId);
    const isInspected =
      progress.length > 0 && progress.every((one) => one.store === 'archive' && one.finished);
    // Between the inspection and the first write, the workflow waits for the safety backup.
    const safety = isInspected ? await readProgress(bucket, relatedJobId('safety', jobId)) : [];
    const shown = safety.length > 0 ? ['safety backup of the target:', ...progressLines(safety)] : [];
    view.live([...progressLines(progress), ...shown]);
    if (job && hasEnded(job.state)) {
      if (job.state === 'completed') return job;
      throw new DemoFailedError(
        `The ${job.kind} ended as ${job.state}: ${job.error?.message ?? 'no message'}`,
        {
          remedy: 'Run the demo with --keep and look at the logs of the stack.',
        },
      );
    }
    await pause(POLL_MS, signal);
  }
}

/** The display order of the stores. */
const ORDER: readonly Progress['store'][] = ['graph', 'vectors', 'kv', 'config', 'archive'];

/** One line for each store: its phase, a bar, and the amounts done and in total. */
export function progressLines(all: readonly Progress[]): string[] {
  const rows: string[][] = [];
  for (const store of ORDER) {
    const shards = all.filter((one) => one.store === store);
    if (shards.length === 0) continue;
    const units = sumUnits(shards);
    const known = units.length > 0 && units.every(({ total }) => total !== undefined);
    const done = units.reduce((sum, unit) => sum + unit.done, 0);
    const total = known ? units.reduce((sum, unit) => sum + (unit.total ?? 0), 0) : undefined;
    const finished = shards.every((shard) => shard.finished);
    const phase = shards.find((shard) => !shard.finished)?.phase ?? shards[0]?.phase ?? '';
    const text = units.map(({ unit, done: count }) => formatUnit(unit, count)).join(', ');
    rows.push([store, finished ? bar(1, 1) : bar(done, total), phase, text || (finished ? 'done' : '')]);
  }
  return alignColumns(rows, 4);
}

interface UnitSum {
  readonly unit: string;
  readonly done: number;
  readonly total: number | undefined;
}

/** The progress of all shards of a store together; the total is unknown if any shard's total is. */
function sumUnits(shards: readonly Progress[]): UnitSum[] {
  const entries = shards.flatMap((shard) => Object.entries(shard.units));
  return [...Map.groupBy(entries, ([unit]) => unit)].map(([unit, parts]) => ({
    unit,
    done: parts.reduce((sum, [, { done }]) => sum + done, 0),
    total: parts.every(([, { total }]) => total !== undefined)
      ? parts.reduce((sum, [, { total }]) => sum + (total ?? 0), 0)
      : undefined,
  }));
}

/** `1,522 nodes`, `8.36 MB of chunks`. */
function formatUnit(unit: string, count: number): string {
  const [kind, of] = unit.split(':');
  const text = kind === 'bytes' ? prettyBytes(count) : `${formatCount(count)} ${kind}`;
  return of === undefined ? text : `${text} of ${of}`;
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
