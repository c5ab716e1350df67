import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DescribeExecutionCommand } from '@aws-sdk/client-sfn';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { executionArn } from '../../shared/operations/start.ts';
import { ProgressWriter } from '../../shared/workflows/job/progress.ts';
import { freshContext } from '../operations/context.ts';
import { servers } from '../servers.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { until } from '../support/until.ts';
import { environmentOf, type Ran, run, Session } from './run.ts';

let context: Awaited<ReturnType<typeof freshContext>>;
let environment: NodeJS.ProcessEnv;
let folder: string;
const ngbak = (...args: string[]): Promise<Ran> => run(args, environment);
const day = (number: number) => idAt(new Date(Date.UTC(2026, 0, number, 3)));

beforeEach(async () => {
  context = await freshContext();
  environment = environmentOf(context);
  folder = await mkdtemp(join(tmpdir(), 'ngbak-cli-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('without a terminal', () => {
  test('list prints a plain table on stdout, newest first, and nothing else', async () => {
    for (let i = 1; i <= 3; i++) {
      await catalogue(context.bucket, {
        backup_id: day(i),
        created_at: `2026-01-0${i}T03:00:00.000Z`,
        tags: ['a'],
      });
    }
    const { code, stdout, stderr } = await ngbak('list');
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.split(/\s/)[0])).toEqual(['backup', day(3), day(2), day(1)]);
    expect(lines[1]).toContain('2026-01-03 03:00:00');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: tests that there are none
    expect(stdout).not.toMatch(/\u001b/);
  });

  test('--json prints one JSON object on each line', async () => {
    for (let i = 1; i <= 3; i++) await catalogue(context.bucket, { backup_id: day(i) });
    const ran = await ngbak('list', '--json', '--limit', '2');
    expect(ran.lines().map(({ type, data }) => [type, data.backup_id ?? data.total])).toEqual([
      ['backup', day(3)],
      ['backup', day(2)],
      ['page', 3],
    ]);
    expect(ran.stderr).toBe('');
  });

  test.each([
    [['show', 'snapshot_none'], 3, /no backup "snapshot_none"/],
    [['show', '../etc'], 2, /backup id/],
    [['job', 'none'], 3, /no job "none"/],
    [['list', '--limit', 'x'], 2, /whole number/],
    [['list', '--type', 'half'], 2, /Allowed choices/],
    [['nonsense'], 2, /unknown command/],
    [['backup', '--keep', 'a while'], 2, /retention/],
    [['prune'], 2, /policy of the deployment is unknown/],
    [['restore', 'no-such-file.ngbak'], 2, /neither a backup ID nor a readable file/],
  ])('%j exits with %d and states why and what to do, without a stack trace', async (args, code, text) => {
    const ran = await ngbak(...args);
    expect(ran.code).toBe(code);
    expect(ran.stderr).toMatch(text);
    expect(ran.stderr).not.toMatch(/\n\s+at /);
    expect(ran.stdout).toBe('');
  });

  test('an error is a JSON line too, and --debug shows its origin', async () => {
    const ran = await ngbak('show', 'snapshot_none', '--json');
    expect(ran.lines()).toMatchObject([
      { type: 'error', data: { name: 'NotFoundError', remedy: expect.stringContaining('ngbak list') } },
    ]);
    expect((await ngbak('show', 'snapshot_none', '--debug')).stderr).toMatch(/\n\s+at /);
  });

  test('an endpoint that does not respond exits with 6', async () => {
    environment = { ...environment, AWS_ENDPOINT_URL: 'http://127.0.0.1:9', AWS_MAX_ATTEMPTS: '1' };
    const ran = await ngbak('jobs');
    expect(ran.code).toBe(6);
  });

  test('delete refuses to continue without a terminal, and deletes with --yes', async () => {
    await catalogue(context.bucket, { backup_id: day(1) }, Buffer.alloc(10));
    expect((await ngbak('delete', day(1))).code).toBe(2);
    expect((await ngbak('show', day(1))).code).toBe(0);
    expect((await ngbak('delete', day(1), '--yes')).code).toBe(0);
    expect((await ngbak('show', day(1))).code).toBe(3);
  });

  test('retention is shown, set and reset without a deployment, and omitted options keep their values', async () => {
    const every = ['--keep-last', '9', '--keep-weekly', '4', '--keep-monthly', '0', '--keep-yearly', '0'];
    // With AWS credentials alone, the policy of cdk.json is unknown: nothing is guessed.
    const part = await ngbak('retention', 'set', ...every, '--yes');
    expect([part.code, part.stderr]).toEqual([2, expect.stringContaining('give every --keep-… option')]);
    const refused = await ngbak('retention', 'set', ...every, '--keep-daily', '0');
    expect(refused.code).toBe(2);
    expect((await ngbak('retention', 'set', ...every, '--keep-daily', '0', '--yes')).code).toBe(0);
    const changed = await ngbak('retention', 'set', '--keep-daily', '5', '--yes', '--json');
    expect(changed.lines()[0]?.data).toMatchObject({
      source: 'set',
      policy: { keep_last: 9, keep_daily: 5, keep_weekly: 4, keep_monthly: 0, keep_yearly: 0 },
    });
    expect((await ngbak('retention', 'show')).stdout).toContain('the newest 9, 5 daily, 4 weekly');
    expect((await ngbak('retention', 'reset', '--yes', '--json')).lines()[0]?.data).toMatchObject({
      source: 'deployed',
    });
  });

  test('tag changes tags, note and retention', async () => {
    await catalogue(context.bucket, { backup_id: day(1), tags: ['a', 'b'] });
    const ran = await ngbak('tag', day(1), 'c', '--remove', 'a', '--note', 'n', '--keep', '30d', '--json');
    expect(ran.lines()[0]?.data).toMatchObject({ tags: ['b', 'c'], note: 'n', retention: '30d' });
    const back = await ngbak('tag', day(1), '--note', '', '--no-retention', '--json');
    expect(back.lines()[0]?.data).not.toHaveProperty('retention');
    expect(back.lines()[0]?.data).not.toHaveProperty('note');
  });

  test('prune shows the rule for each backup and deletes only with --delete', async () => {
    for (let i = 1; i <= 3; i++) {
      await catalogue(
        context.bucket,
        { backup_id: day(i), created_at: `2026-01-0${i}T03:00:00.000Z` },
        Buffer.alloc(10),
      );
    }
    const planned = await ngbak('prune', '--keep-last', '2');
    expect(planned.stdout).toMatch(/number 1 of the last 2/);
    expect(planned.stdout).toMatch(/1 of 3 backups would be deleted/);
    expect((await ngbak('prune', '--keep-last', '2', '--delete', '--yes')).code).toBe(0);
    expect((await ngbak('list', '--json')).lines().filter(({ type }) => type === 'backup')).toHaveLength(2);
  });

  test('backup --wait prints each state and exits with the outcome of the job', async () => {
    const session = new Session(['backup', '--wait', '--tag', 'x'], environment, { terminal: false });
    await session.shows(/pending/);
    const id = /backup_\S+_[0-9a-f]{8}/.exec((await jobs())[0]?.job_id ?? '')?.[0] ?? '';
    expect((await ngbak('cancel', id, '--yes')).code).toBe(0);
    const ran = await session.end();
    expect(ran.code).toBe(9);
    expect(ran.stdout).toMatch(/cancelled/);
  });

  test('a signal stops following the job, not the job', async () => {
    const session = new Session(['backup', '--wait'], environment, { terminal: false });
    await session.shows(/pending/);
    session.signal('SIGINT');
    const ran = await session.end();
    expect(ran.code).toBe(130);
    expect(ran.stderr).toMatch(/The job continues in the background/);
    expect(await statusOf((await jobs())[0]?.job_id ?? '')).toBe('RUNNING');
  });
});

