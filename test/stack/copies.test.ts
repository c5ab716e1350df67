/** Copies of backups through a deployed stack: made, interrupted, failed, repaired and verified. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, DeleteStackCommand } from '@aws-sdk/client-cloudformation';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { StartExecutionCommand, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { deployStack } from '../../local/deploy.ts';
import { emulatorAddress } from '../../local/services/aws.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { archiveKey, catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import type { BackupCopy } from '../../shared/core/copies.ts';
import { updateCopy } from '../../shared/workflows/copy/progress.ts';
import { run } from '../cli/run.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { farTimeOfDay } from './context.ts';
import { progressOf } from './follow.ts';
import { deployedStack } from './harness.ts';
import { whileHeld } from './held.ts';
import { createUser } from './operator.ts';
import { killFunction } from './processes.ts';

const STACK = 'NgbakCopies';
const COPYING = `${STACK}-copy-backup`;
const COPY = 'Copy backup';
const FILES = 'copies-files';
const STORE_SECRET = 'copies-kv';
const VAULT = { bucket: 'copies-vault', prefix: 'team/kb' };
const COLD = { bucket: 'copies-cold', storageClass: 'GLACIER' };
/** Does not exist at first. */
const LATE = { bucket: 'copies-late' };

const s3 = new S3Client({});
let stack: ReturnType<typeof deployedStack>;
let folder: string;
let backupId: string;
let operator: NodeJS.ProcessEnv;

const vault = new Bucket(`${VAULT.bucket}/${VAULT.prefix}`, new S3Client({}));
const late = new Bucket(LATE.bucket, new S3Client({}));

async function copy(name: string, id = backupId): Promise<BackupCopy | undefined> {
  const record = await stack.bucket.requireRecord(catalogKey(id), CatalogRecord, '');
  return record.copies?.find((one) => one.name === name);
}

/** Waits until a copy has this state, and returns it. */
const untilCopy = (name: string, state: BackupCopy['state']) =>
  until(`the copy ${name} is ${state}`, () => copy(name), {
    holds: (found): found is BackupCopy => found?.state === state,
  });

/** Calls a function with the event of its rule, and returns the answer. */
async function invoke<T>(name: string, event: object): Promise<T> {
  const command = new InvokeCommand({ FunctionName: `${STACK}-${name}`, Payload: JSON.stringify(event) });
  const { FunctionError, Payload } = await new LambdaClient({}).send(command);
  const text = Buffer.from(Payload ?? []).toString('utf8');
  if (FunctionError !== undefined) throw new Error(text);
  return JSON.parse(text) as T;
}

/** Runs the scheduled task of the janitor. Returns the executions that it started. */
async function reconcile(): Promise<string[]> {
  return (await invoke<{ copies: string[] }>('janitor', { reconcile: { grace_seconds: 0 } })).copies;
}

/** Makes the next attempt due now instead of in a quarter of an hour. */
async function due(name: string): Promise<void> {
  await updateCopy(stack.bucket, backupId, name, (current) => {
    if (!current) throw new Error(`There is no copy ${name}.`);
    return { ...current, next_attempt_at: new Date(0).toISOString() };
  });
}

/** Removes a copy, so that it has to be made again, by an attempt with a new number. Returns that number. */
async function again(name: 'vault' | 'late', bucket: Bucket): Promise<number> {
  await bucket.removeAll('backups/');
  const updated = await updateCopy(stack.bucket, backupId, name, (current) => ({
    ...{ name, state: 'pending', at: new Date().toISOString() },
    ...(name === 'vault' ? VAULT : LATE),
    attempts: (current?.attempts ?? 0) + 1,
  }));
  return updated?.attempts ?? 0;
}

async function expectSameArchive(bucket: Bucket): Promise<void> {
  const get = new GetObjectCommand({ Bucket: bucket.name, Key: archiveKey(backupId) });
  const { Body } = await bucket.s3.send(get);
  const copied = Buffer.from((await Body?.transformToByteArray()) ?? []);
  expect(copied.equals(await stack.download(backupId))).toBe(true);
  const record = await bucket.requireRecord(catalogKey(backupId), CatalogRecord, '');
  expect(record).toMatchObject({ backup_id: backupId, archive: { bytes: copied.length } });
}

