import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { ListExecutionsCommand } from '@aws-sdk/client-sfn';
import type { Layout } from '../../local/knowledge-base/layout.ts';
import { type Proof, type ProofConnections, readEverything } from '../../local/proof/proof.ts';
import { answerConfirmation } from '../../shared/restore/confirmation.ts';
import { createRestoreRequest } from '../../shared/restore/request.ts';
import { relatedJobId } from '../../shared/restore/safety.ts';
import { functionStates, type Progress, progressOf } from './follow.ts';
import { type deployedStack, sleep } from './harness.ts';
import { type Inventory, listServers } from './inventory.ts';
import { killFunction, processorTime } from './processes.ts';

/** Between two looks at a running execution, in milliseconds. */
const LOOK_MS = 40;
/** Longest that a test waits for what has to come, in milliseconds: a deadline for hangs. */
const DEADLINE_MS = 120_000;
/** Longest that a state may run on without being hit: one that waits for a person has nothing left to kill. */
const HIT_DEADLINE_MS = 5_000;
/** The step that cleans up; no state of a machine, it is started by the end of the execution. */
export const JANITOR = 'Janitor';
/** The state that a restore comes to only if the request did not carry the confirmation. */
const CONFIRMATION = 'Wait for confirmation';

/** All that a target holds, read independently of the product, and all that its servers list. */
export interface Held {
  readonly parts: Proof['parts'];
  readonly servers: Inventory;
}

/** One of two states that the target is moved between, with the archive that holds it. */
export interface Side {
  readonly name: string;
  readonly archive: Uint8Array;
  readonly held: Held;
}

/** When to kill: while a state runs, so far into it; or so many milliseconds after the upload, whatever runs then. */
export type Blow =
  | { readonly state: string; readonly afterMs: number }
  | { readonly atMs: number; readonly choose: (running: readonly string[]) => string };

export interface Outcome {
  /** The state whose function was killed; undefined where nothing ran at that instant. */
  readonly state: string | undefined;
  /** Whether the workflow saw an attempt die of it. */
  readonly hit: boolean;
  /** How the job ended. */
  readonly job: string;
  readonly target: 'the archive' | 'as before' | 'BETWEEN';
  /** What is left in the bucket that belongs to no catalogued backup and to no record. */
  readonly left: readonly string[];
}

export interface Sweep {
  readonly stack: ReturnType<typeof deployedStack>;
  readonly target: string;
  readonly connections: ProofConnections;
  readonly layout: Layout;
  /** For the details of what was read; emptied again and again. */
  readonly folder: string;
}

/** Numbers from 0 to below 1 that the same seed gives again: the mulberry32 generator. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every state of a restore that runs a function, those of its safety backup and the janitor included. */
export async function killableStates({ stack }: Sweep): Promise<Map<string, string>> {
  const [restore, backup] = await Promise.all(
    ['Restore', 'Backup'].map((name) => functionStates(stack.sfn, stack.output(`${name}StateMachineArn`))),
  );
  const janitor = [...(restore?.values() ?? [])][0]?.replace(/-admit-restore$/, '-janitor') ?? '';
  return new Map([...(restore ?? []), ...(backup ?? []), [JANITOR, janitor]]);
}

/** Reads what the target holds and what the servers list. */
export async function readHeld({ connections, layout, folder }: Sweep): Promise<Held> {
  const { parts } = await readEverything(connections, {
    folder: join(folder, 'held'),
    scope: {
      label: layout.label,
      collections: Object.values(layout.collections),
      keyPrefix: `${layout.keyPrefix}:`,
    },
  });
  return { parts, servers: await listServers(connections) };
}

/** Makes a side of what the target holds now: backs it up and reads it. */
export async function takeSide(sweep: Sweep, name: string): Promise<Side> {
  const { status, output, cause } = await sweep.stack.run('Backup', { target: sweep.target });
  if (status !== 'SUCCEEDED') throw new Error(`The backup that the sweep starts from failed: ${cause}`);
  const { backup_id } = JSON.parse(output ?? '{}') as { backup_id: string };
  return { name, archive: await sweep.stack.download(backup_id), held: await readHeld(sweep) };
}

/** Restores once, undisturbed, and gives back how long each state took, and the whole, in milliseconds. */
export async function measure(
  sweep: Sweep,
  to: Side,
): Promise<{ states: Map<string, number>; total: number }> {
  const started = Date.now();
  const followed = await begin(sweep, to);
  await sweep.stack.waitForJob(followed.jobId);
  const total = Date.now() - started;
  const all = await Promise.all(followed.executions.map((arn) => progressOf(sweep.stack.sfn, arn)));
  await settled(sweep, followed.jobId);
  return { states: new Map(all.flatMap((progress) => [...(progress?.durations ?? [])])), total };
}

