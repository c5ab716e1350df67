import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import { lockKey } from '../../shared/aws/keys.ts';
import { relatedJobId } from '../../shared/core/job-ids.ts';
import { Lock } from '../../shared/workflows/job/lock.ts';
import type { JobRecord } from '../../shared/workflows/job/record.ts';
import { findSafetyBackup } from '../../shared/workflows/restore/safety.ts';
import { testUnless } from '../conditions.ts';
import { NIGHTLY } from '../nightly.ts';
import { SEED } from '../seed.ts';
import { servers } from '../servers.ts';
import { OwnNeo4j } from '../stores/neo4j/own-server.ts';
import { OwnServer, startInterceptor } from '../stores/qdrant/own-server.ts';
import { smallDiskMissing } from '../stores/small-disk.ts';
import { until } from '../support/until.ts';
import { secretName } from './context.ts';
import { progressOf } from './follow.ts';
import { LOADS, whileHeld } from './held.ts';
import { look, sampleOf } from './kill-sweep.ts';
import {
  begin,
  type Followed,
  type Prepared,
  prepareTrial,
  readTarget,
  settled,
  whichSide,
} from './restore-trial.ts';

/** A separate user on a shared server: revoking its permissions affects no other test. */
const user = {
  username: `faults${randomBytes(4).toString('hex')}`,
  password: randomBytes(12).toString('hex'),
};

const noDisk = smallDiskMissing();
/** Faults that end in a rollback, and those that a restore survives. */
const ROLLED_BACK = ['memory', 'permissions'];
const SURVIVED = ['disk of Qdrant', 'disk of Neo4j', 'killed server'];
/** By day one of each, which the seed of the run chooses; all of them at night. */
const faults = [ROLLED_BACK, SURVIVED].flatMap((all) => (NIGHTLY ? all : sampleOf(all, 1, SEED)));
let qdrant: OwnServer;
/** Only for the test that fills its disk. */
let neo4jOfOwn: OwnNeo4j | undefined;
let redis: Redis;
let prepared: Prepared;

const graph = { uri: servers.neo4j.uri, ...user };
const kv = { url: servers.redis.url, ...user };
const cypher = async (query: string, parameters: object = {}) => {
  const { uri, username, password } = servers.neo4j;
  const driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
  try {
    await driver.executeQuery(query, parameters, { database: 'system' });
  } finally {
    await driver.close();
  }
};

beforeAll(async () => {
  qdrant = await OwnServer.start({}, [], 512);
  redis = new Redis(servers.redis.url, { password: servers.redis.password });
  await redis.acl('SETUSER', user.username, 'on', `>${user.password}`, '~*', '&*', '+@all');
  await cypher('CREATE USER $username SET PASSWORD $password CHANGE NOT REQUIRED', user);
  const { putSecret } = (await import('./harness.ts')).deployedStack();
  await putSecret(secretName('default', 'graph'), graph);
  await putSecret(secretName('default', 'vectors'), { url: qdrant.url, api_key: qdrant.apiKey });
  await putSecret(secretName('default', 'kv'), kv);
  [prepared, neo4jOfOwn] = await Promise.all([
    prepareTrial({ qdrant: { url: qdrant.url, api_key: qdrant.apiKey } }),
    faults.includes('disk of Neo4j') ? OwnNeo4j.start() : undefined,
  ]);
});

afterAll(async () => {
  const { putSecret } = prepared.trial.stack;
  const { uri, username, password } = servers.neo4j;
  await putSecret(secretName('default', 'graph'), { uri, username, password });
  await putSecret(secretName('default', 'vectors'), {
    url: servers.qdrant.url,
    api_key: servers.qdrant.apiKey,
  });
  await putSecret(secretName('default', 'kv'), { url: servers.redis.url, password: servers.redis.password });
  await prepared.remove();
  await redis.acl('DELUSER', user.username);
  await cypher('DROP USER $username', user);
  redis.disconnect();
  await qdrant.stop();
  await neo4jOfOwn?.stop();
});

// Transient errors are retried for minutes, in the restore and in the rollback.

/** The load of its stores begins. */
async function loads(followed: Followed): Promise<boolean> {
  const { running, over } = await look(prepared.trial, followed);
  if (over) throw new Error('The restore never came to load its stores.');
  return running.has('Load stores');
}

/** Its safety backup was taken: nothing is written yet. */
async function isSafe({ jobId }: Followed): Promise<boolean> {
  return (await findSafetyBackup(prepared.trial.stack.bucket, jobId)) !== undefined;
}

