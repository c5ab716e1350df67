import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CloudWatchLogsClient, FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Manifest } from '../../shared/archive/format/manifest.ts';
import type { BackupDetails } from '../../shared/catalog/summaries.ts';
import type { BackupList } from '../../shared/operations/list-backups.ts';
import type { Pruned } from '../../shared/operations/prune.ts';
import type { VerificationLeg } from '../../shared/operations/verify-backup.ts';
import type { JobRecord } from '../../shared/workflows/job/record.ts';
import { run } from '../cli/run.ts';
import { until } from '../support/until.ts';
import { startBrowser } from './browser.ts';
import { fillTarget, type Names, removeTargetWithSchema, SCRATCH, withClients } from './content.ts';
import { deployedStack } from './harness.ts';

/*
 * The guarantees of a verified backup, tested on the deployed stack during writes to all stores. busy.test.ts compares
 * the possible reads of changing data; this file covers records that stay unchanged, and warnings.
 */
const COPY: Names = { label: 'ScratchCopy', collection: 'scratch_copy', prefix: 'scratch-copy:' };
const RENAME = {
  label: COPY.label,
  key_prefix: COPY.prefix,
  collections: { [SCRATCH.collection]: COPY.collection },
};
const PACE_MS = 20;

const stack = deployedStack();
let stopWriters: () => Promise<void>;

