/**
 * `npm test [-- jest arguments]`: starts the servers, deploys the stack when tests in test/stack/ are selected, runs
 * Jest, ends everything, and prints `N passed, N failed` as the last line. Exits with 1 unless all tests passed.
 *
 * Tests of the deployed stack wait most of the time. Where others are selected as well, those run beside them, by a
 * second process of this program with servers of its own.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { z } from 'zod';
import { ROOT } from '../local/folders.ts';
import { installAwsCli } from '../local/install/python.ts';
import { INTERRUPTED_EXIT_CODE, InterruptedError, interruptible } from '../local/interrupt.ts';
import { boundToParent, ended, killGroup } from '../local/processes.ts';
import { explicitAddress } from '../local/services/explicit.ts';
import { SERVICE_NAMES } from '../local/services/service.ts';
import { type Stack, startStack } from '../local/stack.ts';
import { describeError } from '../shared/errors.ts';
import { parseJson } from '../shared/input.ts';
import { refuseForeignData } from './foreign-data.ts';
import { addressesAsEnvironment, deployTestStack } from './stack/deploy.ts';

const JEST = [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  join(ROOT, 'node_modules/jest/bin/jest.js'),
];
const LIST_TIMEOUT_MS = 60_000;
/** Patterns of paths, as Jest takes them to leave files out. */
const TESTS = join(ROOT, 'test').replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
const STACK_TESTS = `^${TESTS}/stack/`;
const OTHER_TESTS = `^${TESTS}/(?!stack/)`;

/** Tests by their outcome. */
interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/** What is read of Jest's own report: https://jestjs.io/docs/cli#--json. */
const JestReport = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numRuntimeErrorTestSuites: z.number(),
});

const started = Date.now();
const say = (text: string) =>
  console.log(`[${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s] ${text}`);

/** The test files that Jest would run with these arguments, relative to the checkout. */
async function selectedTests(args: readonly string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [...JEST, '--listTests', ...args], {
    cwd: ROOT,
    timeout: LIST_TIMEOUT_MS,
    maxBuffer: 16 * 1024 * 1024,
  });
  return stdout
    .trim()
    .split('\n')
    .map((path) => relative(ROOT, path));
}

/** Installs the AWS CLI that tests run as a user would, and gives back the folder of its `aws`. */
function awsCli(stack: Stack, signal: AbortSignal): Promise<string> {
  return installAwsCli({
    environment: process.env,
    signal,
    log: join(stack.logs, 'awscli.log'),
    onInstall: (what) => say(`installing ${what}`),
  });
}

/** Runs Jest with its output as it comes, and gives back how many tests passed and failed. */
async function runJest(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Counts> {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-test-'));
  try {
    const report = join(folder, 'report.json');
    const [command, commandArgs] = boundToParent(process.execPath, [
      ...JEST,
      ...args,
      '--json',
      `--outputFile=${report}`,
    ]);
    signal.throwIfAborted();
    // Its report goes to the file; standard output would only repeat it.
    const jest = spawn(command, commandArgs, {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true,
    });
    const kill = () => killGroup(jest.pid);
    signal.addEventListener('abort', kill, { once: true });
    const how = await ended(jest);
    signal.removeEventListener('abort', kill);
    signal.throwIfAborted();
    const result = parseJson(JestReport, await readFile(report, 'utf8'), "Jest's report");
    // A file that can't even be loaded has failed, although none of its tests has.
    const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
    return { passed: result.numPassedTests, failed: how === 'code 0' ? failed : Math.max(failed, 1) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether the environment names servers that run already: then all tests share those. */
function usesServersOfOthers(): boolean {
  return SERVICE_NAMES.some((service) => explicitAddress(service, process.env) !== undefined);
}

/** Runs the tests outside of test/stack/ in a process of its own, with its output as it comes but for the last line. */
async function runOthers(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Counts> {
  const [command, commandArgs] = boundToParent(process.execPath, [
    ...process.execArgv,
    import.meta.filename,
    ...args,
    // Jest would take more paths that follow as patterns of this option.
    `--testPathIgnorePatterns=${STACK_TESTS}`,
  ]);
  const child = spawn(command, commandArgs, {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  const gone = ended(child);
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    if (last !== '') console.log(`(beside) ${last}`);
    last = line;
  }
  const how = await gone;
  signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/.exec(last) ?? [];
  if (passed === undefined) throw new Error(`The tests outside of test/stack ended with ${how}: ${last}`);
  return { passed: Number(passed), failed: how === 'code 0' ? Number(failed) : Math.max(Number(failed), 1) };
}

async function main(interrupted: AbortSignal): Promise<Counts> {
  const args = process.argv.slice(2);
  const selected = await selectedTests(args);
  const ofStack = selected.filter((path) => path.startsWith('test/stack/'));
  const isSplit = ofStack.length > 0 && ofStack.length < selected.length && !usesServersOfOthers();
  const failure = new AbortController();
  const signal = AbortSignal.any([interrupted, failure.signal]);
  const clean = { ...process.env };
  const stack = await startStack({ signal, onProgress: ({ service, text }) => say(`${service}: ${text}`) });
  // Later than the first servers, which install what is missing.
  const others = isSplit ? runOthers(args, clean, signal) : Promise.resolve({ passed: 0, failed: 0 });
  const settled = Promise.allSettled([others]);
  try {
    await refuseForeignData(stack);
    // For the clients that are made here, and for everything that is started from here.
    Object.assign(process.env, addressesAsEnvironment(stack));
    if (ofStack.length > 0) {
      const [deployed, cli] = await Promise.all([
        deployTestStack(stack, { signal, onProgress: say }),
        awsCli(stack, signal),
      ]);
      Object.assign(process.env, deployed);
      process.env.PATH = `${cli}${delimiter}${process.env.PATH ?? ''}`;
    }
    say(`testing ${isSplit ? ofStack.length : selected.length} files`);
    const own = isSplit ? [...args, `--testPathIgnorePatterns=${OTHER_TESTS}`] : args;
    const [here, beside] = await Promise.all([runJest(own, process.env, signal), others]);
    return { passed: here.passed + beside.passed, failed: here.failed + beside.failed };
  } finally {
    failure.abort();
    await settled;
    await stack.stop();
  }
}

try {
  const { passed, failed } = await interruptible(main);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
} catch (error) {
  console.error(describeError(error));
  if (error instanceof InterruptedError) process.exitCode = INTERRUPTED_EXIT_CODE;
  else {
    console.log('0 passed, 1 failed');
    process.exitCode = 1;
  }
}
