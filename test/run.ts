/**
 * `npm test [-- jest arguments]`, and `npm run test:<tier>`: starts the servers, deploys the stack if tests in
 * test/stack/ are selected, runs Jest, stops everything, and prints `N passed, N failed` as the last line, with `, N
 * skipped` if this machine cannot run some tests, which are named with the reason. Exits with 1 unless all tests
 * passed.
 *
 * Most tests mainly wait, so several run concurrently. Each Jest worker has its own servers and its own deployed stack:
 * a lane, which serves one test file at a time.
 */
import { randomInt } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { LocalStackError } from '../local/errors.ts';
import { ROOT } from '../local/folders.ts';
import { installTools } from '../local/install/tools.ts';
import { INTERRUPTED_EXIT_CODE, InterruptedError, interruptible } from '../local/interrupt.ts';
import { explicitAddress } from '../local/services/explicit.ts';
import { DEFAULT_SERVICES } from '../local/services/service.ts';
import { withTemporaryFolder } from '../local/temporary.ts';
import { describeError } from '../shared/core/errors.ts';
import { type CliHost, startCliHost } from './runner/cli-host.ts';
import { type Outcome, runJest } from './runner/jest.ts';
import { type Lane, Lanes } from './runner/lanes.ts';
import { type Group, selectTests, TIERS, type Tier } from './runner/tiers.ts';
import { describeSkipped, type SkippedTest } from './skipped.ts';

/**
 * Concurrent test files of each group, for two cores. With more of them, each only takes longer: every lane has servers
 * and functions to start.
 */
const WORKERS: Readonly<Record<Group, number>> = { quick: 1, stores: 2, stack: 2 };
/** The same for a group that runs alone. */
const WORKERS_ALONE: Readonly<Record<Group, number>> = { quick: 2, stores: 3, stack: 3 };
/** The variable that test/seed.ts reads. */
const SEED = 'NGBAK_TEST_SEED';
const SLOWEST_PRINTED = 10;
/** Files that take at least this number of seconds are recorded, to be started first. */
const SLOW_SECONDS = 5;
/** Set to 1, the durations of the slow files are written to {@link SLOW_FILES}. */
const RECORD = 'NGBAK_TEST_RECORD';
const SLOW_FILES = join(ROOT, 'test/runner/slow-files.json');

const started = Date.now();
const log = (text: string) =>
  console.log(`[${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s] ${text}`);

/** The tier, by `--tier NAME` before everything else, and the remaining arguments for Jest. */
function parseArguments(argv: readonly string[]): { tier: Tier; args: readonly string[] } {
  if (argv[0] !== '--tier') return { tier: 'all', args: argv };
  const tier = argv[1] ?? '';
  if (!Object.hasOwn(TIERS, tier)) {
    throw new Error(`There is no tier "${tier}". Use one of ${Object.keys(TIERS).join(', ')}.`);
  }
  return { tier: tier as Tier, args: argv.slice(2) };
}

/** Whether the environment names running servers: then all tests share those. */
function usesRunningServers(): boolean {
  return DEFAULT_SERVICES.some((service) => explicitAddress(service, process.env) !== undefined);
}

/** Runs one group of tests on its own servers. */
async function runGroup(
  group: Group,
  files: readonly string[],
  lanes: Lanes,
  options: {
    readonly args: readonly string[];
    readonly alone: boolean;
    readonly nightly: boolean;
    readonly seed: string;
    readonly folder: string;
    readonly cli: CliHost;
    readonly signal: AbortSignal;
  },
): Promise<Outcome> {
  const most = (options.alone ? WORKERS_ALONE : WORKERS)[group];
  const workers = Math.min(usesRunningServers() ? 1 : most, files.length);
  const startLane = (_: unknown, index: number): Promise<Lane> => {
    const onProgress = (text: string) => log(`${group} ${index + 1}: ${text}`);
    return group === 'stack' ? lanes.startDeployed(onProgress) : lanes.start(onProgress);
  };
  const servers = group === 'quick' ? [] : await Promise.all(Array.from({ length: workers }, startLane));
  log(`${group}: running ${files.length} test files`);
  let ended = 0;
  const outcome = await runJest({
    files,
    args: options.args,
    workers,
    environment: {
      ...process.env,
      // Programs that tests start share compiled code, which halves their start time.
      NODE_COMPILE_CACHE: join(options.folder, 'compile-cache'),
      ...(options.nightly ? { NGBAK_TEST_NIGHTLY: '1' } : {}),
      [SEED]: options.seed,
      NGBAK_TEST_CLI: options.cli.socket,
      NGBAK_TEST_LANES: JSON.stringify(servers),
    },
    folder: await mkdtemp(join(options.folder, `${group}-`)),
    signal: options.signal,
    onLine(line) {
      if (/^(PASS|FAIL) /.test(line)) log(`${group}: ${line} (${++ended} of ${files.length})`);
      else console.error(line);
    },
  });
  if (group !== 'stack') return outcome;
  const { calls, refused } = await lanes.evaluateCalls();
  log(`stack: ${calls} different calls, ${refused.length} of which no policy allows`);
  for (const call of refused) console.error(`  no policy allows ${call}`);
  return { ...outcome, failed: outcome.failed + (refused.length > 0 ? 1 : 0) };
}