/** Restores the first contents, and triggers a fault as soon as its time has come. */
async function restoreWhile(happens: () => unknown, isTime = loads): Promise<Followed> {
  return whileHeld(LOADS, async () => {
    const followed = await begin(prepared.trial, prepared.before);
    await until('the time of the fault has come', () => isTime(followed));
    await happens();
    return followed;
  });
}

/** Waits until the restore has met a fault, or has ended. */
const untilAnAttemptFailed = ({ executions: [execution = ''] }: Followed) =>
  until('an attempt has failed', () => progressOf(prepared.trial.stack.sfn, execution), {
    holds: (progress) => progress !== undefined && (progress.failed > 0 || progress.status !== 'RUNNING'),
  });

/** Waits until the rollback of a restore has begun: its job exists before it writes anything. */
async function untilRollbackBegins({ jobId }: Followed): Promise<void> {
  await prepared.trial.stack.waitForJob(relatedJobId('rollback', jobId), () => true);
}

async function expectAsBefore({ jobId }: Followed): Promise<void> {
  expect(await settled(prepared.trial, jobId)).toEqual([]);
  expect(await readTarget(prepared.trial)).toEqual(prepared.now.held);
}

/** After a rollback that failed too: the target is locked, the remedy is named, and it works. */
async function expectWayBack(followed: Followed, job: JobRecord): Promise<void> {
  const { stack, target } = prepared.trial;
  const safety = (await findSafetyBackup(stack.bucket, followed.jobId))?.backup_id ?? '';
  expect(job.state).toBe('failed');
  expect(job.error?.message).toContain(`ngbak restore ${safety}`);
  expect((await stack.bucket.readRecord(lockKey(target), Lock))?.value.kept).toContain(safety);
  const refused = await stack.run('Backup', { target });
  expect(refused).toMatchObject({ status: 'FAILED', cause: expect.stringContaining(safety) });
  const byHand = await stack.run('Restore', { backup_id: safety, confirm: target });
  expect(byHand.cause ?? byHand.status).toBe('SUCCEEDED');
  await stack.waitForJob(byHand.name ?? '');
  await expectAsBefore(followed);
}

const revoke = async () => {
  await redis.acl('SETUSER', user.username, '-@write');
};
const grant = () => redis.acl('SETUSER', user.username, '+@all');

