import { stat } from 'node:fs/promises';
import { Bucket } from '../../shared/aws/bucket.ts';
import pc from '../../shared/core/colors.ts';
import { compareProofs, type Proof } from '../proof/proof.ts';
import { downloadArchive, showArchive } from './archive.ts';
import { DemoFailedError } from './follow.ts';
import { backUp, restore } from './jobs.ts';
import { nextSteps } from './next-steps.ts';
import type { DemoOptions } from './options.ts';
import { deploy } from './prepare.ts';
import { proofTable, verdict } from './report.ts';
import { formatCount, type Screen, type StepView } from './screen.ts';
import { countThings, type DemoContext, output, readStores, SAMPLES } from './stage.ts';
import type { DemoSystem, RunningSystem } from './system.ts';
import { SYSTEMS } from './systems.ts';

/** The output of `--json`. Durations are in seconds. */
export interface DemoResult {
  readonly identical: boolean;
  readonly backup_id: string;
  readonly archive_bytes: number;
  readonly things_compared: number;
  readonly differences_after_damage: number;
  readonly differences_after_restore: number;
  readonly seconds: Readonly<Record<string, number>>;
}

interface DemoEnvironment {
  readonly screen: Screen;
  /** A folder for downloads and readings; the caller removes it. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Shows and measures one step: its key in the result's `seconds`, its title on the screen, its work. */
type Step = <T>(name: string, title: string, work: (view: StepView) => Promise<T>) => Promise<T>;

/**
 * The whole demo, from an empty machine to the proof. Stops everything that it started, unless `keep` is set. Errors
 * are thrown; a failed proof is not an error but a result that is not `identical`.
 */
export async function runDemo(
  options: DemoOptions,
  { screen, folder, signal }: DemoEnvironment,
): Promise<DemoResult> {
  screen.print(`\n${pc.bold('ngbak')}  A real knowledge base: backed up, destroyed, restored, and verified.`);
  const seconds: Record<string, number> = {};
  const step: Step = async (name, title, work) => {
    signal.throwIfAborted();
    const started = Date.now();
    const result = await screen.step(title, (view) => interruptible(signal, () => work(view)));
    seconds[name] = (Date.now() - started) / 1000;
    return result;
  };
  const started = Date.now();
  // Handles the interruption itself: it ends only after the processes that it started are gone.
  const system: DemoSystem = SYSTEMS[options.system];
  const servers = system.servers.length === 0 ? '' : `${system.servers.join(', ')} and `;
  const running = await screen.step(`Start ${servers}an AWS emulator`, (view) =>
    system.start({ name: options.name, view, signal }),
  );
  seconds.start = (Date.now() - started) / 1000;
  const stage = { system: running, scale: options.scale, folder, signal };
  try {
    return await runSteps(stage, { screen, step, seconds, keep: options.keep, proves: system.proves });
  } finally {
    // A failed stack is kept as well, for inspection; an interrupted one is not.
    if (options.keep && !signal.aborted) await keep(running.stack, screen);
    else await screen.step('Stop everything and remove it', () => running.stack.stop());
  }
}

async function runSteps(
  stage: DemoContext,
  {
    screen,
    step,
    seconds,
    keep,
    proves,
  }: { screen: Screen; step: Step; seconds: Record<string, number>; keep: boolean; proves: string },
): Promise<DemoResult> {
  const { system, scale, folder, signal } = stage;
  await system.refuseFilled();
  const outputs = await step('deploy', 'Deploy the CDK stack', (view) => deploy(stage, view));
  const bucket = new Bucket(output(outputs, 'BucketName'));
  const counts = await step('load', 'Load the knowledge base of the installed npm packages', (view) =>
    system.load({ scale, folder, view, signal }),
  );
  const before = await step('read', 'Read all stores, independently, for the proof', (view) =>
    readForProof(stage, view),
  );
  const backup = await step('backup', 'Back up, through Step Functions', (view) =>
    backUp(stage, bucket, output(outputs, 'BackupStateMachineArn'), view),
  );
  const path = await step('open', 'Open the archive with nothing but tar', async (view) => {
    const file = await downloadArchive(bucket, backup.backup_id, stage.folder, stage.signal);
    await showArchive(file, stage.folder, view, stage.signal);
    return file;
  });
  const damaged = await step('damage', 'Damage all stores', (view) => damage(stage, before, view));
  await step('restore', 'Restore, by an upload to a presigned URL', (view) =>
    restore(stage, bucket, path, view),
  );
  const after = await step('prove', 'Read all stores again, and compare', () => readStores(stage, 'after'));

  const comparison = await compareProofs(before, after, SAMPLES);
  const bytes = (await stat(path)).size;
  screen.print();
  for (const line of proofTable(before, damaged.proof, after)) screen.print(`   ${line}`);
  screen.print();
  for (const line of verdict(comparison, { before, counts, backup, bytes, seconds, proves }))
    screen.print(line);
  if (keep) screen.print(nextSteps(system.stack, outputs, backup.backup_id));
  return {
    identical: comparison.identical,
    backup_id: backup.backup_id,
    archive_bytes: bytes,
    things_compared: countThings(before),
    differences_after_damage: damaged.total,
    differences_after_restore: comparison.total,
    seconds,
  };
}

async function readForProof(stage: DemoContext, view: StepView): Promise<Proof> {
  const proof = await readStores(stage, 'before');
  const aspects = Object.values(proof.parts).flatMap((part) => Object.values(part.aspects));
  const fields = aspects.reduce((sum, aspect) => sum + aspect.count, 0);
  view.line(`${formatCount(countThings(proof))} things with ${formatCount(fields)} fields,`);
  view.line('digested by a reader that shares no code with ngbak');
  return proof;
}

/** Damages everything and reads the stores again. Throws DemoFailedError if the proof does not detect the damage. */
async function damage(
  stage: DemoContext,
  before: Proof,
  view: StepView,
): Promise<{ proof: Proof; total: number }> {
  for (const line of await stage.system.damage()) view.line(line);
  const proof = await readStores(stage, 'damaged');
  const { total, identical, differences } = await compareProofs(before, proof, SAMPLES);
  if (identical) {
    throw new DemoFailedError('The proof found no difference after all stores were damaged.', {
      remedy: 'The proof is broken: its results cannot be trusted.',
    });
  }
  view.line(
    pc.red(`The proof fails: ${formatCount(total)} things are missing, changed or too much, such as`),
  );
  for (const { part, thing, problem } of differences) {
    view.line(pc.dim(`  ${part}: ${thing.slice(0, 60)} ${problem}`));
  }
  return { proof, total };
}

async function keep(stack: RunningSystem['stack'], screen: Screen): Promise<void> {
  await stack.keep();
  screen.print(`Logs      ${stack.logs}
Status    npm run local:status -- --name ${stack.name}
Stop      npm run local:down -- --name ${stack.name}`);
}

/** Ends when the signal is aborted, regardless of what the work is waiting for. */
async function interruptible<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work(), aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