async function status(): Promise<{ recoverable: string; codes: string[]; text: string }> {
  const { stdout, lines } = await run(['status', '--json'], operator);
  const [target] = lines().flatMap(({ type, data }) => (type === 'target' ? [data] : [])) as {
    recoverable: string;
    reasons: { code: string; severity: string }[];
  }[];
  const codes = (target?.reasons ?? []).flatMap(({ code, severity }) => (severity === 'note' ? [] : [code]));
  return { recoverable: target?.recoverable ?? '', codes, text: stdout };
}

const execution = (name: string, attempt: number) =>
  `${stack
    .output('BackupStateMachineArn')
    .replace(':stateMachine:', ':execution:')
    .replace(/-Backup$/, '-Copy')}:copy_${backupId}_${name}_${attempt}`;

/** Waits until an attempt is in the state that copies. */
async function inState(executionArn: string): Promise<void> {
  const look = async () => {
    const progress = await progressOf(stack.sfn, executionArn);
    if (progress?.running.includes(COPY)) return true;
    if (progress && progress.status !== 'RUNNING')
      throw new Error(`${executionArn} was never seen in "${COPY}": ${progress.status}.`);
    return false;
  };
  await until(`${executionArn} is in "${COPY}"`, look);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-copies-'));
  for (const Name of [FILES, VAULT.bucket, COLD.bucket])
    await s3.send(new CreateBucketCommand({ Bucket: Name }));
  await s3.send(
    new PutBucketVersioningCommand({
      Bucket: VAULT.bucket,
      VersioningConfiguration: { Status: 'Enabled' },
    }),
  );
  const text = JSON.stringify({ a: { content: 'one' }, b: { content: 'two' } });
  await s3.send(new PutObjectCommand({ Bucket: FILES, Key: 'kb/kv_store_docs.json', Body: text }));
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({
      Name: STORE_SECRET,
      SecretString: JSON.stringify({ location: `s3://${FILES}/kb` }),
    }),
  );
  const outputs = await deployStack(emulatorAddress(servers.aws.endpoint), {
    stackName: STACK,
    context: {
      ngbak: {
        stackName: STACK,
        targets: { kb: { stores: { kv: { kind: 'files', secret: STORE_SECRET, buckets: [FILES] } } } },
        schedule: { time: farTimeOfDay() },
        copies: { vault: { ...VAULT, keepDays: 30 }, late: LATE, cold: COLD },
        verification: { perDay: 3 },
        api: { enabled: false },
        metricsDashboard: false,
        removal: 'destroy',
      },
    },
    folder,
  });
  stack = deployedStack(outputs);
  const user = await createUser(servers.aws.endpoint, `${STACK}-operator`, [
    'AttachUserPolicy',
    { PolicyArn: stack.output('OperatorPolicyArn') },
  ]);
  operator = { NGBAK_STACK: STACK, TZ: 'UTC', ...user };
});

afterAll(async () => {
  await new CloudFormationClient({}).send(new DeleteStackCommand({ StackName: STACK }));
  await rm(folder, { recursive: true });
});

test('a backup is copied after it was catalogued, and a copy that fails does not fail it', async () => {
  const backup = await stack.run('Backup', { target: 'kb' });
  expect(backup.cause ?? backup.status).toBe('SUCCEEDED');
  backupId = (JSON.parse(backup.output ?? '{}') as { backup_id: string }).backup_id;
  expect((await stack.waitForJob(backup.name ?? '')).state).toBe('completed');
  expect(await untilCopy('vault', 'complete')).toMatchObject({ ...VAULT, expires_at: expect.any(String) });
  await expectSameArchive(vault);
  const failed = await untilCopy('late', 'failed');
  expect(failed).toMatchObject({ attempts: 1, problem: expect.stringContaining(LATE.bucket) });
  expect(await status()).toMatchObject({ recoverable: 'yes_with_warnings', codes: ['copy-failed'] });
  const shown = (await run(['show', backupId], operator)).stdout;
  expect(shown).toMatch(
    /Copy vault: +complete, s3:\/\/copies-vault\/team\/kb, STANDARD, not verified, expires/,
  );
  expect(shown).toMatch(/Copy late: +failed, s3:\/\/copies-late, STANDARD, next attempt/);
  await untilCopy('cold', 'complete');
  expect((await run(['list'], operator)).stdout).toMatch(/2 of 3: late failed/);
});

