/** Comparisons through the deployed stack: before a restore, between two backups, and on the page. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { STAGING, VERIFICATIONS } from '../../shared/aws/keys.ts';
import type { ComparedStore } from '../../shared/stores/comparison/result.ts';
import { run } from '../cli/run.ts';
import { accessibilityProblems, overflows, startBrowser } from './browser.ts';
import { fillTarget, OPTIONS, readTarget, withClients } from './content.ts';

let browser: Awaited<ReturnType<typeof startBrowser>>;
let environment: NodeJS.ProcessEnv;
let api: NodeJS.ProcessEnv;
let folder: string;
let before: string;
let after: string;

async function backUp(): Promise<string> {
  const made = await browser.stack.run('Backup', { target: 'options' });
  return (JSON.parse(made.output ?? '{}') as { backup_id?: string }).backup_id ?? '';
}

/** Changes, adds and removes a few records of each store. */
const change = () =>
  withClients(async ({ cypher, redis, qdrant }) => {
    const { label, collection, prefix } = OPTIONS;
    await cypher(`MATCH (n:${label} {id: 'n1'}) DETACH DELETE n`);
    await cypher(`MATCH (n:${label} {id: 'n2'}) SET n.weight = 99.5`);
    await cypher(`CREATE (:${label} {id: 'n21'})`);
    const points = `/collections/${collection}/points`;
    await qdrant('POST', `${points}/delete?wait=true`, { points: [1] });
    await qdrant('POST', `${points}/payload?wait=true`, { payload: { entity_name: 'other' }, points: [2] });
    await qdrant('PUT', `${points}?wait=true`, { points: [{ id: 21, vector: [1, 2, 3, 4] }] });
    await redis.del(`${prefix}docs:d1`);
    await redis.set(`${prefix}docs:d2`, '"other"');
    await redis.set(`${prefix}docs:d21`, '"new"');
    await redis.pexpireat(`${prefix}cache:c1`, 4_102_444_800_001);
  });

beforeAll(async () => {
  browser = await startBrowser();
  const { stack } = browser;
  environment = { NGBAK_STACK: 'NgbakTest', TERM: 'xterm', TZ: 'UTC', ...stack.operator() };
  api = { NGBAK_API_URL: stack.apiUrl(), NGBAK_API_KEY: stack.apiKey('operator'), AWS_ACCESS_KEY_ID: 'none' };
  folder = await mkdtemp(join(tmpdir(), 'ngbak-compare-'));
  // Other tests of this target may have run before.
  for (const key of await stack.keys('backups/')) {
    if (key.includes('_options.')) await stack.bucket.removeAll(key);
  }
  await fillTarget(OPTIONS);
  before = await backUp();
  await change();
  after = await backUp();
});
afterEach(() => browser.closeVisits());
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs `ngbak` and returns the data of its JSON lines of one type. */
async function ngbak(type: string, args: string[], more: NodeJS.ProcessEnv = {}) {
  const ran = await run([...args, '--json'], { ...environment, ...more });
  expect([ran.code, ran.stdout, ran.stderr]).toEqual([0, expect.anything(), '']);
  return ran.lines().flatMap((line) => (line.type === type ? [line.data] : []));
}

/** The names of added (+), changed (~) and removed (-) records, by kind. */
function namesOf(stores: readonly ComparedStore[]): Record<string, string[]> {
  const signs = { added: '+', changed: '~', removed: '-' } as const;
  return Object.fromEntries(
    stores
      .flatMap(({ store, kinds }) => kinds.map((kind) => ({ store, ...kind })))
      .map(({ store, kind, ...changes }) => [
        `${store} ${kind}`,
        (['added', 'changed', 'removed'] as const).flatMap((name) =>
          changes[name].samples.map((sample) => `${signs[name]} ${sample}`),
        ),
      ]),
  );
}

const CHANGES = {
  'graph nodes': ['+ node :Options "n21"', '~ node :Options:Thing "n2"', '- node :Options:Thing "n1"'],
  'graph relationships': ['- relationship RELATED "n1" → "n2"'],
  'graph schema': [],
  'vectors points:option_items': ['+ point 21', '~ point 2', '- point 1'],
  'kv keys:cache': ['~ key options:cache:c1'],
  'kv keys:docs': ['+ key options:docs:d21', '~ key options:docs:d2', '- key options:docs:d1'],
  'kv keys:graph': [],
};
/** From the newer to the older state. */
const REVERSED = Object.fromEntries(
  Object.entries(CHANGES).map(([kind, names]) => [
    kind,
    [...names].map((name) => name.replace(/^[+-]/, (sign) => (sign === '+' ? '-' : '+'))).sort(),
  ]),
);
const sorted = (names: Record<string, string[]>) =>
  Object.fromEntries(Object.entries(names).map(([kind, list]) => [kind, [...list].sort()]));
