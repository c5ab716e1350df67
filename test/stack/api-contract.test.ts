import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { installSchemathesis } from '../../local/install/python.ts';
import { cancelJob } from '../../shared/operations/cancel-job.ts';
import { ListJobsInput, listJobs } from '../../shared/operations/list-jobs.ts';
import { NIGHTLY } from '../nightly.ts';
import { SEED } from '../seed.ts';
import { servers } from '../servers.ts';
import { deployedStack } from './harness.ts';

/** Generated requests for each operation, in addition to the corner cases of its schema. */
const EXAMPLES = 5;
/** Time limit of one run, in seconds. */
const RUN_SECONDS = NIGHTLY ? 80 : 40;
/**
 * Operations that would start real backups of the shared deployment, delete from it permanently, or decide what is
 * deleted: tested with a viewer only.
 */
const WITH_EFFECT = ['/api/v1/backup', '/api/v1/backup/prune', '/api/v1/retention'];

/** Methods that must be refused where they are not supported. Not TRACE: it is refused before it reaches the API. */
const CONFIGURATION = `
[phases.coverage]
unexpected-methods = ["DELETE", "GET", "PATCH", "POST", "PUT"]
`;

const stack = deployedStack();
// The emulator serves its APIs at other paths of the same address.
const base = `${servers.aws.endpoint}/_aws/execute-api/${new URL(stack.output('ApiUrl')).hostname.split('.')[0]}/$default`;
const begun = new Date().toISOString();
let folder: string;
let packages: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-contract-'));
  await writeFile(join(folder, 'schemathesis.toml'), CONFIGURATION);
  packages = await installSchemathesis({
    environment: process.env,
    signal: new AbortController().signal,
    log: join(folder, 'install.log'),
    onInstall: () => undefined,
  });
});

afterAll(async () => {
  // Accepted generated restores wait for an upload that never arrives.
  const context = {
    ...stack,
    stateMachines: {
      backup: stack.output('BackupStateMachineArn'),
      restore: stack.output('RestoreStateMachineArn'),
    },
  };
  const { jobs } = await listJobs(context, ListJobsInput.parse({ state: 'pending', limit: 500 }));
  for (const { job_id, requested_by, created_at } of jobs) {
    if (requested_by !== 'test-admin' || created_at < begun) continue;
    await cancelJob(context, job_id, { requestedBy: 'a test' });
  }
  await rm(folder, { recursive: true, force: true });
});

test('the API responds to all that its OpenAPI document allows or forbids as documented, and never with 500', async () => {
  const without = WITH_EFFECT.flatMap((path) => ['--exclude-path', path]);
  expect(await run(stack.apiKey('admin'), without)).toBe('');
});

test('the same for a viewer, who may start, change and delete nothing', async () => {
  expect(
    await run(
      stack.apiKey('viewer'),
      WITH_EFFECT.flatMap((path) => ['--include-path', path]),
    ),
  ).toBe('');
});

test('a name with a path delimiter is refused as a name, and does not address another path', async () => {
  for (const name of ['a%23b', 'a%3Fb']) {
    const answer = await fetch(`${base}/api/v1/schedules/${name}/run`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.apiKey('admin')}`, 'idempotency-key': `name-${begun}` },
    });
    expect([name, answer.status]).toEqual([name, 400]);
  }
});

/** Runs schemathesis on the deployed API; returns its findings. */
function run(key: string, selection: readonly string[]): Promise<string> {
  const args = [
    '-m',
    'schemathesis.cli',
    'run',
    `${base}/api/v1/openapi.json`,
    ...['--url', base],
    ...['--header', `Authorization: Bearer ${key}`],
    ...[
      '--phases',
      'coverage,fuzzing',
      '--max-examples',
      String(EXAMPLES),
      '--max-time',
      String(RUN_SECONDS),
    ],
    ...['--seed', String(SEED), '--generation-database', 'none', '--continue-on-failure'],
    // A well-formed ID may not exist, and texts such as cron expressions have a grammar that no schema describes.
    ...['--exclude-checks', 'positive_data_acceptance'],
    ...['--no-color', '--warnings', 'off'],
    ...selection,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn('python3', args, {
      cwd: folder,
      env: { ...process.env, PYTHONPATH: packages },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk;
      });
    }
    child.on('error', reject);
    // Without any requests, nothing would be proved.
    child.on('close', (code) => resolve(code === 0 && / passed|No issues found/.test(output) ? '' : output));
  });
}