/** Restores `to` over `from`, kills a function on the way, lets the workflow go on and tells what came of it. */
export async function strike(sweep: Sweep, from: Side, to: Side, blow: Blow): Promise<Outcome> {
  const { stack } = sweep;
  const states = await killableStates(sweep);
  const started = Date.now();
  // A state of a few milliseconds is only hit where its function has to be started first.
  if ('state' in blow && blow.state !== JANITOR) await killFunction(states.get(blow.state) ?? '');
  const asks = 'state' in blow && blow.state === CONFIRMATION;
  const followed = await begin(sweep, to, !asks);
  const deadline = Date.now() + DEADLINE_MS;
  let struck: { state: string | undefined; hit: boolean } | undefined;
  while (!struck) {
    if (Date.now() > deadline) throw new Error(`The restore never came to ${JSON.stringify(blow)}.`);
    const looks = await Promise.all(followed.executions.map((arn) => progressOf(stack.sfn, arn)));
    const running = looks.flatMap((look) => look?.running ?? []).filter((state) => states.has(state));
    const over = looks[0] !== undefined && looks[0].status !== 'RUNNING';
    if ('state' in blow && blow.state === JANITOR) {
      if (over) struck = { state: JANITOR, hit: await killWorking(states.get(JANITOR) ?? '') };
    } else if ('state' in blow && running.includes(blow.state)) {
      await sleep(blow.afterMs);
      struck = { state: blow.state, hit: await killUntilHit(sweep, followed, blow.state, states) };
    } else if ('atMs' in blow && Date.now() - started >= blow.atMs) {
      const state = running.length === 0 ? undefined : blow.choose(running);
      struck = {
        state,
        hit: state !== undefined && (await killOnce(sweep, followed, state, states)),
      };
    }
    if (!struck && over) struck = { state: undefined, hit: false };
    if (!struck) await sleep(LOOK_MS);
  }
  if (asks) {
    await stack.waitForJob(followed.jobId, ({ state }) => state === 'awaiting_confirmation');
    await answerConfirmation(stack, followed.jobId, { confirm: true, phrase: sweep.target });
  }
  const job = await stack.waitForJob(followed.jobId);
  const left = await settled(sweep, followed.jobId);
  const held = await readHeld(sweep);
  const target = isDeepStrictEqual(held, to.held)
    ? 'the archive'
    : isDeepStrictEqual(held, from.held)
      ? 'as before'
      : 'BETWEEN';
  return { ...struck, job: job.state, target, left };
}

interface Followed {
  readonly jobId: string;
  /** The restore, and its safety backup, whether it has begun or not. */
  readonly executions: readonly string[];
}

async function begin({ stack, target }: Sweep, to: Side, confirmed = true): Promise<Followed> {
  const stateMachineArn = stack.output('RestoreStateMachineArn');
  const list = async () =>
    (await stack.sfn.send(new ListExecutionsCommand({ stateMachineArn, maxResults: 1000 }))).executions ?? [];
  const known = new Set((await list()).map(({ executionArn }) => executionArn));
  const upload = await createRestoreRequest(stack.bucket, {
    target,
    fileName: 'x.ngbak',
    confirm: confirmed ? target : undefined,
  });
  const { url, method, headers } = upload.put;
  const answer = await fetch(url, { method, headers, body: to.archive as BodyInit });
  if (!answer.ok) throw new Error(`Upload refused: ${answer.status} ${await answer.text()}`);
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const arn = (await list()).find(({ executionArn }) => !known.has(executionArn))?.executionArn;
    if (arn !== undefined) {
      const safety = stack.output('BackupStateMachineArn').replace(':stateMachine:', ':execution:');
      return {
        jobId: upload.job_id,
        executions: [arn, `${safety}:${relatedJobId('safety', upload.job_id)}`],
      };
    }
    if (Date.now() > deadline) throw new Error('The upload started no restore.');
    await sleep(LOOK_MS);
  }
}

async function deaths({ stack }: Sweep, { executions }: Followed, state: string) {
  const looks = await Promise.all(executions.map((arn) => progressOf(stack.sfn, arn)));
  return {
    killed: looks.reduce((sum, look) => sum + (look?.killed ?? 0), 0),
    runs: looks.some((look: Progress | undefined) => look?.running.includes(state)),
  };
}

/** Kills the state's function until an attempt has died of it; false where the state was left before that. */
async function killUntilHit(
  sweep: Sweep,
  followed: Followed,
  state: string,
  states: ReadonlyMap<string, string>,
): Promise<boolean> {
  const before = (await deaths(sweep, followed, state)).killed;
  const deadline = Date.now() + HIT_DEADLINE_MS;
  while (Date.now() < deadline) {
    await killFunction(states.get(state) ?? '');
    await sleep(LOOK_MS);
    const { killed, runs } = await deaths(sweep, followed, state);
    if (killed > before) return true;
    if (!runs) return false;
  }
  return false;
}

/** Kills the state's function once. */
async function killOnce(
  sweep: Sweep,
  followed: Followed,
  state: string,
  states: ReadonlyMap<string, string>,
): Promise<boolean> {
  const before = (await deaths(sweep, followed, state)).killed;
  await killFunction(states.get(state) ?? '');
  await sleep(4 * LOOK_MS);
  return (await deaths(sweep, followed, state)).killed > before;
}

/** Waits until a function's process works, which no history tells of the janitor, and kills it. */
async function killWorking(functionName: string): Promise<boolean> {
  const idle = await processorTime(functionName);
  const deadline = Date.now() + 5_000;
  while (Date.now() < deadline) {
    if ((await processorTime(functionName)) > idle) return (await killFunction(functionName)) > 0;
    await sleep(5);
  }
  return false;
}

/** Waits until the janitor has done its work, and gives back what is left in the bucket if it has not. */
async function settled({ stack, target }: Sweep, jobId: string): Promise<string[]> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const keys = (await stack.keys()).filter(
      (key) => !key.startsWith('backups/') && !key.startsWith('jobs/'),
    );
    const confirmation = await stack.keys(`jobs/${jobId}/confirmation`);
    const { Uploads = [] } = await stack.bucket.s3.send(
      new ListMultipartUploadsCommand({ Bucket: stack.bucket.name }),
    );
    const left = [...keys, ...confirmation, ...Uploads.map(({ Key }) => `unfinished upload ${Key}`)].filter(
      (key) => key !== 'staging/catalog-cache.json',
    );
    const locked = await stack.keys(`locks/${target}.`);
    if ((left.length === 0 && locked.length === 0) || Date.now() > deadline) return [...left, ...locked];
    await sleep(100);
  }
}