async function callApi<T>(method: string, path: string, body?: object): Promise<T> {
  const answer = await fetch(`${stack.apiUrl()}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.apiKey('admin')}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

async function backUp(): Promise<BackupDetails> {
  const { status, cause, output } = await stack.run('Backup', { target: 'scratch' });
  expect(cause ?? status).toBe('SUCCEEDED');
  const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
  return callApi('GET', `backup/${backup_id}`);
}

const ALARM = 'NgbakTest-Backup-warnings-scratch';
/** With the policy that the stack publishes for operators. */
const environment = { NGBAK_STACK: 'NgbakTest', TZ: 'UTC', ...stack.operator() };

/** The human-readable output of `ngbak`. */
async function ngbak(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args, environment);
  expect([code, stderr]).toEqual([0, '']);
  return stdout.replaceAll(/\s+/g, ' ');
}

/** The line that the function logged about a backup, from which CloudWatch derives metrics. */
async function measuresOf(jobId: string): Promise<EmbeddedMetrics> {
  const job = await stack.waitForJob(jobId);
  const { events = [] } = await new CloudWatchLogsClient({}).send(
    new FilterLogEventsCommand({
      logGroupName: '/aws/lambda/NgbakTest-catalog-backup',
      startTime: Date.parse(job.created_at),
    }),
  );
  const lines = events.flatMap(({ message = '' }) =>
    message.includes('"BackupWarnings"')
      ? [JSON.parse(message.slice(message.indexOf('{'))) as EmbeddedMetrics]
      : [],
  );
  const line = lines.filter(({ target }) => target === 'scratch').at(-1);
  if (!line) throw new Error(`No metrics were logged for ${jobId}.`);
  return line;
}
interface EmbeddedMetrics extends Readonly<Record<string, unknown>> {
  readonly _aws: {
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string }[];
    }[];
  };
}
interface DeployedAlarm {
  readonly Namespace: string;
  readonly MetricName: string;
  readonly Dimensions: readonly { readonly Name: string; readonly Value: string }[];
  readonly Statistic: string;
  readonly Threshold: number;
  readonly ComparisonOperator: string;
  readonly TreatMissingData: string;
}

async function deployedAlarm(): Promise<DeployedAlarm> {
  const args = ['cloudwatch', 'describe-alarms', '--alarm-names', ALARM, '--output', 'json'];
  const { stdout } = await promisify(execFile)('aws', args, { env: { ...process.env } });
  const [alarm, ...others] = (JSON.parse(stdout) as { MetricAlarms: DeployedAlarm[] }).MetricAlarms;
  if (!alarm || others.length > 0) throw new Error(`${ALARM} is not deployed once.`);
  return alarm;
}

/**
 * Whether CloudWatch would raise an alarm for such a line. The emulator derives no metrics from lines, so that is
 * implemented here: a metric has the namespace and exactly the dimensions that the line states.
 */
function isRaised(alarm: DeployedAlarm, { _aws, ...line }: EmbeddedMetrics): boolean {
  const dimensions = new Map(alarm.Dimensions.map(({ Name, Value }) => [Name, Value]));
  const isMeant = _aws.CloudWatchMetrics.some(
    ({ Namespace, Dimensions, Metrics }) =>
      Namespace === alarm.Namespace &&
      Metrics.some(({ Name }) => Name === alarm.MetricName) &&
      Dimensions.some(
        (names) =>
          names.length === dimensions.size && names.every((name) => line[name] === dimensions.get(name)),
      ),
  );
  expect(isMeant).toBe(true);
  expect(alarm).toMatchObject({
    Statistic: 'Sum',
    ComparisonOperator: 'GreaterThanOrEqualToThreshold',
    TreatMissingData: 'notBreaching',
  });
  return Number(line[alarm.MetricName]) >= alarm.Threshold;
}

/** Everything that stays unchanged: nodes with their dates, points and documents, each with its number. */
function readStill({ label, collection, prefix }: Names) {
  return withClients(async ({ cypher, redis, qdrant }) => {
    const nodes = await cypher(
      `MATCH (n:${label}:Thing) RETURN n.id AS id, toString(n.born) AS born, toString(n.met) AS met ORDER BY id`,
    );
    const ids = Array.from({ length: 20 }, (_, i) => i + 1);
    const points = await qdrant('POST', `/collections/${collection}/points`, { ids, with_vector: true });
    const documents = await redis.mget(ids.map((i) => `${prefix}docs:d${i}`));
    return { nodes, points: points.result, documents };
  });
}

/** Writers on all stores: overwrites, rotations, deletes and re-creations, expiring keys. */
function startWriters(): () => Promise<void> {
  let isOver = false;
  const { label, collection, prefix } = SCRATCH;
  const work = withClients(async ({ cypher, redis, qdrant }) => {
    await redis.rpush(`${prefix}busy:list`, ...Array.from({ length: 600 }, (_, i) => String(i)));
    for (let step = 0; !isOver; step++) {
      await redis.set(`${prefix}busy:text`, String(step).padStart(8, '0').repeat(20_000));
      await redis.rpoplpush(`${prefix}busy:list`, `${prefix}busy:list`);
      await redis.set(`${prefix}busy:fleeting`, String(step), 'PX', 50);
      await cypher(`MERGE (n:${label} {id: 'busy'}) SET n.step = $step`, { step });
      await cypher(`MATCH (n:${label} {id: 'fleeting'}) DETACH DELETE n`);
      await cypher(`CREATE (:${label} {id: 'fleeting', step: $step})`, { step });
      const point = { id: 1000 + (step % 5), vector: [step, 1, 1, 1], payload: { step } };
      await qdrant('PUT', `/collections/${collection}/points?wait=true`, { points: [point] });
      await qdrant('POST', `/collections/${collection}/points/delete?wait=true`, {
        points: [1000 + ((step + 2) % 5)],
      });
      await sleep(PACE_MS);
    }
  });
  work.catch(() => undefined);
  return async () => {
    isOver = true;
    await work;
  };
}

beforeAll(async () => {
  await removeTargetWithSchema(SCRATCH);
  await removeTargetWithSchema(COPY);
});
beforeEach(async () => {
  await fillTarget(SCRATCH);
  stopWriters = startWriters();
});
afterEach(() => stopWriters());
afterAll(async () => {
  await removeTargetWithSchema(SCRATCH);
  await removeTargetWithSchema(COPY);
});

test('a failed index is reported everywhere, prevents no restore of a backup, and can be acknowledged', async () => {
  const { label } = SCRATCH;
  await withClients(async ({ cypher }) => {
    await cypher(
      `MATCH (n:${label} {id: 'n1'}) SET n.text = $text, n.met = datetime($met), n.emb = [0.6, 0.8]`,
      {
        text: 'abcdefgh'.repeat(2500),
        met: '2030-07-01T12:00:00[Europe/Berlin]',
      },
    );
    await cypher(`CREATE INDEX scratch_failed FOR (n:${label}) ON (n.text)`);
    // Created by an older provider, whose settings another server does not have.
    await cypher(
      `CREATE VECTOR INDEX scratch_emb FOR (n:${label}) ON (n.emb) OPTIONS {indexProvider: 'vector-1.0',
       indexConfig: {\`vector.dimensions\`: 2, \`vector.similarity_function\`: 'cosine'}}`,
    );
    await until(
      'the index has failed',
      async () => (await cypher("SHOW INDEXES YIELD name, state WHERE name = 'scratch_failed'"))[0]?.state,
      { holds: (state) => state === 'FAILED' },
    );
  });

  const backup = await backUp();
  const warning = { store: 'graph', code: 'graph-index-failed', samples: ['scratch_failed'] };
  expect(backup).toMatchObject({ state: 'complete_with_warnings', good: true, warnings: [warning] });
  const path = `backup/${backup.backup_id}`;
  expect((await callApi<Manifest>('GET', `${path}/manifest`)).warnings).toMatchObject([warning]);
  const { backups } = await callApi<BackupList>('GET', 'backup?target=scratch&limit=1');
  expect(backups[0]).toMatchObject({ backup_id: backup.backup_id, open_warnings: 1 });

  // In the job, in the output of the CLI, on the dashboard, in the metrics and in an alarm.
  await stack.waitForJob(backup.job_id);
  const job = await callApi<JobRecord>('GET', `jobs/${backup.job_id}`);
  expect(job.result).toMatchObject({ warnings: [warning] });
  for (const command of [
    ['job', backup.job_id],
    ['show', backup.backup_id],
  ])
    expect(await ngbak(...command)).toMatch(/Indexes are in state FAILED.*scratch_failed/);
  expect(await ngbak('list', '--quiet', '--target', 'scratch', '--limit', '1')).toContain(
    'complete with 1 warning',
  );
  const browser = await startBrowser();
  try {
    const { page, open } = await browser.visit({ role: 'viewer' });
    await open('backups');
    await page.getByText('1 warning').first().waitFor();
    await open(path);
    await page.getByRole('heading', { name: 'Warnings (1)' }).waitFor();
    await page
      .getByText(/scratch_failed/)
      .first()
      .waitFor();
    await open(`job/${backup.job_id}`);
    await page
      .getByText(/scratch_failed/)
      .first()
      .waitFor();
  } finally {
    await browser.close();
  }
  const alarm = await deployedAlarm();
  expect(isRaised(alarm, await measuresOf(backup.job_id))).toBe(true);

  // The same check as before it was added to the catalog, with all counts.
  let leg = await callApi<VerificationLeg>('POST', `${path}/verify`, {});
  while (!leg.done) leg = await callApi('POST', `${path}/verify`, { cursor: leg.cursor });
  expect(leg).toMatchObject({ is_valid: true, errors: [] });
  const saved = Object.entries(backup.tallies).flatMap(([store, tallies]) =>
    Object.entries(leg.records[store as 'graph'] ?? {}).map(([kind, count]) => [count, tallies[kind]?.count]),
  );
  // Nodes, relationships, points and keys.
  expect(saved).toHaveLength(4);
  for (const [counted, expected] of saved) expect(counted).toBe(expected);

  const still = await readStill(SCRATCH);
  const restore = await stack.run('Restore', {
    ...{ backup_id: backup.backup_id, confirm: 'scratch', rename: RENAME, safety_backup: false },
  });
  expect(restore.cause ?? restore.status).toBe('SUCCEEDED');
  expect(await readStill(COPY)).toEqual(still);
  expect(still.nodes).toHaveLength(20);

  const acknowledged = await callApi<BackupDetails>('POST', `${path}/acknowledge`, {
    warnings: [backup.warnings[0]?.id],
  });
  expect(acknowledged).toMatchObject({ state: 'complete', open_warnings: 0 });
  const next = await backUp();
  expect(next).toMatchObject({ state: 'complete', warnings: [warning] });
  expect(isRaised(alarm, await measuresOf(next.job_id))).toBe(false);
});

