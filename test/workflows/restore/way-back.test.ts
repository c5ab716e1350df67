import { randomBytes } from 'node:crypto';
import {
  CreateSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import {
  CreateStateMachineCommand,
  DescribeExecutionCommand,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j, { type Driver } from 'neo4j-driver';
import { lockKey, restoreLegKey } from '../../../shared/aws/keys.ts';
import { relatedJobId } from '../../../shared/core/job-ids.ts';
import type { StoreName } from '../../../shared/core/store-names.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { cleanUpAfter } from '../../../shared/workflows/janitor/janitor.ts';
import { Lock, takeLock } from '../../../shared/workflows/job/lock.ts';
import { createJob, readJob } from '../../../shared/workflows/job/record.ts';
import { beginRestore } from '../../../shared/workflows/restore/begin.ts';
import { InspectState, inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { readInspection } from '../../../shared/workflows/restore/inspection.ts';
import { RestoreState, restoreLeg } from '../../../shared/workflows/restore/leg.ts';
import { servers } from '../../servers.ts';
import { freshEnvironment, waitingMachine } from '../../support/aws.ts';
import { catalogue } from '../../support/catalog.ts';
import { putEmptyArchive } from '../../support/files-target.ts';
import { admit, begun, inspected } from '../../support/restore-records.ts';

const KEY = 'backups/empty.ngbak';
const LEG = { timeLeft: () => 60_000, signal: new AbortController().signal };
const id = randomBytes(6).toString('hex');
/** A separate user: wrong passwords do not lock out other users. */
const user = { username: `back${id}`, password: randomBytes(12).toString('hex') };
const WRONG = 'a-password-of-before';
const secretOf = (store: StoreName) => `back-${store}-${id}`;
const CONNECTIONS = {
  graph: (password: string) => ({ uri: servers.neo4j.uri, username: user.username, password }),
  vectors: (password: string) => ({
    url: servers.qdrant.url,
    api_key: password === user.password ? servers.qdrant.apiKey : password,
  }),
  kv: (password: string) => ({ url: servers.redis.url, username: user.username, password }),
};
const STORES = ['graph', 'vectors', 'kv'] as const;
type Served = (typeof STORES)[number];

let environment: Environment;
let executionArn: string;
let redis: Redis;
let driver: Driver;

beforeAll(async () => {
  redis = new Redis(servers.redis.url, { password: servers.redis.password });
  await redis.acl('SETUSER', user.username, 'on', `>${user.password}`, '~*', '&*', '+@all');
  const { uri, username, password } = servers.neo4j;
  driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
  const cypher = 'CREATE USER $username SET PASSWORD $password CHANGE NOT REQUIRED';
  await driver.executeQuery(cypher, user, { database: 'system' });
});
afterAll(async () => {
  await driver.executeQuery('DROP USER $username', user, { database: 'system' });
  await driver.close();
  await redis.acl('DELUSER', user.username);
  redis.disconnect();
});

beforeEach(async () => {
  environment = await freshEnvironment({
    default: {
      stores: {
        graph: {
          kind: 'neo4j',
          secret: secretOf('graph'),
          scope: { label: `Back${id}`, key_property: 'id' },
        },
        vectors: { kind: 'qdrant', secret: secretOf('vectors'), scope: { collections: [`back_${id}`] } },
        kv: { kind: 'redis', secret: secretOf('kv'), scope: { prefix: `back${id}:` } },
      },
      hooks: {
        pause: { lambda: 'arn:aws:lambda:us-east-1:000000000000:function:no-such-function' },
        resume: { lambda: 'arn:aws:lambda:us-east-1:000000000000:function:no-such-function' },
        timeout_seconds: 5,
      },
    },
  });
  executionArn = await (await waitingMachine(environment.sfn)).start();
  await putEmptyArchive(environment.bucket, { key: KEY, stores: [...STORES], kind: 'redis' });
});

async function putPassword(store: Served, password: string): Promise<void> {
  const client = new SecretsManagerClient({});
  const SecretString = JSON.stringify(CONNECTIONS[store](password));
  try {
    await client.send(new PutSecretValueCommand({ SecretId: secretOf(store), SecretString }));
  } catch {
    await client.send(new CreateSecretCommand({ Name: secretOf(store), SecretString }));
  }
}

const restore = (job_id: string, changes: object = {}) => ({
  job_id,
  execution_arn: executionArn,
  source: { bucket: environment.bucket.name, key: KEY },
  options: { allow_empty: true },
  ...changes,
});

const lock = (job_id: string) =>
  takeLock(environment.bucket, environment.sfn, {
    target: 'default',
    job_id,
    kind: 'restore',
    execution_arn: executionArn,
  });

const inspect = (jobId: string) =>
  inspectArchive(environment, InspectState.parse({ job_id: jobId, cursor: { stage: 'target' } }), LEG);

describe('a login that is refused while a password is being changed', () => {
  test.each(STORES)('to the %s: steps of a restore and of its rollback may be repeated', async (store) => {
    for (const jobId of ['restore_a', relatedJobId('rollback', 'restore_a')]) {
      await begun(environment, restore(jobId, { stores: [store] }));
      await lock(jobId);
      const leg = () =>
        restoreLeg(
          environment,
          { ...RestoreState.parse({ job_id: jobId, phase: 'clear', done: false }), store },
          LEG,
        );
      // The server has the new password already, and the secret does not.
      await putPassword(store, WRONG);
      await expect(leg()).rejects.toMatchObject({
        name: 'UnavailableError',
        message: expect.stringContaining('the password may be in rotation'),
      });
      await putPassword(store, user.password);
      expect(await leg()).toMatchObject({ phase: 'load' });
      await environment.bucket.removeAll('locks/');
    }
  });

  test.each(STORES)('to the %s: refuses a restore in its inspection, and not its rollback', async (store) => {
    for (const other of STORES) await putPassword(other, user.password);
    await putPassword(store, WRONG);
    await admit(environment, restore('restore_b', { stores: [store] }));
    await expect(inspect('restore_b')).rejects.toMatchObject({ name: 'AccessDeniedError' });
    const rollback = relatedJobId('rollback', 'restore_b');
    await admit(environment, restore(rollback, { stores: [store], rollback_of: 'restore_b' }));
    await expect(inspect(rollback)).rejects.toMatchObject({ name: 'UnavailableError' });
    await putPassword(store, user.password);
    expect(await inspect(rollback)).toMatchObject({ done: true, refused: false });
  });
});

test('a finding that refuses a restore is a warning in its rollback', async () => {
  await putPassword('kv', user.password);
  await redis.acl('SETUSER', user.username, '-@write');
  try {
    await admit(environment, restore('restore_c'));
    await expect(inspect('restore_c')).rejects.toThrow(/refused the command unlink/);
    const rollback = relatedJobId('rollback', 'restore_c');
    await admit(environment, restore(rollback, { rollback_of: 'restore_c' }));
    expect(await inspect(rollback)).toMatchObject({ done: true, refused: false });
    const [kv] = (await readInspection(environment.bucket, rollback)).stores;
    expect(kv).toMatchObject({
      problems: [],
      warnings: expect.arrayContaining([expect.stringContaining('refused the command unlink')]),
    });
  } finally {
    await redis.acl('SETUSER', user.username, '+@all');
  }
});

test('writers that cannot be paused again do not stop a rollback', async () => {
  const now = new Date().toISOString();
  const begin = async (jobId: string, changes: object) => {
    await environment.bucket.removeAll('locks/');
    await inspected(environment, restore(jobId, changes));
    const job = { target: 'default', state: 'pending', created_at: now, updated_at: now } as const;
    await createJob(environment.bucket, {
      ...job,
      job_id: jobId,
      kind: 'restore',
      execution_arn: executionArn,
    });
    return beginRestore(environment, jobId, LEG);
  };
  await expect(begin('restore_d', {})).rejects.toMatchObject({ name: 'HookError' });
  const rollback = relatedJobId('rollback', 'restore_d');
  expect(await begin(rollback, { rollback_of: 'restore_d' })).toMatchObject({ safety_backup: false });
});

describe('a rollback that fails', () => {
  /** The end of a rollback with these recorded legs of its verification: the restore's job, and the lock. */
  async function end(name: string, legs: readonly object[]) {
    const { bucket, sfn } = environment;
    const rollback = relatedJobId('rollback', name);
    const now = new Date().toISOString();
    const job = { target: 'default', created_at: now, updated_at: now, state: 'processing' } as const;
    const error = { name: 'IntegrityError', message: 'It differs.' };
    await createJob(bucket, { ...job, job_id: name, kind: 'restore', execution_arn: 'arn:restore', error });
    const { stateMachineArn = '' } = await sfn.send(
      new CreateStateMachineCommand({
        name: `fails-${randomBytes(6).toString('hex')}`,
        roleArn: 'arn:aws:iam::000000000000:role/test',
        definition: JSON.stringify({
          StartAt: 'End',
          States: { End: { Type: 'Fail', Error: 'NgbakError', Cause: 'no tidying' } },
        }),
      }),
    );
    const { executionArn: failed = '' } = await sfn.send(
      new StartExecutionCommand({ stateMachineArn, name: rollback, input: '{}' }),
    );
    await createJob(bucket, {
      ...job,
      job_id: rollback,
      kind: 'restore',
      execution_arn: failed,
      backup_id: 'snapshot_safe',
    });
    await catalogue(bucket, { backup_id: 'snapshot_safe', job_id: relatedJobId('safety', name) });
    await begun(environment, restore(rollback, { rollback_of: name, execution_arn: failed }));
    const record = {
      job_id: rollback,
      target: 'default',
      kind: 'restore',
      execution_arn: failed,
      since: now,
    };
    await bucket.writeRecord(lockKey('default'), record);
    for (const [number, leg] of legs.entries())
      await bucket.writeRecord(restoreLegKey(rollback, 'kv', 'verify', number), leg);
    await sfn.send(new DescribeExecutionCommand({ executionArn: failed }));
    const detail = { executionArn: failed, name: rollback, status: 'FAILED', input: '{}' } as const;
    await cleanUpAfter(environment, { detail: { ...detail, error: 'NgbakError', cause: 'no tidying' } }, LEG);
    return {
      job: await readJob(bucket, name),
      lock: (await bucket.readRecord(lockKey('default'), Lock))?.value,
    };
  }
  const leg = { tallies: {}, differences: 0, samples: [] };
  const last = { ...leg, smoke: [], references: [] };

  test('after everything was verified leaves the target free', async () => {
    await putPassword('kv', user.password);
    const { job, lock: held } = await end('restore_e', [leg, last]);
    expect(job).toMatchObject({
      state: 'rolled_back',
      error: { name: 'IntegrityError', message: expect.stringMatching(/rolled back.*verified.*no tidying/) },
    });
    expect(held).toBeUndefined();
  });

  test.each([
    ['before', []],
    ['in the middle of', [leg]],
    ['because of a difference in', [leg, { ...last, differences: 1 }]],
  ])('%s its verification keeps the target locked', async (_when, legs) => {
    await putPassword('kv', user.password);
    const { job, lock: held } = await end('restore_f', legs);
    expect(job).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('snapshot_safe') },
    });
    expect(held?.kept).toContain('snapshot_safe');
  });
});