describe('a restore whose store fails while it is loaded', () => {
  if (faults.includes('memory'))
    test('without memory is rolled back, and reports what to do', async () => {
      const [, maximum = '0'] = (await redis.config('GET', 'maxmemory')) as string[];
      const followed = await restoreWhile(() => redis.config('SET', 'maxmemory', '1mb'));
      await untilRollbackBegins(followed).finally(() => redis.config('SET', 'maxmemory', maximum));
      const job = await prepared.trial.stack.waitForJob(followed.jobId);
      expect(job.state).toBe('rolled_back');
      expect(job.error?.message).toMatch(/maxmemory.*rolled back/s);
      await expectAsBefore(followed);
    });

  if (faults.includes('permissions'))
    test('without permissions is rolled back once they are granted again', async () => {
      const followed = await restoreWhile(revoke);
      await untilRollbackBegins(followed).finally(grant);
      const job = await prepared.trial.stack.waitForJob(followed.jobId);
      expect(job.state).toBe('rolled_back');
      expect(job.error?.message).not.toContain(user.password);
      await expectAsBefore(followed);
    });

  test('without permissions that stay missing keeps the target locked, and names the backup to restore, which works', async () => {
    const { keyPrefix } = prepared.trial.layout;
    const loseKey = async () => {
      const [, [key = '']] = await redis.scan(0, 'MATCH', `${keyPrefix}:*`, 'COUNT', 10_000);
      expect(await redis.del(key)).toBe(1);
    };
    // If nothing was written, the rollback finds everything unchanged, and no lock is needed.
    const followed = await restoreWhile(() => revoke().then(loseKey));
    const job = await prepared.trial.stack.waitForJob(followed.jobId).finally(grant);
    // The stores whose rollback was not refused have their data again.
    const { parts } = await readTarget(prepared.trial);
    const ofOthers = (all: typeof parts) => Object.entries(all).filter(([part]) => !part.startsWith('keys '));
    expect(ofOthers(parts)).toEqual(ofOthers(prepared.now.held.parts));
    await expectWayBack(followed, job);
  });

  test('because its passwords are changed continues with those of the secrets', async () => {
    const { trial, now } = prepared;
    const next = randomBytes(12).toString('hex');
    const rotate = async () => {
      await redis.acl('SETUSER', user.username, 'resetpass', `>${next}`);
      await redis.call('CLIENT', 'KILL', 'USER', user.username);
      await cypher('ALTER USER $username SET PASSWORD $next CHANGE NOT REQUIRED', { ...user, next });
    };
    const followed = await restoreWhile(rotate);
    // A rotation changes the server first.
    await untilAnAttemptFailed(followed);
    await trial.stack.putSecret(secretName('default', 'graph'), { ...graph, password: next });
    await trial.stack.putSecret(secretName('default', 'kv'), { ...kv, password: next });
    user.password = next;
    Object.assign(graph, user);
    Object.assign(kv, user);
    const job = await trial.stack.waitForJob(followed.jobId);
    expect({ state: job.state, error: job.error }).toEqual({ state: 'completed', error: undefined });
    expect(await settled(trial, followed.jobId)).toEqual([]);
    expect(await whichSide(trial, now, prepared.before)).toBe('the archive');
    await trial.stack.restoreByUpload(trial.target, now.archive);
  });

  if (faults.includes('disk of Qdrant'))
    testUnless(
      noDisk,
      'because the disk of the server is full continues when there is space again',
      async () => {
        const { trial, before, now } = prepared;
        const { putSecret } = trial.stack;
        let uploads = 0;
        const interceptor = await startInterceptor(qdrant, async (_method, path) => {
          if (!path.includes('/snapshots/upload')) return;
          if (++uploads === 1) qdrant.disk.fill();
          else qdrant.disk.free();
        });
        try {
          await putSecret(secretName('default', 'vectors'), { url: interceptor.url, api_key: qdrant.apiKey });
          const followed = await begin(trial, before);
          const job = await trial.stack.waitForJob(followed.jobId);
          expect({ state: job.state, error: job.error }).toEqual({ state: 'completed', error: undefined });
          // Two collections, each loaded twice (test load and final load), and the one whose first upload found no space.
          expect(uploads).toBe(5);
          expect(await settled(trial, followed.jobId)).toEqual([]);
          expect(await whichSide(trial, now, before)).toBe('the archive');
        } finally {
          qdrant.disk.free();
          await putSecret(secretName('default', 'vectors'), { url: qdrant.url, api_key: qdrant.apiKey });
          await interceptor.stop();
        }
        await trial.stack.restoreByUpload(trial.target, now.archive);
      },
    );

  if (faults.includes('disk of Neo4j'))
    testUnless(
      noDisk,
      'because the disk of Neo4j is full continues when there is space and the server was restarted',
      async () => {
        const { now, before } = prepared;
        const own = neo4jOfOwn as OwnNeo4j;
        const { address, disk } = own;
        const trial = { ...prepared.trial, connections: { ...prepared.trial.connections, neo4j: address } };
        const driver = neo4j.driver(address.uri, neo4j.auth.basic(address.username, address.password), {
          maxTransactionRetryTime: 0,
        });
        try {
          await trial.stack.putSecret(secretName('default', 'graph'), address);
          const filled = await trial.stack.restoreByUpload(trial.target, now.archive);
          expect(filled.error).toBeUndefined();
          await settled(trial, filled.job_id);
          // Before the load, since that of such a small graph may be over as soon as it is detected.
          const followed = await restoreWhile(() => disk.fill(), isSafe);
          // After the first write without space, the server refuses everything until it is restarted.
          await until(
            'the server has met its full disk',
            () => driver.executeQuery('MATCH (n) RETURN count(n)').catch(String),
            { holds: (refused) => String(refused).includes('needs to be restarted') },
          );
          disk.free();
          await own.kill();
          await own.up();
          const job = await trial.stack.waitForJob(followed.jobId);
          expect({ state: job.state, error: job.error }).toEqual({ state: 'completed', error: undefined });
          expect(await settled(trial, followed.jobId)).toEqual([]);
          expect((await readTarget(trial)).parts).toEqual(before.held.parts);
        } finally {
          await driver.close();
          await trial.stack.putSecret(secretName('default', 'graph'), graph);
        }
        await trial.stack.restoreByUpload(trial.target, now.archive);
      },
    );

  if (faults.includes('killed server'))
    test('because its server was killed continues when the server is back', async () => {
      const { trial, before, now } = prepared;
      const followed = await restoreWhile(() => qdrant.kill());
      await untilAnAttemptFailed(followed);
      await qdrant.up();
      const job = await trial.stack.waitForJob(followed.jobId);
      expect(['completed', 'rolled_back']).toContain(job.state);
      expect(await settled(trial, followed.jobId)).toEqual([]);
      expect(await whichSide(trial, now, before)).toBe(
        job.state === 'completed' ? 'the archive' : 'as before',
      );
    });
});
