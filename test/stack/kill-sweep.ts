import { hasEnded, type JobState } from '../../shared/core/job-state.ts';
import { readJob } from '../../shared/workflows/job/record.ts';
import { answerConfirmation } from '../../shared/workflows/restore/confirmation.ts';
import { until } from '../support/until.ts';
import { type FunctionState, functionStates, progressOf } from './follow.ts';
import { sleep } from './harness.ts';
import { killFunction, processorTime } from './processes.ts';
import {
  begin,
  DEADLINE_MS,
  type Followed,
  POLL_MS,
  type Side,
  settled,
  type Trial,
  whichSide,
} from './restore-trial.ts';

/** The cleanup step; it is not a state of a machine, but started by the end of the execution. */
export const JANITOR = 'Janitor';
/** The state that a restore reaches only if the request did not contain the confirmation. */
const CONFIRMATION = 'Wait for confirmation';

/** When to kill: a time after a state starts; or a number of milliseconds after the upload, regardless of what runs then. */
export type Kill =
  | { readonly state: string; readonly afterMs: number }
  | { readonly atMs: number; readonly choose: (running: readonly string[]) => string };

export interface Outcome {
  /** The state whose function was killed; undefined if nothing ran at that time. */
  readonly state: string | undefined;
  /** Whether the workflow recorded an attempt that died of it. */
  readonly hit: boolean;
  /** How the job ended. */
  readonly job: string;
  readonly target: 'the archive' | 'as before' | 'BETWEEN';
  /** The objects left in the bucket that belong to no catalogued backup and to no record. */
  readonly left: readonly string[];
  /** From the upload to the end of the job, in milliseconds. */
  readonly tookMs: number;
}

/** Numbers from 0 to below 1 that are reproducible by seed: the mulberry32 generator. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Some of the items, in an order that depends on the seed. */
export function sampleOf<T>(items: readonly T[], count: number, seed: number): T[] {
  const random = randomNumbers(seed);
  const shuffled = items.map((item) => ({ item, at: random() })).sort((a, b) => a.at - b.at);
  return shuffled.slice(0, count).map(({ item }) => item);
}

/**
 * Every state of a restore that runs a function, including those of its safety backup and the janitor. A safety backup
 * contains what the restore may change, and therefore never the configuration.
 */
export async function killableStates({ stack }: Trial): Promise<FunctionState[]> {
  const [restore = [], backup = []] = await Promise.all(
    ['Restore', 'Backup'].map((name) => functionStates(stack.sfn, stack.output(`${name}StateMachineArn`))),
  );
  const janitor = restore[0]?.functionName.replace(/-admit-restore$/, '-janitor') ?? '';
  const safety = backup.filter(({ functionName }) => !functionName.endsWith('-export-config'));
  // Uploads are never in cold storage: thaw.test.ts ends a restore in this state.
  const reached = restore.filter(({ functionName }) => !functionName.endsWith('-thaw-archive'));
  return [...reached, ...safety, { name: JANITOR, functionName: janitor, seenAs: JANITOR }];
}

/** Restores once without kills, and returns the duration of each state and in total, in milliseconds. */
export async function measure(
  trial: Trial,
  to: Side,
): Promise<{ states: Map<string, number>; total: number }> {
  const started = Date.now();
  const followed = await begin(trial, to);
  await trial.stack.waitForJob(followed.jobId);
  const total = Date.now() - started;
  const all = await Promise.all(followed.executions.map((arn) => progressOf(trial.stack.sfn, arn)));
  await settled(trial, followed.jobId);
  return { states: new Map(all.flatMap((progress) => [...(progress?.durations ?? [])])), total };
}