test('an emptied store is a finding, displaces no good backup, and empties nothing in a restore', async () => {
  const good = await backUp();
  expect(good).toMatchObject({ good: true });
  await stopWriters();
  const { label, prefix } = SCRATCH;
  await withClients(async ({ cypher, redis }) => {
    await cypher(`MATCH (n:${label}) WHERE n.count > 3 DETACH DELETE n`);
    await redis.del(await redis.keys(`${prefix}*`));
  });
  const empty = await backUp();
  expect(empty).toMatchObject({ state: 'complete_with_warnings', good: false });
  expect(empty.warnings.map(({ store, code }) => `${store} ${code}`)).toEqual(
    expect.arrayContaining(['kv store-empty', 'graph records-fell']),
  );
  const pruned = await callApi<Pruned>('POST', 'backup/prune', {
    ...{ target: 'scratch', dry_run: true, policy: { keep_last: 1 } },
  });
  const action = (id: string) => pruned.backups.find(({ backup_id }) => backup_id === id)?.action;
  expect([action(good.backup_id), action(empty.backup_id)]).toEqual(['keep', 'keep']);

  await fillTarget(SCRATCH);
  stopWriters = startWriters();
  const still = await readStill(SCRATCH);
  const refused = await stack.run('Restore', { backup_id: empty.backup_id, confirm: 'scratch' });
  expect(refused).toMatchObject({ status: 'FAILED', error: 'InvalidInputError' });
  expect(refused.cause).toMatch(/kv: .*no records of this store/);
  expect(await readStill(SCRATCH)).toEqual(still);
});