test('doctor and status warn if nobody is notified of failures, and neither fails because of it', async () => {
  const ran = await run(['doctor', '--json'], environment);
  const findings = ran.lines()[0]?.data.findings as { name: string }[];
  expect(findings.find(({ name }) => name === 'notifications')).toEqual({
    name: 'notifications',
    ok: true,
    warning: true,
    message: expect.stringMatching(/^Nobody is notified if a backup fails .* `ngbak notify test`\.$/),
  });
  expect((await run(['status'], environment)).stderr).toMatch(
    /Warning: Nobody is notified if a backup fails/,
  );
});

describe('the configuration', () => {
  test('is read from the file, overridden by the environment, and that by flags', async () => {
    const file = join(folder, 'config.json');
    await writeFile(file, JSON.stringify({ bucket: 'from-the-file' }));
    const { NGBAK_BUCKET: bucket = '', ...rest } = environment;
    const where = async (env: NodeJS.ProcessEnv, ...args: string[]) => {
      const ran = await run(['doctor', '--json', ...args], { ...rest, NGBAK_CONFIG_FILE: file, ...env });
      const findings = ran.lines()[0]?.data.findings as { name: string; message: string }[];
      return findings.find(({ name }) => name === 'access')?.message;
    };
    expect(await where({})).toBe('s3://from-the-file');
    expect(await where({ NGBAK_BUCKET: 'from-the-environment' })).toBe('s3://from-the-environment');
    expect(await where({ NGBAK_BUCKET: 'from-the-environment' }, '--bucket', bucket)).toBe(`s3://${bucket}`);
  });

  test('of a knowledge base is proposed by doctor from the names in its stores', async () => {
    await writeFile(join(folder, 'kv_store_doc_status.json'), '{}');
    await writeFile(join(folder, 'kv_store_full_docs.json'), '{}');
    const unnamed = { ...environment, NEO4J_URI: '', QDRANT_URL: '', REDIS_URL: '' };
    const ran = await run(['doctor', '--json', '--files', folder], unnamed);
    const findings = ran.lines()[0]?.data.findings as { name: string; message: string }[];
    expect(findings.find(({ name }) => name === 'profile')).toEqual({
      name: 'profile',
      ok: true,
      message: '"lightrag", because of file kv_store_doc_status.json. The profile in cdk.json decides.',
    });
    expect(findings.find(({ name }) => name === 'kv store')).toEqual({
      name: 'kv store',
      ok: true,
      message: 'files 1 (directory); files 2',
    });
    const none = await run(['doctor', '--json', '--stores'], unnamed);
    expect(none.stdout).toMatch(
      /"name":"profile","ok":false,"message":"No store is configured\. Set NEO4J_URI/,
    );
  });

  test('of stores is checked by doctor: version and contents if they respond, otherwise what is wrong', async () => {
    const { url, password } = servers.redis;
    const reached = { NEO4J_URI: '', QDRANT_URL: '', REDIS_URL: url, REDIS_PASSWORD: password };
    const ran = await run(['doctor', '--json', '--stores'], { ...environment, ...reached });
    expect(ran.stdout).toMatch(/"name":"kv store","ok":true,"message":"redis \d+\.\d+\.\d+/);
    const wrong = { ...reached, REDIS_PASSWORD: 'hush-hush' };
    const refused = await run(['doctor', '--json', '--stores'], { ...environment, ...wrong });
    expect(refused.code).toBe(1);
    const findings = refused.lines()[0]?.data.findings as { name: string; ok: boolean; message: string }[];
    expect(findings.find(({ name }) => name === 'kv store')).toMatchObject({
      ok: false,
      message: expect.stringContaining('refused'),
    });
    expect(refused.stdout + refused.stderr).not.toContain('hush-hush');
  });

  test('that is invalid is reported by key, without its value', async () => {
    const file = join(folder, 'config.json');
    await writeFile(file, JSON.stringify({ api_key: 'hush-hush', api_url: 'hush-hush', colour: 'red' }));
    const ran = await run(['list'], { ...environment, NGBAK_CONFIG_FILE: file });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/api_url/);
    expect(ran.stderr).toMatch(/colour/);
    expect(ran.stderr + ran.stdout).not.toMatch(/hush-hush/);
  });
});

