import { createHash } from 'node:crypto';
import { DescribeExecutionCommand, ExecutionAlreadyExists, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { readListed } from '../../catalog/list.ts';
import { catalogEntries } from '../../catalog/read.ts';
import type { BackupSummary } from '../../catalog/summaries.ts';
import { type CopyConfig, copiesOf } from '../../core/copies.ts';
import { describeError } from '../../core/errors.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { isRunning } from '../job/execution.ts';
import { isDue } from './progress.ts';

/** Copies that one reconciliation starts: a new account has 10 concurrent executions of functions. */
const STARTED_MAX = 5;
/** Length limit of execution names of Step Functions. */
const NAME_MAX = 80;

/** A copy of a backup that is to be made. */
export interface DueCopy {
  readonly backup_id: string;
  readonly name: string;
  readonly copy: CopyConfig;
  /** Number of failed attempts. */
  readonly attempts: number;
}

/**
 * The name of the execution of one attempt. Starting an attempt twice gives the same execution, so that two callers do
 * not copy the same backup at the same time.
 */
export function executionName({ backup_id, name, attempts }: Omit<DueCopy, 'copy'>): string {
  const text = `copy_${backup_id}_${name}_${attempts}`;
  if (text.length <= NAME_MAX) return text;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return `${text.slice(0, NAME_MAX - 17)}_${hash}`;
}

/**
 * The copies of backups that should be made now: those that are pending or whose next attempt is due, and those of
 * the newest good backup of each target that its record does not mention, because they were configured later. A pure
 * function.
 *
 * @param newestFirst  all backups
 */
export function dueCopies(
  newestFirst: readonly Pick<BackupSummary, 'backup_id' | 'target' | 'type' | 'good' | 'copies'>[],
  { copies }: Pick<Environment['config'], 'copies'>,
  now: number,
): DueCopy[] {
  const due: DueCopy[] = [];
  const withGood = new Set<string>();
  for (const { backup_id, target, type, good, copies: made = [] } of newestFirst) {
    const isNewestGood = good && type === 'full' && !withGood.has(target);
    if (isNewestGood) withGood.add(target);
    for (const [name, copy] of copiesOf(copies, target)) {
      const known = made.find((one) => one.name === name);
      if (known ? isDue(known, now) : isNewestGood) {
        due.push({ backup_id, name, copy, attempts: known?.attempts ?? 0 });
      }
    }
  }
  return due;
}

/**
 * Starts the copies that are due. A failure is logged and does not prevent the others: the next call tries again. Does
 * nothing in deployments without copies. Returns the names of the executions that it started.
 */
export async function startDueCopies(
  environment: Environment,
  leg: Pick<LegLimits, 'timeLeft'>,
  only?: { readonly backup_id: string },
): Promise<string[]> {
  const { bucket, config, copyMachine, log } = environment;
  if (copyMachine === undefined || config.copies === undefined) return [];
  // Without an ETag, the record is read in any case.
  const entries = only ? [{ id: only.backup_id, etag: '' }] : await catalogEntries(bucket);
  const backups: BackupSummary[] = [];
  for await (const { listed } of readListed(bucket, entries)) if (listed) backups.push(listed.summary);
  const started: string[] = [];
  for (const due of dueCopies(backups, config, Date.now())) {
    if (started.length >= STARTED_MAX || leg.timeLeft() <= 0) break;
    try {
      if (await startCopy(environment, copyMachine, due)) started.push(executionName(due));
    } catch (error) {
      log('A copy could not be started.', { ...due, copy: due.name, problem: describeError(error) });
    }
  }
  return started;
}

/** Starts one attempt. Returns false if it is running already, or has ended without recording a result. */
async function startCopy({ sfn }: Environment, stateMachineArn: string, due: DueCopy): Promise<boolean> {
  const { backup_id, name, attempts: attempt } = due;
  const execution = executionName(due);
  const input = { backup_id, copy: name, attempt };
  try {
    const begin = Date.now();
    const { startDate } = await sfn.send(
      new StartExecutionCommand({ stateMachineArn, name: execution, input: JSON.stringify(input) }),
    );
    // Starting a running execution returns it. Step Functions reports whole seconds in some regions.
    return startDate === undefined || startDate.getTime() > begin - 2000;
  } catch (error) {
    if (!(error instanceof ExecutionAlreadyExists)) throw error;
  }
  const executionArn = `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${execution}`;
  const found = await sfn.send(new DescribeExecutionCommand({ executionArn }));
  if (isRunning(found)) return false;
  // It was stopped, timed out, or failed to record its failure. An execution of its own records that, so that the
  // janitor needs no permission to change catalog records. The next attempt has another name.
  const cause = `The attempt ${execution} ended without a result (${found.status}).`;
  await sfn.send(
    new StartExecutionCommand({
      stateMachineArn,
      name: executionName({ backup_id, name: `${name}_ended`, attempts: Date.now() }),
      input: JSON.stringify({ ...input, failure: { error: 'ExecutionEnded', cause } }),
    }),
  );
  return false;
}
