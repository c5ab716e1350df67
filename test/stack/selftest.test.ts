import { expect, test } from '@jest/globals';
import { directClient } from '../../cli/direct-client.ts';
import { selfTest } from '../../cli/selftest.ts';
import { IntegrityError } from '../../shared/core/errors.ts';
import { SELFTEST_PREFIX, SELFTEST_TARGET } from '../../shared/core/selftest.ts';
import { checkHealth } from '../../shared/operations/health.ts';
import { run, Session } from '../cli/run.ts';
import { deployedStack } from './harness.ts';

const stack = deployedStack();
const environment = { NGBAK_STACK: 'NgbakTest', TZ: 'UTC', ...stack.operator() };
const context = () => ({
  bucket: stack.bucket,
  sfn: stack.sfn,
  stateMachines: {
    backup: stack.output('BackupStateMachineArn'),
    restore: stack.output('RestoreStateMachineArn'),
  },
});

/** Leftovers that a self-test must not have. Records of jobs stay, as for all jobs. */
async function leftovers(): Promise<string[]> {
  const keys = await stack.keys();
  return keys.filter(
    (key) =>
      key.startsWith(SELFTEST_PREFIX) ||
      key === `locks/${SELFTEST_TARGET}.json` ||
      (key.startsWith('backups/') && key.includes(SELFTEST_TARGET)),
  );
}

test('ngbak selftest restores, backs up and compares the built-in target through the deployed workflows, and leaves nothing', async () => {
  const ran = await run(['selftest', '--json'], environment);
  const last = ran.lines().findLast(({ type }) => type === 'selftest');
  expect([ran.code, last?.data]).toEqual([0, expect.objectContaining({ ok: true, clean: true })]);
  const steps = ran.lines().filter(({ type }) => type === 'step');
  expect(steps.map(({ data }) => [data.name, data.ok])).toEqual([
    ['Restore an uploaded archive', true],
    ['Back up', true],
    ['Compare', true],
    ['Restore from the catalog', true],
    ['Clean up', true],
  ]);
  expect(steps.at(-1)?.data.message).toBe('2 backups deleted');
  expect(await leftovers()).toEqual([]);
  // Jobs are history; health and metrics cover configured targets only.
  expect(JSON.stringify(await checkHealth(context()))).not.toContain(SELFTEST_TARGET);
});

test('Ctrl-C during the self-test through the HTTP API stops its job, empties the target and deletes its backups', async () => {
  const api = { NGBAK_API_URL: stack.apiUrl(), NGBAK_API_KEY: stack.apiKey('admin') };
  const session = new Session(['selftest'], { ...environment, ...api }, { terminal: false });
  await session.shows('Back up …');
  session.signal('SIGINT');
  const ran = await session.end();
  expect([ran.code, ran.stdout, ran.stderr]).toEqual([
    130,
    expect.stringContaining('Nothing was left behind.'),
    expect.stringContaining('✗ Back up'),
  ]);
  expect(await leftovers()).toEqual([]);
});

test('a self-test whose backup does not hold what was uploaded fails with IntegrityError, names the file, and cleans up', async () => {
  const client = directClient(context());
  const result = await selfTest({
    // The workflows cannot be made to corrupt data, so the download is that of the safety backup, which has no files.
    client: {
      ...client,
      async downloadBackup(id, input) {
        const link = await client.downloadBackup(id, input);
        const [safety] = (await stack.keys('backups/')).filter(
          (key) => key.includes(SELFTEST_TARGET) && key.endsWith('.ngbak') && !key.includes(id),
        );
        const other = safety?.slice('backups/'.length, -'.ngbak'.length) ?? '';
        return { ...link, url: (await client.downloadBackup(other, input)).url };
      },
    },
    signal: new AbortController().signal,
    begin: () => undefined,
    end: () => undefined,
    progress: () => undefined,
  });
  expect(result.error).toBeInstanceOf(IntegrityError);
  expect(String(result.error)).toContain('random.bin');
  expect([result.clean, result.steps.at(-1)?.message]).toEqual([true, '2 backups deleted']);
  expect(await leftovers()).toEqual([]);
});