describe('at a terminal', () => {
  const atTerminal = (...args: string[]) =>
    new Session(args, { ...environment, TERM: 'xterm' }, { terminal: true });

  test('Ctrl-C prompts, and "c" cancels the job', async () => {
    const session = atTerminal('backup', '--wait');
    await untilFollowed(session);
    session.type('\u0003');
    await session.shows('cancel the job (c)');
    session.type('c\r');
    const ran = await session.end();
    expect(ran.code).toBe(9);
    expect(await statusOf((await jobs())[0]?.job_id ?? '')).toBe('ABORTED');
  });

  test('Ctrl-C and Enter stop following the job, which continues', async () => {
    const session = atTerminal('backup', '--wait');
    await untilFollowed(session);
    session.type('\u0003');
    await session.shows('cancel the job (c)');
    session.type('\r');
    expect((await session.end()).code).toBe(130);
    expect(await statusOf((await jobs())[0]?.job_id ?? '')).toBe('RUNNING');
  });

  test('delete asks first, and any answer but yes keeps the backup', async () => {
    await catalogue(context.bucket, { backup_id: day(1) }, Buffer.alloc(10));
    const no = atTerminal('delete', day(1));
    await no.shows('[y/N]');
    no.type('\r');
    expect((await no.end()).code).toBe(4);
    const yes = atTerminal('delete', day(1));
    await yes.shows('[y/N]');
    yes.type('y\r');
    expect((await yes.end()).code).toBe(0);
    expect((await ngbak('show', day(1))).code).toBe(3);
  });

  test('text from the catalog cannot control the terminal', async () => {
    await catalogue(context.bucket, { backup_id: day(1), note: 'a\u001b[2Jb\u0007', tags: ['\u001b]0;x'] });
    for (const args of [['show', day(1)], ['list']]) {
      const ran = await atTerminal(...args).end();
      expect(ran.stdout).not.toContain('\u001b[2J');
      expect(ran.stdout).not.toContain('\u001b]0;x');
    }
  });
});

/** The executions of the backup workflow, newest first. */
async function jobs(): Promise<{ job_id: string }[]> {
  const { ListExecutionsCommand } = await import('@aws-sdk/client-sfn');
  const { executions } = await context.sfn.send(
    new ListExecutionsCommand({ stateMachineArn: context.stateMachines.backup }),
  );
  return (executions ?? []).map(({ name }) => ({ job_id: name ?? '' }));
}

/** Waits until a command follows its job at a terminal, and shows the progress of a step that has reported some. */
async function untilFollowed(session: Session): Promise<void> {
  await session.shows('Job backup_');
  const [job] = await until('the job has started', jobs, { holds: ({ length }) => length > 0 });
  const part = { store: 'graph', shard: 'graph-01', phase: 'export' } as const;
  const progress = await ProgressWriter.open(context.bucket, job?.job_id ?? '', part, { nodes: 10 });
  progress.report('nodes', 4);
  await progress.close(false);
  await session.shows('4 of about 10 nodes');
}

async function statusOf(jobId: string): Promise<string | undefined> {
  const arn = executionArn(context.stateMachines.backup, jobId);
  return (await context.sfn.send(new DescribeExecutionCommand({ executionArn: arn }))).status;
}
