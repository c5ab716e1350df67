import { PutObjectCommand } from '@aws-sdk/client-s3';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { archiveKey, scratchPrefix } from '../../shared/aws/keys.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import { JobView } from '../../shared/operations/show-job.ts';
import type { DrillRecord } from '../../shared/workflows/drill/record.ts';
import { readDrill } from '../../shared/workflows/drill/record.ts';
import { expectedUnits } from '../../shared/workflows/job/progress.ts';
import { run } from '../cli/run.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { leftovers } from '../workflows/drill/stage.ts';
import { backUpOptions } from './back-up-options.ts';
import { fillTarget, OPTIONS, readTarget, removeTarget, SCRATCH, withClients } from './content.ts';
import { secretName } from './context.ts';
import { createSoon } from './follow.ts';
import { deployedStack, sleep } from './harness.ts';
import { LOADS, whileHeld } from './held.ts';

const stack = deployedStack();
/** With the policy that the stack publishes for operators: the emulator refuses everything else. */
const operator = { NGBAK_STACK: 'NgbakTest', TZ: 'UTC', ...stack.operator() };
/** Content of the target, which no drill may change. */
let live: unknown;
let backupId: string;

beforeAll(async () => {
  ({ live, backupId } = await backUpOptions());
});
afterAll(async () => {
  for (const names of [OPTIONS, SCRATCH]) await removeTarget(names);
});

async function expectUntouched(): Promise<void> {
  expect(await leftovers()).toEqual([]);
  expect(await readTarget(OPTIONS)).toEqual(live);
}

