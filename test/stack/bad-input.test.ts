import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { StartExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { readJob } from '../../shared/workflows/job/record.ts';
import { answerConfirmation } from '../../shared/workflows/restore/confirmation.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { fillTarget, makeEmptyCollection, readTarget } from './content.ts';
import { secretName } from './context.ts';
import { deployedStack } from './harness.ts';

const stack = deployedStack();
const target = 'scratch';
const connections = {
  graph: {
    uri: servers.neo4j.uri,
    username: servers.neo4j.username,
    password: servers.neo4j.password,
  },
  vectors: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  kv: { url: servers.redis.url, password: servers.redis.password },
};
type Connections = typeof connections;

/** Changes the connections of the target's stores during `work`. */
async function withConnections<T>(
  changed: Partial<{ [K in keyof Connections]: object }>,
  work: () => Promise<T>,
) {
  const all: Record<string, object> = { ...connections, ...changed };
  try {
    for (const [store, value] of Object.entries(all)) await stack.putSecret(secretName(target, store), value);
    return await work();
  } finally {
    for (const [store, value] of Object.entries(connections)) {
      await stack.putSecret(secretName(target, store), value);
    }
  }
}

/** The allowed leftovers of a job: its records, and nothing else. */
async function expectNothingLeft(jobId: string) {
  const left = async () =>
    (await stack.keys()).filter((key) => key.includes(jobId) && !key.startsWith('jobs/'));
  await until(`nothing is left of ${jobId}`, left, { holds: ({ length }) => length === 0 });
  expect(await stack.keys(`locks/${target}.`)).toEqual([]);
}

async function failingBackup(input: object = { target }) {
  const before = await stack.keys('backups/');
  const execution = await stack.run('Backup', input);
  expect(execution.status).toBe('FAILED');
  const job = await stack.waitForJob(execution.name ?? '');
  expect(job.state).toBe('failed');
  await expectNothingLeft(job.job_id);
  expect(await stack.keys('backups/')).toEqual(before);
  return job.error?.message ?? '';
}

async function failingRestore(archive: Uint8Array) {
  const before = await readTarget();
  const job = await stack.restoreByUpload(target, archive);
  expect(job.state).toBe('failed');
  await expectNothingLeft(job.job_id);
  expect(await readTarget()).toEqual(before);
  return job.error?.message ?? '';
}

let archive: Uint8Array;

beforeAll(async () => {
  await withConnections({}, async () => undefined);
  await fillTarget();
  const { status, output, cause } = await stack.run('Backup', { target });
  if (status !== 'SUCCEEDED') throw new Error(`The backup that these tests start from failed: ${cause}`);
  archive = await stack.download((JSON.parse(output ?? '{}') as { backup_id: string }).backup_id);
});

describe('a backup', () => {
  test('of a store that does not respond fails and names address and remedy', async () => {
    const message = await withConnections(
      { graph: { ...connections.graph, uri: 'bolt://127.0.0.1:9' } },
      () => failingBackup(),
    );
    expect(message).toMatch(/127\.0\.0\.1:9/);
    expect(message).not.toContain(connections.graph.password);
  });

  test('with a wrong Neo4j password fails at once and does not repeat the password', async () => {
    const message = await withConnections(
      { graph: { ...connections.graph, password: 'wrong-password' } },
      () => failingBackup(),
    );
    expect(message).toMatch(/password|credentials|authenti/i);
    expect(message).not.toContain('wrong-password');
  });

  test('with a wrong Qdrant API key fails at once and does not repeat the key', async () => {
    const message = await withConnections(
      { vectors: { ...connections.vectors, api_key: 'wrong-api-key' } },
      () => failingBackup(),
    );
    expect(message).toMatch(/API key/i);
    expect(message).not.toContain('wrong-api-key');
  });

  test('with a wrong Redis password fails at once and does not repeat it', async () => {
    const message = await withConnections({ kv: { ...connections.kv, password: 'wrong-password' } }, () =>
      failingBackup(),
    );
    expect(message).toMatch(/password|credentials|authenti/i);
    expect(message).not.toContain('wrong-password');
  });

  test('of a configured collection that does not exist fails and names the collection', async () => {
    const message = await failingBackup({ target: 'missing' });
    expect(message).toContain('no_such');
    // The metric for Prometheus is incremented.
    const failures = async () => {
      const answer = await fetch(`${stack.apiUrl()}/api/v1/metrics`, {
        headers: { authorization: `Bearer ${stack.apiKey('viewer')}` },
      });
      return /^ngbak_backup_failures_total\{target="missing"\} (\d+)$/m.exec(await answer.text())?.[1];
    };
    // The janitor closes the job after the end of its execution.
    await until('the failure is counted', failures, { holds: (count) => Number(count) >= 1 });
  });

  test('of empty stores succeeds, is verified and can be restored', async () => {
    await makeEmptyCollection();
    const backup = await stack.run('Backup', { target: 'empty' });
    expect(backup.cause ?? backup.status).toBe('SUCCEEDED');
    const { backup_id, statistics } = JSON.parse(backup.output ?? '{}');
    expect(Object.values(statistics).every((count) => count === 0)).toBe(true);
    const restore = await stack.run('Restore', { backup_id, confirm: 'empty' });
    expect(restore.cause ?? restore.status).toBe('SUCCEEDED');
  });

  test('of a target that does not exist is refused, and the existing ones are named', async () => {
    const execution = await stack.run('Backup', { target: 'nowhere' });
    expect(execution.status).toBe('FAILED');
    expect(execution.cause).toMatch(/scratch/);
  });

  test('while another one of the same target runs is refused, and the other job is named', async () => {
    const stateMachineArn = stack.output('BackupStateMachineArn');
    const names = [0, 1].map((n) => `two-at-once-${n}-${randomBytes(4).toString('hex')}`);
    const started = await Promise.all(
      names.map((name) =>
        stack.sfn.send(
          new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify({ target }) }),
        ),
      ),
    );
    const ended = await Promise.all(
      started.map(({ executionArn }) => stack.waitForExecution(executionArn ?? '')),
    );
    const winner = ended.find(({ status }) => status === 'SUCCEEDED');
    const rejected = ended.find(({ status }) => status === 'FAILED');
    expect(winner).toBeDefined();
    expect(rejected?.cause).toContain(winner?.name);
    for (const name of names) {
      await stack.waitForJob(name);
      await expectNothingLeft(name);
    }
  });
});

