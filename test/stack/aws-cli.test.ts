import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readJob } from '../../shared/workflows/job/record.ts';
import { answerConfirmation } from '../../shared/workflows/restore/confirmation.ts';
import { until } from '../support/until.ts';
import { AWS_CLI, fillTarget, readTarget } from './content.ts';
import { deployedStack } from './harness.ts';

const stack = deployedStack();
/** The README uses the target "default"; this test has its own. */
const target = 'aws-cli';
let folder: string;
let variables: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-aws-cli-'));
  variables = {
    BUCKET: stack.bucket.name,
    BACKUP_STATE_MACHINE_ARN: stack.output('BackupStateMachineArn'),
    RESTORE_STATE_MACHINE_ARN: stack.output('RestoreStateMachineArn'),
  };
  await fillTarget(AWS_CLI);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The paragraphs of the README's shell block about the AWS CLI, each with its comment. */
async function paragraphs(): Promise<string[]> {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const block = /<!-- test\/stack\/aws-cli\.test\.ts runs these lines -->\s*```sh\n([\s\S]*?)```/.exec(
    readme,
  )?.[1];
  if (!block) throw new Error('The README has no block that names this test.');
  return block
    .replaceAll("--input '{}'", `--input '{"target": "${target}"}'`)
    .replaceAll('"confirm": "default"', `"confirm": "${target}"`)
    .replaceAll('/uploads/default/', `/uploads/${target}/`)
    .trim()
    .split('\n\n');
}

/** Runs lines in bash as a user would, and returns their output. */
function shell(lines: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', lines], {
      cwd: folder,
      env: { ...process.env, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${lines}\nended with ${code}: ${errors}`)),
    );
  });
}

test('the commands in the README back up, download, share and restore with the AWS CLI alone', async () => {
  const [backup = '', download = '', restore = '', upload = ''] = await paragraphs();
  const before = await readTarget(AWS_CLI);

  const started = JSON.parse(await shell(backup)) as { executionArn: string };
  const ended = await stack.waitForExecution(started.executionArn);
  expect(ended.cause ?? ended.status).toBe('SUCCEEDED');
  const backupId = (JSON.parse(ended.output ?? '{}') as { backup_id: string }).backup_id;
  variables.BACKUP_ID = backupId;

  const printed = await shell(download);
  expect(printed).toContain(`${backupId}.ngbak`);
  const archive = await readFile(join(folder, `${backupId}.ngbak`));
  const link = printed.trim().split('\n').at(-1) ?? '';
  expect(Buffer.from(await (await fetch(link)).arrayBuffer()).equals(archive)).toBe(true);
  await shell(`tar -xzf ${backupId}.ngbak && sha256sum --quiet -c SHA256SUMS`);

  await fillTarget({ ...AWS_CLI, prefix: 'aws-cli:damage:' });
  expect(await readTarget(AWS_CLI)).not.toEqual(before);
  const restoring = JSON.parse(await shell(restore)) as { executionArn: string };
  const restored = await stack.waitForExecution(restoring.executionArn);
  expect(restored.cause ?? restored.status).toBe('SUCCEEDED');
  expect(await readTarget(AWS_CLI)).toEqual(before);

  await shell(upload);
  const job = await jobThatWaits();
  await answerConfirmation(stack, job, { confirm: true, phrase: target });
  expect((await stack.waitForJob(job)).state).toBe('completed');
  expect(await readTarget(AWS_CLI)).toEqual(before);
});

/** The restore into the target that waits for its confirmation; its ID is derived from the upload's version. */
const jobThatWaits = () =>
  until('a restore awaits its confirmation', async () => {
    for (const key of await stack.keys('jobs/upload_')) {
      const id = key.split('/')[1] ?? '';
      const job = key.endsWith('/job.json') ? await readJob(stack.bucket, id) : undefined;
      if (job?.target === target && job.state === 'awaiting_confirmation') return id;
    }
    return undefined;
  });
