/** The records of a restore: admission, inspection, and the plan; each is written once. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { admittedRestoreKey, inspectionKey, restorePlanKey } from '../../../shared/aws/keys.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { createJob } from '../../../shared/workflows/job/record.ts';
import { beginRestore } from '../../../shared/workflows/restore/begin.ts';
import { InspectState, inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { findInspection } from '../../../shared/workflows/restore/inspection.ts';
import { RestoreState, restoreLeg } from '../../../shared/workflows/restore/leg.ts';
import { findRestorePlan, readRestorePlan } from '../../../shared/workflows/restore/plan.ts';
import { RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { freshEnvironment, waitingMachine } from '../../support/aws.ts';
import { makeFilesStore, putEmptyArchive } from '../../support/files-target.ts';
import { admit } from '../../support/restore-records.ts';

const KEY = 'backups/some.ngbak';
const JOB = 'restore_records';
const LEG = { timeLeft: () => 60_000, signal: new AbortController().signal };
let environment: Environment;
let folder: string;
let restore: object;

beforeEach(async () => {
  const made = await makeFilesStore('records');
  folder = made.folder;
  environment = await freshEnvironment({ default: { stores: { kv: made.store } } });
  const { bucket, sfn } = environment;
  await putEmptyArchive(bucket, { key: KEY });
  const execution_arn = await (await waitingMachine(sfn)).start();
  restore = { job_id: JOB, execution_arn, source: { bucket: bucket.name, key: KEY } };
  const now = new Date().toISOString();
  await createJob(bucket, {
    ...{ job_id: JOB, kind: 'restore', target: 'default', state: 'processing', execution_arn },
    ...{ created_at: now, updated_at: now },
  } as const);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function text(key: string): Promise<string | undefined> {
  const { bucket } = environment;
  try {
    const { Body } = await bucket.s3.send(new GetObjectCommand({ Bucket: bucket.name, Key: key }));
    return await Body?.transformToString();
  } catch (error) {
    if (error instanceof Error && error.name === 'NoSuchKey') return undefined;
    throw error;
  }
}

async function inspect(state: object = {}): Promise<void> {
  let next = InspectState.parse({ job_id: JOB, ...state });
  while (!next.done) next = InspectState.parse(await inspectArchive(environment, next, LEG));
}

const clear = () =>
  restoreLeg(
    environment,
    { ...RestoreState.parse({ job_id: JOB, phase: 'clear', done: false }), store: 'kv' },
    LEG,
  );

test('no step changes the records of an earlier one, and the load follows the plan', async () => {
  await admit(environment, restore);
  const admitted = await text(admittedRestoreKey(JOB));
  await inspect();
  const inspected = await text(inspectionKey(JOB));
  expect(await text(restorePlanKey(JOB))).toBeUndefined();
  await beginRestore(environment, JOB, LEG);
  const plan = await text(restorePlanKey(JOB));
  await beginRestore(environment, JOB, LEG);
  expect(await clear()).toMatchObject({ phase: 'load' });
  expect(await text(admittedRestoreKey(JOB))).toBe(admitted);
  expect(await text(inspectionKey(JOB))).toBe(inspected);
  expect(await text(restorePlanKey(JOB))).toBe(plan);
});

test('a restore begins with the options of its last inspection, and not with those of its request', async () => {
  await admit(environment, restore);
  await inspect();
  const options = RestoreOptions.parse({ mode: 'merge', on_conflict: 'keep', safety_backup: false });
  await inspect({ cursor: { stage: 'target' }, options });
  expect((await findInspection(environment.bucket, JOB))?.resolved?.options).toEqual(options);
  expect(await beginRestore(environment, JOB, LEG)).toMatchObject({ safety_backup: false });
  expect(await readRestorePlan(environment.bucket, JOB)).toMatchObject({
    options,
    safety: 'declined by the request',
  });
});

describe('a restore from an earlier deployment, with its whole state in restore.json', () => {
  /** The record of that deployment: the plan in place of the admission, and an inspection that resolves nothing. */
  async function earlier(changes: object): Promise<void> {
    const { bucket } = environment;
    const admitted = await admit(environment, restore);
    await inspect();
    const { resolved, ...inspection } = (await findInspection(bucket, JOB)) ?? {};
    await bucket.writeRecord(inspectionKey(JOB), inspection);
    await bucket.writeRecord(admittedRestoreKey(JOB), { ...admitted, ...resolved, ...changes });
  }

  test('begins with what was inspected, if it was waiting for its confirmation', async () => {
    const options = RestoreOptions.parse({ mode: 'merge', on_conflict: 'keep' });
    await earlier({ options });
    expect(await findRestorePlan(environment.bucket, JOB)).toBeUndefined();
    await beginRestore(environment, JOB, LEG);
    expect(await readRestorePlan(environment.bucket, JOB)).toMatchObject({
      options,
      archive: { key: KEY },
      routes: { kv: {} },
      safety: 'taken',
    });
    expect(await clear()).toMatchObject({ phase: 'load' });
  });

  test('continues, if it was loading', async () => {
    await earlier({});
    await beginRestore(environment, JOB, LEG);
    await environment.bucket.removeAll(restorePlanKey(JOB));
    await earlier({ safety: 'taken' });
    expect(await clear()).toMatchObject({ phase: 'load' });
  });
});

test('a restore without a plan writes to no store', async () => {
  await admit(environment, restore);
  await inspect();
  await beginRestore(environment, JOB, LEG);
  await environment.bucket.removeAll(restorePlanKey(JOB));
  const file = join(folder, 'kv_store_full_docs.json');
  await writeFile(file, '{"a": 1}');
  await expect(clear()).rejects.toThrow(/has no plan/);
  expect(await readFile(file, 'utf8')).toBe('{"a": 1}');
});
