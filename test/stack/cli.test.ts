import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { catalogKey, jobRecordKey } from '../../shared/aws/keys.ts';
import { run, Session } from '../cli/run.ts';
import { CLI, fillTarget, readTarget, withClients } from './content.ts';
import { deployedStack } from './harness.ts';

const stack = deployedStack();
/** With the policy that the stack publishes for operators: the emulator refuses everything else. */
const environment = { NGBAK_STACK: 'NgbakTest', TERM: 'xterm', TZ: 'UTC', ...stack.operator() };
let folder: string;
let whole: unknown;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-cli-'));
  await fillTarget(CLI);
  whole = await readTarget(CLI);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const damage = () => fillTarget({ ...CLI, prefix: 'ngbak-cli:damage:' });

/** Runs `ngbak`, expects success, and returns its JSON lines of one type. */
async function ngbak(type: string, args: string[], more: NodeJS.ProcessEnv = {}) {
  const ran = await run([...args, '--json'], { ...environment, ...more });
  expect([ran.code, ran.stdout, ran.stderr]).toEqual([0, expect.anything(), '']);
  return ran
    .lines()
    .filter((line) => line.type === type)
    .map(({ data }) => data);
}

let backupId: string;
let file: string;

test('ngbak finds the stack, backs up, and follows the job with progress for each store', async () => {
  const args = ['backup', '--target', 'cli', '--tag', 'by-cli', '--wait'];
  const [job] = await ngbak('job', args);
  expect(job).toMatchObject({ state: 'completed', kind: 'backup', target: 'cli' });
  const stores = ((job?.progress ?? []) as { store: string }[]).map(({ store }) => store);
  expect(stores).toEqual(expect.arrayContaining(['graph', 'vectors', 'kv', 'archive']));
  backupId = String(job?.backup_id);
  const [listed] = await ngbak('backup', ['list', '--tag', 'by-cli']);
  expect(listed?.backup_id).toBe(backupId);
});

test('its backup can be inspected, verified and downloaded', async () => {
  const entries = await ngbak('entry', ['contents', backupId]);
  expect(entries.map(({ name }) => String(name).split('/')[0])).toEqual(
    expect.arrayContaining(['graph', 'vectors', 'kv']),
  );
  expect(await ngbak('verification', ['verify', backupId])).toMatchObject([{ is_valid: true }]);
  const [downloaded] = await ngbak('downloaded', ['download', backupId, '--to', folder]);
  file = String(downloaded?.path);
  expect(await readdir(folder)).toEqual([expect.stringMatching(/^backup_\d{8}_\d{6}\.ngbak$/)]);
});

test('at a terminal, a file is restored after its inspection is shown and the name of the target typed', async () => {
  await damage();
  expect(await readTarget(CLI)).not.toEqual(whole);
  const session = new Session(['restore', file, '--target', 'cli'], environment, { terminal: true });
  await session.shows('in cli now');
  await session.shows('Type its name');
  session.type('default\r');
  await session.shows('The name does not match');
  session.type('cli\r');
  const ran = await session.end();
  expect([ran.code, ran.stdout]).toEqual([0, expect.stringContaining('completed')]);
  expect(await readTarget(CLI)).toEqual(whole);
});