test('the janitor repeats a failed copy when it is due, and the verdict has no warning any more', async () => {
  await s3.send(new CreateBucketCommand({ Bucket: LATE.bucket }));
  expect(await reconcile()).toEqual([]);
  await due('late');
  expect(await reconcile()).toEqual([`copy_${backupId}_late_1`]);
  expect(await untilCopy('late', 'complete')).not.toHaveProperty('problem');
  await expectSameArchive(late);
  expect(await status()).toMatchObject({ recoverable: 'yes', codes: [] });
  expect(await reconcile()).toEqual([]);
});

test('a copy whose function is killed is completed by a retry', async () => {
  for (let hit = false; !hit; ) {
    const attempt = await again('vault', vault);
    // With a cold start, the function takes long enough to be caught; otherwise again.
    await killFunction(COPYING);
    await reconcile();
    await until(
      'the function is killed, or has ended before that',
      async () => {
        await killFunction(COPYING);
        const progress = await progressOf(stack.sfn, execution('vault', attempt));
        hit = (progress?.killed ?? 0) > 0;
        return hit || (progress !== undefined && progress.status !== 'RUNNING');
      },
      { pauseMs: 10 },
    );
  }
  await untilCopy('vault', 'complete');
  await expectSameArchive(vault);
});

test('a copy whose execution is stopped is never half complete, and is made in the end', async () => {
  const attempt = await again('vault', vault);
  const executionArn = execution('vault', attempt);
  await whileHeld([{ functionName: COPYING, seenAs: COPY }], async () => {
    await reconcile();
    await inState(executionArn);
    await stack.sfn.send(new StopExecutionCommand({ executionArn, cause: 'by a test' }));
  });
  // The function may continue after its execution was stopped, and complete the copy.
  await until('the copy is complete', async () => {
    const found = await copy('vault');
    if (await vault.readRecord(catalogKey(backupId), CatalogRecord)) await expectSameArchive(vault);
    if (found?.state === 'complete') return true;
    if (found?.state === 'failed') await due('vault');
    await reconcile();
    return false;
  });
  await expectSameArchive(vault);
});

test('an attempt that ended without a result is found by the janitor, and followed by another one', async () => {
  const attempt = await again('vault', vault);
  const executionArn = execution('vault', attempt);
  await stack.sfn.send(
    new StartExecutionCommand({
      stateMachineArn: stack.output('BackupStateMachineArn').replace(/-Backup$/, '-Copy'),
      name: executionArn.split(':').at(-1),
      input: JSON.stringify({ backup_id: 'no-such-backup', copy: 'vault', attempt }),
    }),
  );
  expect((await stack.waitForExecution(executionArn)).status).toBe('SUCCEEDED');
  expect(await reconcile()).toEqual([]);
  expect(await untilCopy('vault', 'failed')).toMatchObject({
    attempts: attempt + 1,
    problem: expect.stringContaining('ended without a result (SUCCEEDED)'),
  });
  await due('vault');
  expect(await reconcile()).toEqual([`copy_${backupId}_vault_${attempt + 1}`]);
  await untilCopy('vault', 'complete');
  await expectSameArchive(vault);
});

test('a copy that finds an object of somebody else fails, and is made once that is removed', async () => {
  await again('late', late);
  const key = archiveKey(backupId);
  await late.s3.send(new PutObjectCommand({ Bucket: late.name, Key: key, Body: 'of somebody else' }));
  await reconcile();
  expect(await untilCopy('late', 'failed')).toMatchObject({
    problem: expect.stringContaining('another archive'),
  });
  expect(await late.readRecord(catalogKey(backupId), CatalogRecord)).toBeUndefined();
  await late.s3.send(new DeleteObjectCommand({ Bucket: late.name, Key: key }));
  await due('late');
  await reconcile();
  await untilCopy('late', 'complete');
});

test('the scheduled verification reads the original and both copies, and records the results', async () => {
  const { verified } = await invoke<{ verified: { copy?: string }[] }>('verify-stored', { verify: {} });
  expect(verified.map(({ copy: name }) => name ?? 'original').sort()).toEqual(['late', 'original', 'vault']);
  for (const name of ['late', 'vault']) expect((await copy(name))?.verified_at).toBeDefined();
  // No more today.
  expect(await invoke('verify-stored', { verify: {} })).toEqual({ verified: [] });
});