/** Restores `to` over `from`, kills a function meanwhile, lets the workflow continue and returns the outcome. */
export async function killDuring(trial: Trial, from: Side, to: Side, kill: Kill): Promise<Outcome> {
  const { stack } = trial;
  const states = await killableStates(trial);
  const wanted = 'state' in kill ? states.find(({ name }) => name === kill.state) : undefined;
  if ('state' in kill && !wanted) throw new Error(`There is no state "${kill.state}".`);
  // A state of a few milliseconds is only hit if its function has to be started first.
  if (wanted && wanted.name !== JANITOR) await killFunction(wanted.functionName);
  const asks = wanted?.name === CONFIRMATION;
  const started = Date.now();
  const followed = await begin(trial, to, !asks);
  const end = performance.now() + DEADLINE_MS;
  let killed: { state: string | undefined; hit: boolean } | undefined;
  while (!killed) {
    if (performance.now() > end) throw new Error(`The restore never came to ${JSON.stringify(kill)}.`);
    const looks = await look(trial, followed);
    const running = states.filter(({ seenAs }) => looks.running.has(seenAs));
    if (wanted?.name === JANITOR) {
      if (looks.over) killed = { state: JANITOR, hit: await killWorking(trial, followed, wanted) };
    } else if (wanted && looks.running.has(wanted.seenAs)) {
      await sleep('afterMs' in kill ? kill.afterMs : 0);
      killed = { state: wanted.name, hit: await killUntilHit(trial, followed, wanted, looks.killed) };
    } else if ('atMs' in kill && Date.now() - started >= kill.atMs) {
      const chosen = running.length === 0 ? undefined : kill.choose(running.map(({ name }) => name));
      const state = running.find(({ name }) => name === chosen);
      killed = { state: chosen, hit: state !== undefined && (await killOnce(trial, followed, state)) };
    }
    if (!killed && looks.over) killed = { state: undefined, hit: false };
    if (!killed) await sleep(POLL_MS);
  }
  if (asks) {
    await stack.waitForJob(followed.jobId, ({ state }) => state === 'awaiting_confirmation');
    await answerConfirmation(stack, followed.jobId, { confirm: true, phrase: trial.target });
  }
  const job = await stack.waitForJob(followed.jobId);
  const tookMs = Date.now() - started;
  const left = await settled(trial, followed.jobId);
  const target = await whichSide(trial, from, to);
  return { ...killed, job: job.state, target, left, tookMs };
}

/** The running states of the restore and of its safety backup, and the number of attempts that have died so far. */
export async function look({ stack }: Trial, { executions }: Followed) {
  const [restore, safety] = await Promise.all(executions.map((arn) => progressOf(stack.sfn, arn)));
  return {
    running: new Set([...(restore?.running ?? []), ...(safety?.running ?? [])]),
    killed: (restore?.killed ?? 0) + (safety?.killed ?? 0),
    over: restore !== undefined && restore.status !== 'RUNNING',
  };
}

/**
 * Kills the state's function until more attempts than `before` have died of it; false if the state was exited before
 * that. The first kill is immediate: another poll takes as long as a short state.
 */
async function killUntilHit(
  trial: Trial,
  followed: Followed,
  state: FunctionState,
  before: number,
): Promise<boolean> {
  return (
    (await until(
      `"${state.name}" is killed, or over`,
      async () => {
        await killFunction(state.functionName);
        await sleep(POLL_MS);
        const { killed, running } = await look(trial, followed);
        if (killed > before) return 'hit';
        // A state that waits for a user has nothing left to kill.
        const waits =
          state.name === CONFIRMATION && (await stateOf(trial, followed)) === 'awaiting_confirmation';
        return (waits || !running.has(state.seenAs)) && 'missed';
      },
      { pauseMs: 1 },
    )) === 'hit'
  );
}

async function stateOf({ stack }: Trial, { jobId }: Followed): Promise<JobState | undefined> {
  return (await readJob(stack.bucket, jobId))?.state;
}

/** Kills the state's function once. */
async function killOnce(trial: Trial, followed: Followed, state: FunctionState): Promise<boolean> {
  const before = (await look(trial, followed)).killed;
  await killFunction(state.functionName);
  await sleep(4 * POLL_MS);
  return (await look(trial, followed)).killed > before;
}

/**
 * Waits until the janitor's process is busy, which the history does not show, and kills it; false if it has closed the job
 * before that.
 */
async function killWorking(
  trial: Trial,
  followed: Followed,
  { functionName }: FunctionState,
): Promise<boolean> {
  const idle = await processorTime(functionName);
  return (
    (await until(
      'the janitor is killed, or has closed the job',
      async () => {
        if ((await processorTime(functionName)) > idle)
          return (await killFunction(functionName)) > 0 ? 'hit' : 'missed';
        return hasEnded((await stateOf(trial, followed)) ?? 'pending') && 'missed';
      },
      { pauseMs: 5 },
    )) === 'hit'
  );
}
