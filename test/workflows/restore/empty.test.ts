import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { beginRestore } from '../../../shared/workflows/restore/begin.ts';
import { InspectState, inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { readInspection } from '../../../shared/workflows/restore/inspection.ts';
import { RestoreState, restoreLeg } from '../../../shared/workflows/restore/leg.ts';
import { RestoreOptions, resolveMode } from '../../../shared/workflows/restore/request.ts';
import { freshEnvironment, waitingMachine } from '../../support/aws.ts';
import { makeFilesStore, putEmptyArchive } from '../../support/files-target.ts';
import { admit } from '../../support/restore-records.ts';

const KEY = 'backups/empty.ngbak';
const LEG = { timeLeft: () => 60_000, signal: new AbortController().signal };
const REFUSAL = 'the archive has no records of this store, and the target has some';
let environment: Environment;
let folder: string;

beforeEach(async () => {
  const made = await makeFilesStore('empty');
  folder = made.folder;
  environment = await freshEnvironment({ default: { stores: { kv: made.store } } });
  await putEmptyArchive(environment.bucket, { key: KEY });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Admits the empty archive for the target; throws the reason if the restore is refused. */
async function inspect(options: object = {}, changes: object = {}) {
  const { bucket } = environment;
  const source = { bucket: bucket.name, key: KEY };
  await admit(environment, { job_id: 'restore_empty', source, options, ...changes });
  const state = InspectState.parse({ job_id: 'restore_empty', cursor: { stage: 'target' } });
  await inspectArchive(environment, state, LEG);
  return (await readInspection(bucket, 'restore_empty')).stores[0];
}

test('an archive without records of a store does not replace one that has some, unless that is allowed', async () => {
  await writeFile(join(folder, 'kv_store_full_docs.json'), '{"a": 1}');
  await expect(inspect()).rejects.toThrow(REFUSAL);
  const allowed = await inspect({ allow_empty: true });
  expect(allowed?.problems).toEqual([]);
  expect(allowed?.warnings).toEqual([expect.stringContaining('it will be empty')]);
  expect((await inspect({ mode: 'merge' }))?.problems).toEqual([]);
});

test('the mode "if_empty" refuses a target whose scope holds records, regardless of the archive', async () => {
  expect((await inspect({ mode: 'if_empty' }))?.problems).toEqual([]);
  await writeFile(join(folder, 'kv_store_full_docs.json'), '{"a": 1}');
  for (const allow_empty of [true, false]) {
    await expect(inspect({ mode: 'if_empty', allow_empty })).rejects.toThrow(
      /"default": kv: the target is not empty \(files 1\)[^;]*$/,
    );
  }
});

test('the mode "if_empty" checks again under the lock before it writes', async () => {
  const execution_arn = await (await waitingMachine(environment.sfn)).start();
  await inspect({ mode: 'if_empty' }, { execution_arn });
  await beginRestore(environment, 'restore_empty', LEG);
  const clear = () =>
    restoreLeg(
      environment,
      { ...RestoreState.parse({ job_id: 'restore_empty', phase: 'clear', done: false }), store: 'kv' },
      LEG,
    );
  expect(await clear()).toMatchObject({ phase: 'load' });
  const file = join(folder, 'kv_store_full_docs.json');
  await writeFile(file, '{"a": 1}');
  await expect(clear()).rejects.toThrow(/Since the inspection, kv of target "default" has changed/);
  expect(await readFile(file, 'utf8')).toBe('{"a": 1}');
});

test.each([
  [{ overwrite: false }, 'if_empty'],
  [{ overwrite: true }, 'replace'],
  [{ overwrite: false, mode: 'if_empty' }, 'if_empty'],
  [{ mode: 'merge' }, 'merge'],
] as const)('the options %j have the mode %s', (options, mode) => {
  expect(resolveMode(RestoreOptions.parse(options))).toEqual(RestoreOptions.parse({ mode }));
});

test.each([
  { overwrite: true, mode: 'if_empty' },
  { overwrite: true, mode: 'merge' },
  { overwrite: false, mode: 'merge' },
])('the options %j contradict each other', (options) => {
  expect(() => resolveMode(RestoreOptions.parse(options))).toThrow(/contradicts/);
});

test('a rollback restores an empty store, and an empty target accepts an empty archive with a warning', async () => {
  expect(await inspect()).toMatchObject({
    problems: [],
    warnings: [expect.stringContaining('it will be empty')],
  });
  await writeFile(join(folder, 'kv_store_full_docs.json'), '{"a": 1}');
  expect((await inspect({}, { rollback_of: 'restore_that_failed' }))?.problems).toEqual([]);
});