test('verification reads a copy, records the result, and finds one that was altered', async () => {
  const verified = await run(['verify', backupId, '--copy', 'vault'], operator);
  expect([verified.code, verified.stderr]).toEqual([0, '']);
  expect(verified.stdout).toContain(`${backupId}, copy vault: verified, no errors found.`);
  expect((await copy('vault'))?.verified_at).toBeDefined();
  // In a bucket without versions, an object can be replaced.
  const altered = Buffer.from(await stack.download(backupId));
  altered[altered.length >> 1] = (altered[altered.length >> 1] ?? 0) ^ 1;
  await late.s3.send(new PutObjectCommand({ Bucket: late.name, Key: archiveKey(backupId), Body: altered }));
  const damaged = await run(['verify', backupId, '--copy', 'late'], operator);
  expect([damaged.code, damaged.stdout]).toEqual([7, expect.stringContaining('copy late: integrity check')]);
  expect((await copy('late'))?.state).toBe('damaged');
  expect((await copy('vault'))?.state).toBe('complete');
  expect(await status()).toMatchObject({ recoverable: 'yes_with_warnings', codes: ['copy-damaged'] });
  // The original is not affected.
  expect((await run(['verify', backupId], operator)).code).toBe(0);
  const unknown = await run(['verify', backupId, '--copy', 'typo'], operator);
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('has no copy "typo"')]);
});

test('a copy in cold storage is refused with words, and verified once it is thawed', async () => {
  expect(await untilCopy('cold', 'complete')).toMatchObject({ storage_class: 'GLACIER' });
  const refused = await run(['verify', backupId, '--copy', 'cold'], operator);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/, copy cold is in the storage class GLACIER and cannot be read/);
  expect(refused.stderr).toContain(`ngbak thaw ${backupId} --copy cold --wait`);
  expect((await copy('cold'))?.state).toBe('complete');
  const verified = await run(['verify', backupId, '--copy', 'cold', '--thaw'], operator);
  expect([verified.code, verified.stderr]).toEqual([0, expect.stringContaining('Waiting for the archive')]);
  expect((await copy('cold'))?.verified_at).toBeDefined();
  const thawed = await run(['thaw', backupId, '--copy', 'cold', '--json'], operator);
  expect(thawed.lines()).toEqual([
    expect.objectContaining({
      data: expect.objectContaining({ copy: 'cold', readable: true, requested: false, state: 'thawed' }),
    }),
  ]);
});

test('with the policy of an operator, a copy can neither be removed nor replaced', async () => {
  const credentials = {
    accessKeyId: operator.AWS_ACCESS_KEY_ID ?? '',
    secretAccessKey: operator.AWS_SECRET_ACCESS_KEY ?? '',
  };
  const mallory = new S3Client({ credentials });
  const { version_id } = (await copy('vault')) ?? {};
  const object = { Bucket: VAULT.bucket, Key: `${VAULT.prefix}/${archiveKey(backupId)}` };
  const attacks = [
    mallory.send(new DeleteObjectCommand(object)),
    mallory.send(new DeleteObjectCommand({ ...object, VersionId: version_id })),
    mallory.send(new PutObjectCommand({ ...object, Body: 'replaced' })),
  ];
  for (const attack of attacks) await expect(attack).rejects.toThrow(/[Dd]enied|not authorized/);
  await expectSameArchive(vault);
});

test('a deleted backup leaves its copies', async () => {
  await run(['delete', backupId, '--yes'], operator);
  expect(await stack.keys('backups/')).toEqual([]);
  const record = await vault.requireRecord(catalogKey(backupId), CatalogRecord, '');
  expect(record.backup_id).toBe(backupId);
});

test('a backup is recovered from a copy in cold storage once that is thawed', async () => {
  // As if the thawed copy had expired.
  const Key = archiveKey(backupId);
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: COLD.bucket, Key }));
  const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
  await s3.send(new PutObjectCommand({ Bucket: COLD.bucket, Key, Body: bytes, StorageClass: 'GLACIER' }));
  const administrator = { ...emulatorAddress(servers.aws.endpoint).env, NGBAK_STACK: STACK, TZ: 'UTC' };
  const recover = ['recover', COLD.bucket, '--backup', backupId];
  const refused = await run(recover, administrator);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/storage class GLACIER and cannot be read until it is thawed.*--thaw/s);
  expect(await stack.keys('backups/')).toEqual([]);
  const recovered = await run([...recover, '--thaw'], administrator);
  expect([recovered.code, recovered.stderr]).toEqual([0, expect.stringContaining('Waiting for the archive')]);
  expect(await stack.keys('backups/')).toEqual(expect.arrayContaining([Key, catalogKey(backupId)]));
});