test('without a terminal, a restore waits, reports it by its exit code, and is rejected', async () => {
  await damage();
  const damaged = await readTarget(CLI);
  const ran = await run(['restore', backupId], environment);
  expect([ran.code, ran.stderr]).toEqual([8, expect.stringMatching(/ngbak confirm restore_\S+ cli/)]);
  const [, jobId = '', seen = ''] = /ngbak confirm (\S+) cli --inspected-at (\S+)/.exec(ran.stderr) ?? [];
  // Other options are tried, with AWS credentials and through the API; the job keeps waiting, and nothing is written.
  const api = { NGBAK_API_URL: stack.apiUrl(), NGBAK_API_KEY: stack.apiKey('operator') };
  for (const [how, way] of [
    [['--stores', 'kv', '--mode', 'merge', '--on-conflict', 'keep'], {}],
    [['--stores', 'graph', '--no-safety-backup'], api],
  ] as const) {
    const tried = await run(['options', jobId, ...how], { ...environment, ...way });
    expect([tried.code, tried.stderr]).toEqual([8, expect.stringContaining(`ngbak confirm ${jobId} cli`)]);
    const [job] = await ngbak('job', ['job', jobId]);
    expect(job).toMatchObject({ state: 'awaiting_confirmation', options: { stores: [how[1]] } });
    expect(job?.inspection).toMatchObject({ stores: [{ store: how[1] }] });
  }
  // The first findings no longer apply.
  for (const way of [{}, api]) {
    const unseen = await run(['confirm', jobId, 'cli', '--inspected-at', seen], { ...environment, ...way });
    expect([unseen.code, unseen.stderr]).toEqual([2, expect.stringContaining('was inspected again')]);
  }
  await ngbak('rejected', ['reject', jobId]);
  expect((await stack.waitForJob(jobId)).state).toBe('cancelled');
  expect(await readTarget(CLI)).toEqual(damaged);
});

test('a catalogued backup is restored with --yes', async () => {
  const [job] = await ngbak('job', ['restore', backupId, '--yes']);
  expect(job).toMatchObject({ state: 'completed', kind: 'restore' });
  expect(await readTarget(CLI)).toEqual(whole);
});

test('an encrypted download is restored with its secret key, which stays on this machine', async () => {
  const secret = await generateX25519Identity();
  const key = join(folder, 'key.txt');
  await writeFile(key, `${secret}\n`);
  const to = ['--to', folder, '--encrypt-to', await identityToRecipient(secret)];
  const [downloaded] = await ngbak('downloaded', ['download', backupId, ...to]);
  const path = String(downloaded?.path);
  expect(path).toMatch(/\.ngbak\.age$/);
  await damage();
  const refused = await run(['restore', path, '--target', 'cli', '--yes'], environment);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('is encrypted with age')]);
  const restored = await run(['restore', path, '--target', 'cli', '--yes', '--identity', key], environment);
  expect([restored.code, restored.stdout]).toEqual([0, expect.stringContaining('completed')]);
  expect(await readTarget(CLI)).toEqual(whole);
});

test('a subset is backed up, found by its contents, and restored without a change to anything else', async () => {
  const part = ['--namespaces', 'docs', '--label', 'Thing'];
  const [job] = await ngbak('job', ['backup', '--target', 'cli', ...part, '--tag', 'part', '--wait']);
  const id = String(job?.backup_id);
  expect(job).toMatchObject({ state: 'completed', result: { type: 'partial' } });
  const filters = ['--type', 'partial', '--namespace', 'docs', '--tag', 'part'];
  expect(await ngbak('backup', ['list', ...filters])).toMatchObject([
    { backup_id: id, stores: ['graph', 'kv'], only: { label: 'Thing', namespaces: ['docs'] } },
  ]);
  expect(await ngbak('backup', ['list', '--namespace', 'cache', '--tag', 'part'])).toEqual([]);
  await withClients(async ({ cypher, redis }) => {
    await redis.set(`${CLI.prefix}docs:d1`, '"changed"');
    await redis.set(`${CLI.prefix}docs:new`, '"made since"');
    await redis.set(`${CLI.prefix}cache:since`, '"made since"');
    await cypher(`MATCH (n:${CLI.label} {id: 'n3'}) DETACH DELETE n`);
    await cypher(`CREATE (:${CLI.label}:Other {id: 'since'}), (:${CLI.label}:Thing {id: 'more'})`);
  });
  const [restored] = await ngbak('job', ['restore', id, '--yes']);
  expect(restored).toMatchObject({ state: 'completed', result: { all_of_stores: false } });
  await withClients(async ({ cypher, redis }) => {
    // Later data outside of the subset still exists; apart from it, everything is as before.
    expect(await redis.get(`${CLI.prefix}cache:since`)).toBe('"made since"');
    await redis.del(`${CLI.prefix}cache:since`);
    expect(await cypher(`MATCH (n:${CLI.label}:Other) WITH n, n.id AS id DELETE n RETURN id`)).toEqual([
      { id: 'since' },
    ]);
  });
  expect(await readTarget(CLI)).toEqual(whole);
});