async function api(method: string, path: string, body?: object) {
  const answer = await fetch(`${stack.apiUrl()}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.apiKey('operator')}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

/** Runs a drill, and waits until its job is closed. */
async function drill(input: object, name?: string) {
  const started = await stack.start('Restore', { drill: input }, name);
  await stack.waitForExecution(started.executionArn);
  const job = await stack.waitForJob(started.name);
  return { job, record: await readDrill(stack.bucket, started.name) };
}

test('a drill from the command line restores the newest good backup, proves it, and leaves nothing', async () => {
  const ran = await run(['drill', '--target', 'options', '--wait', '--json'], operator);
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  const proved = ran.lines().find(({ type }) => type === 'drill')?.data as DrillRecord | undefined;
  expect(proved).toMatchObject({
    verdict: 'passed',
    target: 'options',
    backup_id: backupId,
    differences: [],
  });
  expect(proved?.stores.graph?.read_back.nodes?.count).toBe(20);
  expect(proved?.stores.kv?.smoke).toEqual([
    { question: '["ANY"]', target: 'key found', drill: 'key found', same: true },
  ]);
  await expectUntouched();
  const listed = await run(['drills', '--target', 'options', '--json'], operator);
  expect(listed.lines().find(({ type }) => type === 'drill')?.data.job_id).toBe(proved?.job_id);
  const shown = await run(['drills', proved?.job_id ?? ''], operator);
  expect([shown.code, shown.stdout]).toEqual([0, expect.stringMatching(/verified, no differences: removed/)]);
});

test('a drill reports totals from the manifest, a percentage, a recent rate and a remaining time', async () => {
  // Loading them takes some seconds at the default rate limit for shared servers, 8 MiB/s.
  const large = Array.from({ length: 64 }, (_, number) => `${OPTIONS.prefix}docs:large${number}`);
  const value = JSON.stringify('x'.repeat(1024 ** 2));
  await withClients(async ({ redis }) => {
    for (const key of large) await redis.set(key, value);
  });
  try {
    const { output } = await stack.run('Backup', { target: 'options' });
    const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
    /** Follows a drill to its end. Returns the job as it was at every look. */
    const follow = async () => {
      const started = await api('POST', '/drills', { backup_id });
      const job_id = String(started.body.job_id);
      const seen: JobView[] = [];
      const look = async () => {
        const job = JobView.parse((await api('GET', `/jobs/${job_id}`)).body);
        seen.push(job);
        return job.state;
      };
      await until('the drill has ended', look, { holds: hasEnded, pauseMs: 500, deadlineMs: 300_000 });
      return seen;
    };
    // Once three seconds are measured. The limit determines how fast it can be: 64 MiB take 8 seconds.
    const timedIn = (seen: readonly JobView[]) =>
      seen.flatMap(({ progress }) =>
        progress.flatMap(({ store, phase, work }) =>
          store === 'kv' && phase === 'load' && work?.remaining_seconds !== undefined ? [work] : [],
        ),
      );
    // Again, if the machine stood still while the keys were loaded.
    const seen = await until('the load is looked at', follow, { holds: (all) => timedIn(all).length > 0 });
    const records = seen.at(-1)?.inspection?.stores.map(({ kind, archive }) => expectedUnits(kind, archive));
    const total = records?.flatMap((units) => Object.values(units)).reduce((sum, count) => sum + count, 0);
    const loading = seen.flatMap(({ overall }) => (overall?.stage === 'restore' ? [overall] : []));
    expect(new Set(loading.map((overall) => overall.total))).toEqual(new Set([total]));
    const done = loading.map((overall) => overall.done);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(loading.at(-1)).toMatchObject({ done: total, percent: 100 });
    for (const { rate = 0, remaining_seconds = 0, total: keys = 0, done: loaded } of timedIn(seen)) {
      expect(rate).toBeGreaterThan(0);
      expect(remaining_seconds).toBe(Math.ceil((keys - loaded) / rate));
    }
    expect(seen.at(-1)?.progress.every(({ finished }) => finished)).toBe(true);
  } finally {
    await withClients(({ redis }) => redis.del(...large));
  }
  await expectUntouched();
});

test('a drill through the API, of Qdrant snapshots, alongside writers of every store, changes only what they write', async () => {
  await fillTarget(SCRATCH);
  const before = await readTarget(SCRATCH);
  const { output } = await stack.run('Backup', { target: 'scratch' });
  const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
  const started = await api('POST', '/drills', { backup_id });
  expect(started.status).toBe(202);
  const job_id = String(started.body.job_id);
  let written = 0;
  let done = false;
  const { label, collection, prefix } = SCRATCH;
  const write = () =>
    withClients(async ({ cypher, qdrant, redis }) => {
      while (!done) {
        const id = 1000 + ++written;
        await redis.set(`${prefix}docs:new${id}`, 'written meanwhile');
        await cypher(`CREATE (:${label} {id: 'new' + $id})`, { id: String(id) });
        await qdrant('PUT', `/collections/${collection}/points?wait=true`, {
          points: [{ id, vector: [1, 2, 3, 4], payload: { entity_name: 'new' } }],
        });
        await sleep(20);
      }
    });
  const writing = write();
  await stack.waitForJob(job_id);
  done = true;
  await writing;
  const { status, body } = await api('GET', `/drills/${job_id}`);
  expect([status, body]).toEqual([200, expect.objectContaining({ verdict: 'passed', backup_id })]);
  expect(await leftovers()).toEqual([]);
  // Every record of the writers is there, and without them everything is as it was.
  const { nodes, points } = (await readTarget(SCRATCH)) as {
    nodes: { id: string }[];
    points: { points: { id: number }[] };
  };
  const ids = Array.from({ length: written }, (_, i) => 1001 + i);
  expect(points.points.map(({ id }) => id).filter((id) => id > 1000)).toEqual(ids);
  expect(nodes.filter(({ id }) => id.startsWith('new')).length).toBe(written);
  await withClients(async ({ cypher, qdrant, redis }) => {
    expect((await redis.keys(`${prefix}docs:new*`)).length).toBe(written);
    await redis.del(ids.map((id) => `${prefix}docs:new${id}`));
    await cypher(`MATCH (n:${label}) WHERE n.id STARTS WITH 'new' DELETE n`);
    await qdrant('POST', `/collections/${collection}/points/delete?wait=true`, { points: ids });
  });
  expect(written).toBeGreaterThan(0);
  expect(await readTarget(SCRATCH)).toEqual(before);
  expect((await api('GET', '/drills?target=nobody')).body).toMatchObject({ drills: [], total: 0 });
});

test('a damaged archive fails a drill, and an existing name refuses it', async () => {
  const jobId = 'drill_of_taken_names';
  const key = `${OPTIONS.prefix}__ngbak:drill:${jobId}:docs:mine`;
  await withClients(({ redis }) => redis.set(key, 'of somebody'));
  const taken = await drill({ target: 'options' }, jobId);
  expect(taken.job).toMatchObject({ kind: 'drill', state: 'failed', error: { name: 'InvalidInputError' } });
  expect(taken.record).toMatchObject({ verdict: 'failed' });
  expect(await leftovers()).toEqual([`key ${key}`]);
  await withClients(({ redis }) => redis.del(key));

  const bytes = await stack.download(backupId);
  const damaged = Buffer.from(bytes);
  const at = Math.floor(damaged.length / 3);
  damaged[at] = (damaged[at] ?? 0) ^ 0xff;
  const second = await stack.run('Backup', { target: 'options' });
  const other = (JSON.parse(second.output ?? '') as { backup_id: string }).backup_id;
  const { bucket } = stack;
  const object = { Bucket: bucket.name, Key: archiveKey(other), Body: damaged };
  const { VersionId } = await bucket.s3.send(new PutObjectCommand(object));
  const { value } =
    (await bucket.readRecord(`backups/${other}.json`, z.looseObject({ archive: z.looseObject({}) }))) ?? {};
  await bucket.writeRecord(`backups/${other}.json`, {
    ...value,
    archive: { ...value?.archive, version_id: VersionId },
  });
  const found = await drill({ backup_id: other });
  expect(found.record).toMatchObject({ verdict: 'failed', backup_id: other, stores: {} });
  await expectUntouched();
});

test('a drill that is stopped while it loads is removed; a second one at the same time is refused', async () => {
  // The other stores claim their scopes and load.
  const graph = LOADS.filter(({ functionName }) => functionName.endsWith('-graph'));
  const [first, second] = await whileHeld(graph, async () => {
    const started = await stack.start('Restore', { drill: { backup_id: backupId } });
    await until('the drill has claimed a scope', () => stack.keys(scratchPrefix(started.name)), {
      holds: ({ length }) => length > 0,
    });
    const other = await stack.start('Restore', { drill: { backup_id: backupId } });
    await stack.sfn.send(
      new StopExecutionCommand({ executionArn: started.executionArn, cause: 'by a test' }),
    );
    return [started, other];
  });
  expect(await stack.waitForJob(first.name)).toMatchObject({ state: 'cancelled' });
  const ended = await stack.waitForJob(second.name);
  // Refused, unless the first one had been removed before it requested the lock.
  if (ended.state !== 'completed') expect(ended.error?.name).toBe('TargetLockedError');
  expect((await readDrill(stack.bucket, first.name))?.verdict).toBe('cancelled');
  await expectUntouched();
});

test('a server that refuses the load fails a drill, which leaves nothing on the others', async () => {
  const user = { username: `drill${process.pid}`, password: 'may-not-write' };
  const secret = secretName('options', 'kv');
  const { url, password } = servers.redis;
  await withClients(({ redis }) =>
    redis.acl('SETUSER', user.username, 'on', `>${user.password}`, '~*', '&*', '+@all', '-set', '-restore'),
  );
  try {
    await stack.putSecret(secret, { url, ...user });
    const refused = await drill({ backup_id: backupId });
    expect(refused.job).toMatchObject({
      state: 'failed',
      error: { message: expect.stringMatching(/refused/) },
    });
    expect(refused.record).toMatchObject({ kind: 'drill', verdict: 'failed' });
  } finally {
    await stack.putSecret(secret, { url, password });
    await withClients(({ redis }) => redis.acl('DELUSER', user.username));
  }
  await expectUntouched();
});

test('a schedule starts drills; a second run while one is in progress is skipped, and rehearsals write nothing', async () => {
  const name = `drills-${process.pid}`;
  // An earlier test has damaged the newest one.
  expect((await stack.run('Backup', { target: 'options' })).status).toBe('SUCCEEDED');
  const ngbak = async (type: string, args: readonly string[]) => {
    const { code, stderr, lines } = await run([...args, '--json'], operator);
    if (code !== 0) throw new Error(`ngbak ${args.join(' ')}: ${code} ${stderr}`);
    return lines().find((line) => line.type === type)?.data as Record<string, unknown>;
  };
  const create = ['schedule', 'create', name, '--drill', '--target', 'options'];
  const { lines: created } = await createSoon((at) => run([...create, '--at', at, '--json'], operator));
  expect(created().find(({ type }) => type === 'schedule')?.data).toMatchObject({
    kind: 'drill',
    drill: { target: 'options' },
  });
  const rehearsal = ['schedule', 'create', `${name}-2`, '--drill', '--rehearse', '--rate', '7 days'];
  await ngbak('schedule', [...rehearsal, '--target', 'options']);
  try {
    const lastRun = async () => {
      const { last_run } = (await ngbak('schedule', ['schedule', 'show', name])) as {
        last_run?: { job_id: string; by_hand: boolean };
      };
      return last_run;
    };
    const planned = await until('the schedule has started a drill', lastRun, { pauseMs: 200 });
    expect(planned.by_hand).toBe(false);
    // It holds its lock from its first step on.
    const { job_id: second } = await ngbak('started', ['schedule', 'run', `${name}-2`]);
    expect(await stack.waitForJob(String(second))).toMatchObject({
      kind: 'drill',
      state: 'cancelled',
      error: { name: 'Skipped', message: expect.stringContaining(planned.job_id) },
    });
    expect(await stack.waitForJob(planned.job_id)).toMatchObject({
      kind: 'drill',
      state: 'completed',
      requested_by: `schedule:${name}`,
    });
    expect(await readDrill(stack.bucket, planned.job_id)).toMatchObject({ kind: 'drill', verdict: 'passed' });
    const { job_id: third } = await ngbak('started', ['schedule', 'run', `${name}-2`]);
    await stack.waitForJob(String(third));
    expect(await readDrill(stack.bucket, String(third))).toMatchObject({
      kind: 'rehearsal',
      verdict: 'passed',
      destination: { place: 'none' },
    });
    const status = await ngbak('target', ['status', 'options']);
    expect(status).toMatchObject({
      drill: { job_id: planned.job_id },
      rehearsal: { job_id: third },
      drill_age_max_seconds: 14 * 86_400,
    });
  } finally {
    for (const one of [name, `${name}-2`]) await run(['schedule', 'remove', one, '--yes'], operator);
  }
  await expectUntouched();
});
