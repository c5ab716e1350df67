import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { ROOT } from '../local/folders.ts';
import { missing } from './conditions.ts';
import { JEST } from './runner/jest.ts';
import { describeSkipped, skippedTests } from './skipped.ts';

const NO_TOOL = '[skipped: tool is not on the PATH]';
const files = [
  {
    name: join(ROOT, 'test/a.test.ts'),
    assertionResults: [
      { fullName: 'archives are read', status: 'passed' },
      { fullName: `archives ${NO_TOOL} by tool are read`, status: 'pending' },
      { fullName: `archives by tool are packed ${NO_TOOL}`, status: 'pending' },
      { fullName: 'archives of the future', status: 'todo' },
    ],
  },
];

test('tests that did not run are listed by their reasons', () => {
  expect(describeSkipped(skippedTests(files, ['test/a.test.ts']))).toEqual([
    'Skipped because tool is not on the PATH:',
    '  test/a.test.ts: archives by tool are read',
    '  test/a.test.ts: archives by tool are packed',
    'Skipped because its file leaves it out:',
    '  test/a.test.ts: archives of the future',
  ]);
});

test.each([[['-t', 'packed']], [['--testNamePattern=PACKED']], [['x.test.ts', '-t=packed']]])(
  'tests that a name pattern excludes are not counted as skipped (%j)',
  (args) => {
    expect(skippedTests(files, args).map(({ name }) => name)).toEqual(['archives by tool are packed']);
  },
);

test('a missing program is the reason to skip a test', () => {
  expect(missing('no-such-program')).toBe('no-such-program is not on the PATH');
  expect(missing('node')).toBeUndefined();
});

test.each<[string[], string[]]>([
  [[], ['one']],
  [['-t', 'within three'], ['three']],
  [['-t', 'four'], []],
])(
  'a set-up that fails, fails one test with its error; the others are skipped (%j)',
  async (args, failing) => {
    const fixture = join(import.meta.dirname, 'runner/fixtures/failing-set-up.fixture.ts');
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...JEST, '--json', '--testMatch', fixture, ...args],
      { cwd: ROOT },
    ).catch((error) => error);
    const { testResults } = JSON.parse(stdout);
    const [{ assertionResults }] = testResults;
    const failed = assertionResults.filter(({ status }: { status: string }) => status === 'failed');
    expect(failed.map(({ title }: { title: string }) => title)).toEqual(failing);
    for (const { failureMessages } of failed)
      expect(failureMessages).toEqual([expect.stringContaining('The server is missing. Install it.')]);
    const reason = 'the set-up that it shares with a failed test did not succeed';
    expect(skippedTests(testResults, args).map(({ name }) => name)).toEqual(
      args.length === 0 ? ['with a server two', 'with a server within three'] : [],
    );
    for (const skipped of skippedTests(testResults, args)) expect(skipped.reason).toBe(reason);
  },
);

test('no test file skips tests in another way', async () => {
  const paths = (await readdir(import.meta.dirname, { recursive: true })).filter((path) =>
    path.endsWith('.test.ts'),
  );
  const found: string[] = [];
  for (const file of paths) {
    const text = await readFile(join(import.meta.dirname, file), 'utf8');
    if (/\b(test|it|describe)(\.each\([^)]*\))?\.(skip|todo|only|failing)\b/.test(text)) found.push(file);
  }
  expect(found).toEqual([]);
});