/** Kinds without records are not part of a comparison. */
const withoutEmpty = (names: Record<string, readonly string[]>) =>
  Object.fromEntries(Object.entries(names).filter(([kind]) => kind !== 'graph schema'));

test.each([
  ['with AWS credentials', () => ({})],
  ['through the HTTP API', () => api],
])('ngbak diff compares two backups %s, and leaves nothing behind', async (_, more) => {
  const [diff] = await ngbak('diff', ['diff', before, after], more());
  expect(diff).toMatchObject({ backup_id: before, to: after });
  const { stores } = diff as unknown as { stores: ComparedStore[] };
  expect(withoutEmpty(namesOf(stores))).toEqual(withoutEmpty(CHANGES));
  const staged = [];
  for await (const { key } of browser.stack.bucket.keys(`${STAGING}${VERIFICATIONS}`)) staged.push(key);
  expect(staged).toEqual([]);
});

test('ngbak diff compares files without AWS, and shows what changed', async () => {
  const files = [];
  for (const id of [before, after]) {
    const path = join(folder, `${id}.ngbak`);
    await ngbak('downloaded', ['download', id, '--output', path]);
    files.push(path);
  }
  const ran = await run(['diff', ...files], { TZ: 'UTC' });
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  expect(ran.stdout).toMatch(/kv keys:docs +20 +20 +1 +1 +1/);
  for (const text of [
    '+ added: point 21',
    '~ changed: node :Options:Thing "n2"',
    '- removed: key options:docs:d1',
  ]) {
    expect(ran.stdout).toContain(text);
  }
});

test.each([
  ['with AWS credentials', () => ({})],
  ['through the HTTP API', () => api],
])('ngbak find shows in which backups a record is, and extracts it, %s', async (_, more) => {
  const [history] = await ngbak('found', ['find', 'options:docs:d2', '--target', 'options'], more());
  expect(history).toMatchObject([{ first: before, last: after, changed: [after] }]);
  const [point] = await ngbak('found', ['find', '1', '--target', 'options', '--store', 'vectors'], more());
  expect(point).toMatchObject([{ name: 'point 1', first: before, last: before }]);
  const args = ['find', 'n1', '--backup', before, '--extract', '-', '--quiet'];
  const node = await run(args, { ...environment, ...more() });
  expect(JSON.parse(node.stdout)).toMatchObject({ type: 'node', properties: { id: 'n1' } });
  const nothing = await run(['find', 'nothing', '--backup', after], { ...environment, ...more() });
  expect([nothing.code, nothing.stderr]).toEqual([3, expect.stringContaining('has a record "nothing"')]);
});

test('a dry run shows what the restore would change, record by record, and changes nothing', async () => {
  const content = await readTarget(OPTIONS);
  const [job] = await ngbak('job', ['restore', before, '--dry-run', '--compare']);
  expect(job).toMatchObject({ state: 'completed' });
  const { inspection } = job as { inspection: { comparison: { mode: string; stores: ComparedStore[] } } };
  expect(inspection.comparison.mode).toBe('replace');
  expect(withoutEmpty(sorted(namesOf(inspection.comparison.stores)))).toEqual(withoutEmpty(REVERSED));
  expect(await readTarget(OPTIONS)).toEqual(content);
  const { stdout } = await run(['job', String(job?.job_id)], environment);
  expect(stdout).toMatch(/kv keys:docs +20 +20 +1 +1 +1/);
  const visit = await browser.visit({ role: 'viewer' });
  await visit.open(`restore/${job?.job_id}`);
  await visit.page.getByRole('heading', { name: 'Changes, record by record' }).waitFor();
  visit.assertClean();
});

test('the page compares a chosen backup with the one before it', async () => {
  const visit = await browser.visit({ role: 'operator' });
  const { page } = visit;
  await visit.open('backups?target=options');
  await page.getByRole('radio', { name: `Choose ${after}` }).check();
  await page.getByRole('link', { name: 'Compare', exact: true }).click();
  await page.getByRole('heading', { name: 'Compare backups' }).waitFor();
  await page.getByText(`ngbak diff ${before} ${after}`, { exact: false }).waitFor();
  await page.getByRole('button', { name: 'Compare', exact: true }).click();
  await page.getByRole('heading', { name: 'Changes' }).waitFor();
  const row = page.getByRole('row', { name: /keys:docs/ });
  expect(await row.getByRole('cell').allTextContents()).toEqual(['20', '20', '1', '1', '1']);
  await page.getByRole('button', { name: /Names: .*keys:docs/ }).click();
  await page.getByText('key options:docs:d21').waitFor();
  expect(await accessibilityProblems(page)).toEqual([]);
  expect(await overflows(page)).toBe(false);
  visit.assertClean();
});