/**
 * Sums the outcomes of groups; a group that could not run counts as one failed test, and its reason is printed once.
 */
function total(outcomes: readonly PromiseSettledResult<Outcome>[]): Outcome {
  const sum = { passed: 0, failed: 0, skipped: [] as SkippedTest[], seconds: new Map<string, number>() };
  const reasons = new Set<string>();
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') {
      if (outcome.reason instanceof InterruptedError) throw outcome.reason;
      reasons.add(describeError(outcome.reason));
      continue;
    }
    sum.passed += outcome.value.passed;
    sum.failed += outcome.value.failed;
    sum.skipped.push(...outcome.value.skipped);
    for (const [path, seconds] of outcome.value.seconds) sum.seconds.set(path, seconds);
  }
  for (const reason of reasons) console.error(reason);
  sum.failed += reasons.size;
  return sum;
}

/** Prints which files took longest and, on request, records them. */
async function reportSlowest(seconds: ReadonlyMap<string, number>): Promise<void> {
  const slowest = [...seconds].filter(([, taken]) => taken >= SLOW_SECONDS).sort((a, b) => b[1] - a[1]);
  if (slowest.length === 0) return;
  console.log('The slowest test files:');
  for (const [path, taken] of slowest.slice(0, SLOWEST_PRINTED)) {
    console.log(`  ${taken.toFixed(0).padStart(4)} s  ${path}`);
  }
  if (process.env[RECORD] !== '1') return;
  const rounded = Object.fromEntries(slowest.map(([path, taken]) => [path, Math.round(taken)]));
  await writeFile(SLOW_FILES, `${JSON.stringify(rounded, null, 2)}\n`);
}

/** Appends to the PATH the programs that tests compare results with. Without them, those tests are skipped. */
async function addTools(folder: string, signal: AbortSignal): Promise<void> {
  try {
    const tools = await installTools({
      environment: process.env,
      signal,
      log: join(folder, 'tools.log'),
      onInstall: (what) => log(`installing ${what}`),
    });
    if (tools !== undefined) process.env.PATH = `${process.env.PATH ?? ''}${delimiter}${tools}`;
  } catch (error) {
    if (!(error instanceof LocalStackError)) throw error;
    log(describeError(error));
  }
}

async function main(interrupted: AbortSignal): Promise<Outcome> {
  const { tier, args } = parseArguments(process.argv.slice(2));
  const nightly = tier === 'nightly';
  const groups = [...(await selectTests(tier, args))];
  const seed = process.env[SEED] ?? String(randomInt(1, 2 ** 31));
  log(`seed ${seed}; ${SEED}=${seed} repeats what is random`);
  const folder = await mkdtemp(join(tmpdir(), 'test-run-'));
  await addTools(folder, interrupted);
  const lanes = new Lanes({ signal: interrupted, nightly, folder });
  const cli = await startCliHost(tmpdir());
  try {
    const options = { args, alone: groups.length === 1, nightly, seed, folder, cli, signal: interrupted };
    const run = ([group, files]: [Group, string[]]) => runGroup(group, files, lanes, options);
    // Groups share servers that are already running, and so do not run concurrently there.
    const outcomes = usesRunningServers()
      ? await sequentially(groups, run)
      : await Promise.allSettled(groups.map(run));
    const outcome = total(outcomes);
    await reportSlowest(outcome.seconds);
    for (const line of describeSkipped(outcome.skipped)) console.log(line);
    return outcome;
  } finally {
    cli.stop();
    await lanes.stop();
  }
}

async function sequentially<T, R>(
  items: readonly T[],
  run: (item: T) => Promise<R>,
): Promise<PromiseSettledResult<R>[]> {
  const outcomes: PromiseSettledResult<R>[] = [];
  for (const item of items) outcomes.push(...(await Promise.allSettled([run(item)])));
  return outcomes;
}

try {
  const { passed, failed, skipped } = await interruptible((signal) =>
    withTemporaryFolder(() => main(signal)),
  );
  console.log(`${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
} catch (error) {
  console.error(describeError(error));
  if (error instanceof InterruptedError) process.exitCode = INTERRUPTED_EXIT_CODE;
  else {
    console.log('0 passed, 1 failed');
    process.exitCode = 1;
  }
}