describe('a restore, with the target left unchanged,', () => {
  test('of a file that is not an archive fails with the reason', async () => {
    expect(await failingRestore(randomBytes(5000))).toMatch(/archive/i);
  });

  test('of a gzip file that holds no archive fails and says so', async () => {
    expect(await failingRestore(gzipSync('hello'))).toMatch(/archive|tar/i);
  });

  test('of a truncated archive fails and says so', async () => {
    expect(await failingRestore(archive.subarray(0, Math.floor(archive.length / 2)))).toMatch(
      /truncated|ends|incomplete|damaged/i,
    );
  });

  test('of an archive with a changed byte fails and names the location', async () => {
    const damaged = new Uint8Array(archive);
    const place = Math.floor(damaged.length / 3);
    damaged[place] = (damaged[place] ?? 0) ^ 0xff;
    expect(await failingRestore(damaged)).toMatch(/(graph|vectors|kv|config)\/|damaged/);
  });

  test('uploaded without a request waits for a confirmation, and leaves no trace when it is rejected', async () => {
    const before = await readTarget();
    const key = `uploads/${target}/by-hand-${randomBytes(4).toString('hex')}.ngbak`;
    await stack.bucket.s3.send(new PutObjectCommand({ Bucket: stack.bucket.name, Key: key, Body: archive }));
    const job = await jobAwaitingConfirmation();
    expect(await readTarget()).toEqual(before);
    await answerConfirmation(stack, job.job_id, { confirm: false, reason: 'not what I wanted' });
    const ended = await stack.waitForJob(job.job_id);
    expect(ended.state).toBe('cancelled');
    await expectNothingLeft(job.job_id);
    expect(await stack.keys(key)).toEqual([]);
    expect(await readTarget()).toEqual(before);
  });

  test('is refused if the confirmation is not the name of the target', async () => {
    await expect(
      createRestoreRequest(stack.bucket, { target, fileName: 'x.ngbak', confirm: 'something else' }),
    ).rejects.toThrow(/confirmation/);
  });
});

test('whose upload event arrives ten times is started once', async () => {
  const upload = await createRestoreRequest(stack.bucket, { target, fileName: 'x.ngbak', confirm: target });
  const { VersionId, ETag } = await stack.bucket.s3.send(
    new PutObjectCommand({ Bucket: stack.bucket.name, Key: upload.key, Body: archive }),
  );
  const event = {
    'detail-type': 'Object Created',
    detail: {
      bucket: { name: stack.bucket.name },
      object: {
        key: upload.key,
        size: archive.length,
        etag: ETag?.replaceAll('"', ''),
        ...(VersionId === undefined ? {} : { 'version-id': VersionId }),
      },
    },
  };
  const copies = await Promise.all(Array.from({ length: 10 }, () => stack.run('Restore', event)));
  const job = await stack.waitForJob(upload.job_id);
  expect(job.state).toBe('completed');
  const owners = copies.filter(({ executionArn }) => executionArn === job.execution_arn).length;
  expect(owners).toBeLessThanOrEqual(1);
  for (const { executionArn, status, output } of copies) {
    expect(status).toBe('SUCCEEDED');
    if (executionArn !== job.execution_arn) expect(JSON.parse(output ?? '{}').admitted).toBe(false);
  }
  await expectNothingLeft(upload.job_id);
});

/** The newest waiting restore; the upload was made by hand, so the name of its job is unknown. */
const jobAwaitingConfirmation = () =>
  until('a restore awaits its confirmation', async () => {
    for (const key of await stack.keys('jobs/upload_')) {
      if (!key.endsWith('/job.json')) continue;
      const job = await readJob(stack.bucket, key.split('/')[1] ?? '');
      if (job?.target === target && job.state === 'awaiting_confirmation') return job;
    }
    return undefined;
  });