test('a subset that the target does not have fails with its name, and leaves no backup', async () => {
  const args = ['backup', '--target', 'cli', '--tag', 'part', '--label', 'Twon', '--wait'];
  const ran = await run(args, environment);
  expect([ran.code, ran.stdout + ran.stderr]).toEqual([
    1,
    expect.stringContaining('no node with label "Twon"'),
  ]);
  expect(await ngbak('backup', ['list', '--type', 'partial', '--tag', 'part'])).toHaveLength(1);
});

test('doctor tests the permissions of AWS credentials by harmless calls, and changes nothing', async () => {
  const permissions = async (more: NodeJS.ProcessEnv = {}) => {
    const { stdout } = await run(['doctor', '--json'], { ...environment, ...more });
    const { data } = JSON.parse(stdout) as { data: { findings: { name: string; message: string }[] } };
    return data.findings.find(({ name }) => name === 'permissions');
  };
  const unknown = 'permission to start workflows is checked when one is started';
  const all = 'read backups and jobs, write requests and records, delete backups, read executions';
  expect(await permissions()).toEqual({ name: 'permissions', ok: true, message: `may ${all}; ${unknown}` });

  const allow = (...Action: string[]) =>
    makeUser({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action, Resource: '*' }] });
  const looks = ['cloudformation:Describe*', 'states:Describe*', 'states:List*'];
  expect(await permissions(await allow(...looks, 's3:GetObject', 's3:ListBucket', 'kms:Decrypt'))).toEqual({
    name: 'permissions',
    ok: true,
    message: `may read backups and jobs, read executions; may not write requests and records, delete backups; ${unknown}`,
  });
  expect(await permissions(await allow(...looks))).toMatchObject({
    ok: false,
    message: expect.stringContaining(
      'may not read backups and jobs, write requests and records, delete backups.',
    ),
  });

  for (const key of [jobRecordKey('doctor-never-was'), catalogKey('doctor-never-was')]) {
    for await (const version of stack.bucket.versions(key)) expect(version).toBeUndefined();
  }
});

/** A user of the emulated account with a separate policy: the environment variables with its keys. */
async function makeUser(policy: object): Promise<NodeJS.ProcessEnv> {
  const name = `doctor-${randomBytes(4).toString('hex')}`;
  const iam = async (...args: string[]) =>
    (await promisify(execFile)('aws', ['iam', ...args], { env: process.env })).stdout;
  await iam('create-user', '--user-name', name);
  const document = ['--policy-document', JSON.stringify(policy)];
  await iam('put-user-policy', '--user-name', name, '--policy-name', 'only', ...document);
  const { AccessKey } = JSON.parse(await iam('create-access-key', '--user-name', name)) as {
    AccessKey: { AccessKeyId: string; SecretAccessKey: string };
  };
  return { AWS_ACCESS_KEY_ID: AccessKey.AccessKeyId, AWS_SECRET_ACCESS_KEY: AccessKey.SecretAccessKey };
}

