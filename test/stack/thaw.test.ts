/**
 * Archives in cold storage, on the deployed stack: refused with words, then thawed, while the job waits and nothing is
 * locked. The emulator thaws in two seconds, or in an hour if 365 days are requested.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CopyObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { archiveKey, catalogKey, LOCKS } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { readDrill } from '../../shared/workflows/drill/record.ts';
import { run } from '../cli/run.ts';
import { withClients } from './content.ts';
import { deployedStack } from './harness.ts';

const stack = deployedStack();
const operator = { NGBAK_STACK: 'NgbakTest', TZ: 'UTC', ...stack.operator() };
const { bucket } = stack;
let folder: string;

const KEYS = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`cold:docs:${n}`, `value ${n}`]));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-thaw-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await clear();
});

/** Every key below the prefix of the target, with its value. */
function content(): Promise<Record<string, string | null>> {
  return withClients(async ({ redis }) => {
    const found = await redis.keys('cold:*');
    return Object.fromEntries(await Promise.all(found.map(async (key) => [key, await redis.get(key)])));
  });
}
function clear(): Promise<unknown> {
  return withClients(({ redis }) => redis.del(...Object.keys(KEYS)));
}

/**
 * Backs the target up, and moves the archive to GLACIER. A lifecycle rule moves a version; the emulator has no such
 * rules, so the archive is copied onto itself, and the record gets the version of the copy.
 */
async function coldBackup(): Promise<string> {
  await withClients(({ redis }) => redis.mset(KEYS));
  const { output, cause } = await stack.run('Backup', { target: 'cold' });
  expect(cause).toBeUndefined();
  const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
  const Key = archiveKey(backup_id);
  const { VersionId } = await bucket.s3.send(
    new CopyObjectCommand({
      ...{ Bucket: bucket.name, Key, CopySource: `${bucket.name}/${Key}`, StorageClass: 'GLACIER' },
      MetadataDirective: 'COPY',
    }),
  );
  await bucket.updateRecord(
    catalogKey(backup_id),
    CatalogRecord,
    (record) => record && { ...record, archive: { ...record.archive, version_id: VersionId } },
  );
  return backup_id;
}

const locked = async () => (await stack.keys(LOCKS)).filter((key) => key.includes('cold'));
const isThawing = async (id: string) =>
  (await bucket.s3.send(new HeadObjectCommand({ Bucket: bucket.name, Key: archiveKey(id) }))).Restore;

test('a restore of a cold archive is refused with words, and with --thaw waits for it and restores it', async () => {
  const id = await coldBackup();
  const refused = await run(['restore', id, '--confirm', 'cold'], operator);
  expect(refused.stderr).toMatch(/GLACIER and cannot be read until it is thawed/);
  expect(refused.stderr).toMatch(/--thaw.*standard: 3 to 5 hours/s);
  // The workflow refuses it as well, for callers that start it themselves.
  const started = await stack.run('Restore', { backup_id: id, confirm: 'cold' });
  expect([started.status, started.error]).toEqual(['FAILED', 'ObjectArchivedError']);
  expect(await isThawing(id)).toBeUndefined();

  await clear();
  const ran = await run(['restore', id, '--confirm', 'cold', '--thaw'], operator);
  expect([ran.code, ran.stderr]).toEqual([
    0,
    expect.stringMatching(
      /The job is waiting for the archive to be thawed from GLACIER \(standard\), expected by/,
    ),
  ]);
  expect(ran.stdout).toMatch(/Archive: +thawed from GLACIER/);
  expect(await content()).toEqual(KEYS);
});

test('a drill with --thaw waits for its archive, and its measured duration does not include the wait', async () => {
  const id = await coldBackup();
  const refused = await run(['drill', id, '--wait'], operator);
  expect(refused.stderr).toMatch(/GLACIER and cannot be read until it is thawed/);
  const ran = await run(['drill', id, '--wait', '--thaw', 'bulk', '--thaw-days', '3', '--json'], operator);
  expect(ran.code).toBe(0);
  const proved = ran.lines().find(({ type }) => type === 'drill')?.data;
  expect(proved).toMatchObject({ verdict: 'passed', backup_id: id });
  const record = await readDrill(bucket, String(proved?.job_id));
  const seconds = new Map(record?.phases.map(({ phase, seconds: value }) => [phase, value]));
  expect(seconds.get('thaw')).toBeGreaterThan(1);
  const whole = (Date.parse(record?.finished_at ?? '') - Date.parse(record?.started_at ?? '')) / 1000;
  expect(record?.restore_seconds).toBeLessThan(whole - (seconds.get('thaw') ?? 0) + 0.001);
});

test('verify and download with --thaw wait for the archive and continue', async () => {
  const id = await coldBackup();
  const verified = await run(['verify', id, '--thaw', '--json'], operator);
  expect(verified.code).toBe(0);
  expect(verified.lines().map(({ type }) => type)).toEqual(expect.arrayContaining(['thaw', 'verification']));
  const downloaded = await run(['download', id, '--to', folder, '--thaw'], operator);
  expect([downloaded.code, await readdir(folder)]).toEqual([0, [expect.stringMatching(/\.ngbak$/)]]);
  const shown = await run(['show', id], operator);
  expect(shown.stdout).toMatch(/Storage class: +GLACIER/);
  expect(shown.stdout).toMatch(/Readable: +until .*: it is thawed/);
});

test.each(['cancelled by an operator', 'killed'])(
  'a restore that is %s while it waits leaves nothing locked',
  async (how) => {
    const id = await coldBackup();
    const { name, executionArn } = await stack.start('Restore', {
      ...{ backup_id: id, confirm: 'cold', thaw: { tier: 'bulk', days: 365 } },
    });
    const waiting = await stack.waitForJob(name, ({ thaw }) => thaw !== undefined);
    expect(waiting).toMatchObject({ state: 'processing', thaw: { place: 'GLACIER', tier: 'bulk' } });
    expect(waiting.writers).toBeUndefined();
    expect(await locked()).toEqual([]);
    // Backups of the target are not blocked.
    const meanwhile = await stack.run('Backup', { target: 'cold' });
    expect(meanwhile.status).toBe('SUCCEEDED');
    if (how === 'killed') await stack.sfn.send(new StopExecutionCommand({ executionArn }));
    else expect((await run(['cancel', name, '--yes'], operator)).code).toBe(0);
    await stack.waitForExecution(executionArn);
    const ended = await stack.waitForJob(name);
    expect(ended.state).toBe('cancelled');
    expect(await locked()).toEqual([]);
    expect(await content()).toEqual(KEYS);
  },
);

test('costs of what is stored are estimated by class, for operators and through the API', async () => {
  await coldBackup();
  const api = { NGBAK_API_URL: stack.apiUrl(), NGBAK_API_KEY: stack.apiKey('viewer') };
  for (const way of [operator, api]) {
    const ran = await run(['status', 'cold', '--costs', '--json'], way);
    const costs = ran.lines().find(({ type }) => type === 'costs')?.data;
    expect([ran.stderr, costs]).toEqual(['', expect.objectContaining({ done: true })]);
    expect(costs?.stored).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ what: 'archives', storage_class: 'GLACIER' }),
        // The copy has replaced a version.
        expect.objectContaining({ what: 'deleted backups', storage_class: 'STANDARD' }),
        expect.objectContaining({ what: 'records', storage_class: 'STANDARD' }),
      ]),
    );
  }
});
