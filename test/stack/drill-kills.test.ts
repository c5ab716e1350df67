import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { lockKey } from '../../shared/aws/keys.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import { readDrill } from '../../shared/workflows/drill/record.ts';
import { Lock } from '../../shared/workflows/job/lock.ts';
import { type JobRecord, readJob } from '../../shared/workflows/job/record.ts';
import { NIGHTLY } from '../nightly.ts';
import { SEED } from '../seed.ts';
import { until } from '../support/until.ts';
import { leftovers } from '../workflows/drill/stage.ts';
import { backUpOptions } from './back-up-options.ts';
import { OPTIONS, readTarget, removeTarget } from './content.ts';
import { type FunctionState, functionStates, progressOf } from './follow.ts';
import { deployedStack } from './harness.ts';
import { whileHeld } from './held.ts';
import { sampleOf } from './kill-sweep.ts';
import { killFunction } from './processes.ts';

/** Number of states in which a drill is stopped, and killed, in a run by day; all of them at night. */
const SAMPLE = NIGHTLY ? Number.POSITIVE_INFINITY : 2;

const stack = deployedStack();
/** Content of the target, which no drill may change. */
let live: unknown;
let backupId: string;

beforeAll(async () => {
  ({ live, backupId } = await backUpOptions());
});
afterAll(() => removeTarget(OPTIONS));

/** The states that a drill runs, once each: the emulator shows branches as the state around them. */
async function states(): Promise<FunctionState[]> {
  const all = await functionStates(stack.sfn, stack.output('RestoreStateMachineArn'));
  const asks = ({ name }: FunctionState) => name === 'Wait for confirmation';
  return [...new Map(all.filter((state) => !asks(state)).map((state) => [state.seenAs, state])).values()];
}

/** Some of the states, in an order that depends on the seed; all of them at night. */
async function sample(salt: number): Promise<FunctionState[]> {
  return sampleOf(await states(), SAMPLE, SEED + salt);
}

/** Starts a drill that may thaw its archive, and does something to its execution in a state. Returns the name of its job. */
async function drillIn(
  state: FunctionState,
  act: (executionArn: string) => Promise<unknown> = async () => undefined,
) {
  return whileHeld([state], async () => {
    // A function that has to be started takes longer.
    await killFunction(state.functionName);
    const started = await stack.start('Restore', { drill: { backup_id: backupId, thaw: {} } });
    const look = async () => {
      const progress = await progressOf(stack.sfn, started.executionArn);
      if (progress?.running.includes(state.seenAs)) return true;
      if (progress && progress.status !== 'RUNNING')
        throw new Error(`The drill was never seen in "${state.seenAs}": ${progress.status}.`);
      return false;
    };
    await until(`the drill is in "${state.seenAs}"`, look);
    await act(started.executionArn);
    return started;
  });
}

/**
 * The job of a stopped drill, once it is closed. A function continues when its execution is stopped: that of the first
 * state may claim the job after the janitor has handled its end. The janitor finds such a job when it looks for lost
 * events, every 15 minutes, and here at once.
 */
async function closedJob(jobId: string, { name }: FunctionState): Promise<JobRecord> {
  const look = async () => {
    const job = await readJob(stack.bucket, jobId);
    if (job && !hasEnded(job.state) && name === 'Admit upload') {
      const Payload = JSON.stringify({ reconcile: { grace_seconds: 0 } });
      const command = new InvokeCommand({ FunctionName: 'NgbakTest-janitor', Payload });
      expect((await new LambdaClient({}).send(command)).FunctionError).toBeUndefined();
    }
    return job;
  };
  return until(`the job ${jobId} has ended`, look, {
    holds: (job): job is JobRecord => job !== undefined && hasEnded(job.state),
  });
}

async function expectNothingLeft(where: string): Promise<void> {
  await until(`nothing is left in the stores after "${where}"`, leftovers, {
    holds: ({ length }) => length === 0,
  });
  expect([where, await readTarget(OPTIONS)]).toEqual([where, live]);
  // A function that outlives its execution may take the lock once more, and frees it when it notices that its job ended.
  await until(
    `the target is free after "${where}"`,
    () => stack.bucket.readRecord(lockKey('drill.options'), Lock),
    { holds: (lock) => lock === undefined },
  );
}

test(
  'a drill that is stopped in any state leaves nothing, and the target as it was',
  async () => {
    for (const state of await sample(1)) {
      const { name } = await drillIn(state, (executionArn) =>
        stack.sfn.send(new StopExecutionCommand({ executionArn, cause: 'by a test' })),
      );
      expect(await closedJob(name, state)).toMatchObject({ kind: 'drill', state: 'cancelled' });
      // Only a drill that was stopped before it was admitted has no record.
      const verdict = (await readDrill(stack.bucket, name))?.verdict;
      expect([state.seenAs, verdict ?? 'cancelled']).toEqual([state.seenAs, 'cancelled']);
      await expectNothingLeft(state.seenAs);
    }
  },
  NIGHTLY ? 1_800_000 : 300_000,
);

test(
  'a drill whose function is killed in any state passes after a retry, and leaves nothing',
  async () => {
    for (const state of await sample(2)) {
      const { name, executionArn } = await drillIn(state);
      const isOver = async () => (await progressOf(stack.sfn, executionArn))?.status !== 'RUNNING';
      await until(
        'the function is killed, or has ended before that',
        async () => (await killFunction(state.functionName)) > 0 || (await isOver()),
        { pauseMs: 10 },
      );
      await stack.waitForExecution(executionArn);
      expect(await stack.waitForJob(name)).toMatchObject({ kind: 'drill', state: 'completed' });
      expect([state.seenAs, (await readDrill(stack.bucket, name))?.verdict]).toEqual([
        state.seenAs,
        'passed',
      ]);
      await expectNothingLeft(state.seenAs);
    }
  },
  NIGHTLY ? 1_800_000 : 300_000,
);