test('the same commands work through the HTTP API', async () => {
  const api = {
    NGBAK_API_URL: stack.apiUrl(),
    NGBAK_API_KEY: stack.apiKey('admin'),
    AWS_ACCESS_KEY_ID: 'none',
  };
  const { stdout } = await run(['doctor', '--json'], { ...environment, ...api });
  expect(stdout).toContain(
    '"name":"permissions","ok":true,"message":"\\"test-admin\\" is admin: may do everything"',
  );
  const [job] = await ngbak('job', ['backup', '--target', 'cli', '--wait'], api);
  expect(job).toMatchObject({ state: 'completed', requested_by: 'test-admin' });
  const made = String(job?.backup_id);
  expect(await ngbak('verification', ['verify', made], api)).toMatchObject([{ is_valid: true }]);
  const path = join(folder, 'by-api.ngbak');
  await ngbak('downloaded', ['download', made, '--output', path], api);
  await damage();
  const [restored] = await ngbak('job', ['restore', path, '--target', 'cli', '--confirm', 'cli'], api);
  expect(restored).toMatchObject({ state: 'completed' });
  expect(await readTarget(CLI)).toEqual(whole);
  expect(await ngbak('deleted', ['delete', made, '--yes'], api)).toMatchObject([{ backup_id: made }]);
  expect((await run(['show', made], { ...environment, ...api })).code).toBe(3);
});

test('docs/aws-cli.md: its commands do what it says with the AWS CLI alone', async () => {
  const blocks = await linesOf('docs/aws-cli.md');
  const sh = (name: string) => shell(blocks.get(name) ?? `echo 'there is no block "${name}"'; exit 1`);
  await sh('setup');
  await sh('backup');
  const [untilItEnds = ''] = (blocks.get('follow') ?? '').split('\naws ');
  const followed = await sh('follow');
  expect(followed).toContain('"status": "SUCCEEDED"');
  const id = /"backup_id": "(snapshot_[^"]+)"/.exec(followed)?.[1] ?? '';
  expect(await sh('list')).toContain(`${id}.ngbak`);
  const link = (await sh('download')).trim().split('\n').at(-1) ?? '';
  expect((await fetch(link)).status).toBe(200);

  await damage();
  await sh('restore');
  await shell(untilItEnds);
  expect(await readTarget(CLI)).toEqual(whole);

  await damage();
  await sh('upload');
  expect(await sh('waiting')).toContain(id);
  await sh('confirm');
  const job = (await shell('echo "$JOB"')).trim();
  expect((await stack.waitForJob(job)).state).toBe('completed');
  expect(await readTarget(CLI)).toEqual(whole);

  await sh('change');
  const [record] = await ngbak('backup', ['show', id]);
  expect(record).toMatchObject({ tags: ['by-hand', 'audited'], retention: 'permanent' });
  await sh('delete');
  expect((await run(['show', id], environment)).code).toBe(3);
});

/** The shell blocks of a document that are marked `<!-- run: NAME -->`, and the first one, which is the setup. */
async function linesOf(path: string): Promise<Map<string, string>> {
  const text = await readFile(path, 'utf8');
  const setup = /```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
  const blocks = new Map([['setup', setup]]);
  for (const [, name = '', lines = ''] of text.matchAll(/<!-- run: (\w+) -->\n```sh\n([\s\S]*?)```/g)) {
    blocks.set(
      name,
      lines
        .replace(`--input '{"tags"`, `--input '{"target": "cli", "tags"`)
        .replace('\\"confirm\\": \\"default\\"', '\\"confirm\\": \\"cli\\"')
        .replace('/uploads/default/', '/uploads/cli/')
        .trim(),
    );
  }
  return blocks;
}

/** Runs lines in bash as a user would, in one session: variables are kept. Returns their output. */
function shell(lines: string): Promise<string> {
  const state = join(folder, 'session.sh');
  const names = ['BUCKET', 'BACKUP', 'RESTORE', 'JOB', 'ARN', 'BACKUP_ID'];
  const script = [
    `[ ! -f ${state} ] || source ${state}`,
    lines,
    `for name in ${names.join(' ')}; do declare -p "$name" 2>/dev/null || true; done > ${state}`,
  ].join('\n');
  return new Promise((resolve, reject) => {
    execFile(
      'bash',
      ['-eo', 'pipefail', '-c', script],
      { cwd: folder, env: { ...process.env, STACK: 'NgbakTest' }, timeout: 240_000 },
      (error, stdout, stderr) => (error ? reject(new Error(`${lines}\n${stderr}`)) : resolve(stdout)),
    );
  });
}
