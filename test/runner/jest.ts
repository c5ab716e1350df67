import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { ROOT } from '../../local/folders.ts';
import { boundToParent, ended, killGroup } from '../../local/processes.ts';
import { parseJson } from '../../shared/core/input.ts';
import { FileReport, type SkippedTest, skippedTests } from '../skipped.ts';

/** Jest's command line, up to its arguments. Its workers get the same options of Node. */
export const JEST = [
  '--experimental-vm-modules',
  // MiB for new objects, four times the default: tests make many, and collecting them more rarely takes a quarter less time.
  '--max-semi-space-size=64',
  '--disable-warning=ExperimentalWarning',
  join(ROOT, 'node_modules/jest/bin/jest.js'),
];

/** The fields of Jest's own report used here: https://jestjs.io/docs/cli#--json. */
const JestReport = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numRuntimeErrorTestSuites: z.number(),
  testResults: z.array(FileReport.extend({ startTime: z.number(), endTime: z.number() })),
});

/** The outcome of a run of Jest. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly SkippedTest[];
  /** Seconds of each test file, by its path in the checkout. */
  readonly seconds: ReadonlyMap<string, number>;
}

export interface JestRun {
  /** The test files, as paths in the checkout. */
  readonly files: readonly string[];
  /** Jest arguments of the user. */
  readonly args: readonly string[];
  /** Number of concurrent test files. */
  readonly workers: number;
  readonly environment: NodeJS.ProcessEnv;
  /** Folder for the report and the list of files. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Receives each line of Jest's output. */
  readonly onLine: (line: string) => void;
}

/** Runs Jest on these files to completion. Throws when the signal is aborted. */
export async function runJest(run: JestRun): Promise<Outcome> {
  const report = join(run.folder, 'report.json');
  const list = join(run.folder, 'files.txt');
  await writeFile(list, run.files.join('\n'));
  const [command, args] = boundToParent(process.execPath, [
    ...JEST,
    ...run.args,
    `--filter=${join(ROOT, 'test/runner/filter.cjs')}`,
    `--maxWorkers=${run.workers}`,
    '--json',
    `--outputFile=${report}`,
  ]);
  run.signal.throwIfAborted();
  // The report goes to the file; standard output would only repeat it.
  const jest = spawn(command, args, {
    cwd: ROOT,
    env: { ...run.environment, NGBAK_TEST_FILES: list },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const kill = () => killGroup(jest.pid);
  run.signal.addEventListener('abort', kill, { once: true });
  const exited = ended(jest);
  for await (const line of createInterface({ input: jest.stderr })) run.onLine(line);
  const how = await exited;
  run.signal.removeEventListener('abort', kill);
  run.signal.throwIfAborted();
  const result = parseJson(JestReport, await readFile(report, 'utf8'), "Jest's report");
  // A file that cannot be loaded has failed, although none of its tests has.
  const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
  return {
    passed: result.numPassedTests,
    failed: how === 'code 0' ? failed : Math.max(failed, 1),
    skipped: skippedTests(result.testResults, run.args),
    seconds: new Map(
      result.testResults.map(({ name, startTime, endTime }) => [
        relative(ROOT, name),
        (endTime - startTime) / 1000,
      ]),
    ),
  };
}
