/** A target with three stores of key-value data: two parts of one Redis, and a folder of files. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Manifest } from '../../../shared/archive/format/manifest.ts';
import { NgbakConfig, TargetConfig } from '../../../shared/core/config.ts';
import { parseInput } from '../../../shared/core/input.ts';
import { findRecords } from '../../../shared/stores/comparison/find-records.ts';
import { readDrill } from '../../../shared/workflows/drill/record.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { closeRestore } from '../../../shared/workflows/restore/close.ts';
import { readInspection } from '../../../shared/workflows/restore/inspection.ts';
import { servers } from '../../servers.ts';
import { contentOf } from '../../stores/redis/content.ts';
import { freshEnvironment, makeSecret } from '../../support/aws.ts';
import { makeFilesStore } from '../../support/files-target.ts';
import { runBackup } from '../backup/run-backup.ts';
import { restoreOf, runDrill, runRestore } from './run-restore.ts';

const RUN = `several${randomBytes(5).toString('hex')}`;
const [ONE, OTHER, NEIGHBOUR] = [`${RUN}-one:`, `${RUN}-other:`, `${RUN}-neighbour:`];
const START = new Date('2026-01-02T03:04:05Z');

let redis: Redis;
let folder: string;
let stores: Record<string, { kind: string; secret: string; scope?: object }>;

beforeAll(async () => {
  redis = new Redis(servers.redis.url, { password: servers.redis.password });
  const { url, password } = servers.redis;
  const secret = await makeSecret({ url, password });
  const files = await makeFilesStore('several');
  folder = files.folder;
  stores = {
    // Not in the order of archives.
    kv_files: files.store,
    kv_other: { kind: 'redis', secret, scope: { prefix: OTHER, separator: ':' } },
    kv: { kind: 'redis', secret, scope: { prefix: ONE, separator: ':' } },
  };
});
afterAll(async () => {
  for (const prefix of [ONE, OTHER, NEIGHBOUR]) await empty(prefix);
  redis.disconnect();
  await rm(folder, { recursive: true, force: true });
});

async function empty(prefix: string): Promise<void> {
  const keys = await redis.keys(`${prefix}*`);
  if (keys.length > 0) await redis.del(keys);
}

/** Fills every store, and keys of another tenant. Numbers differ, so that stores cannot be mistaken for each other. */
async function fill(): Promise<void> {
  for (const [prefix, count] of [
    [ONE, 30],
    [OTHER, 20],
    [NEIGHBOUR, 5],
  ] as const) {
    await empty(prefix);
    for (let number = 0; number < count; number++) {
      await redis.set(`${prefix}full_docs:${number}`, JSON.stringify({ text: `${prefix}${number}` }));
    }
    await redis.hset(`${prefix}hash`, { field: prefix });
    await redis.rpush(`${prefix}list`, ...Array.from({ length: 50 }, (_, number) => `${number}`));
  }
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'kv_store_doc_status.json'), '{"doc-1": {"status": "processed"}}');
  await writeFile(join(folder, 'graph.graphml'), Buffer.from([0, 1, 2, 255]));
}

async function filesOf(): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  const read = names.map(async (name) => [name, (await readFile(join(folder, name))).toString('hex')]);
  return Object.fromEntries(await Promise.all(read));
}

const content = async () => ({
  one: await contentOf(redis, ONE),
  other: await contentOf(redis, OTHER),
  neighbour: await contentOf(redis, NEIGHBOUR),
  files: await filesOf(),
});

/** The same bucket, with other stores in the target. */
const withStores = (environment: Environment, others: object): Environment => ({
  ...environment,
  config: NgbakConfig.parse({ targets: { default: { stores: others } } }),
});

test('a backup has each store under its name, and a restore brings back exactly all of them', async () => {
  await fill();
  const before = await content();
  const environment = await freshEnvironment({ default: { stores } });
  const { record, archive } = await runBackup(environment, {}, { start: START });
  expect(record.stores).toEqual(['kv', 'kv_files', 'kv_other', 'config']);
  expect(record).toMatchObject({
    type: 'full',
    consistency: { grade: 'unchanged' },
    verification: { state: 'verified' },
    tallies: {
      kv: { 'keys:full_docs': { count: 30 } },
      kv_other: { 'keys:full_docs': { count: 20 } },
      kv_files: { 'keys:doc_status': { count: 1 }, files: { count: 2 } },
    },
    // Over all stores of the role.
    statistics: { documents: 50 },
  });
  expect(archive.manifest).toMatchObject({
    format_version: '1.1',
    storage_backends: { kv: { kind: 'redis' }, kv_files: { kind: 'files' }, kv_other: { kind: 'redis' } },
  });
  const folders = new Set<string>();
  for await (const { name } of archive.entries('')) folders.add(name.split('/')[0] ?? '');
  expect([...folders]).toEqual(['kv', 'kv_files', 'kv_other', 'config']);

  for (const prefix of [ONE, OTHER]) await empty(prefix);
  await redis.set(`${OTHER}full_docs:new`, '{}');
  await rm(join(folder, 'graph.graphml'));
  await writeFile(join(folder, 'kv_store_doc_status.json'), '{}');
  const { job_id } = await runRestore(environment, restoreOf(record.backup_id));
  const result = await closeRestore(environment, job_id);
  expect(result).toMatchObject({ verified: true, all_of_stores: true });
  expect(Object.keys(result.stores)).toEqual(['kv', 'kv_files', 'kv_other']);
  expect(await content()).toEqual(before);
});

test('a restore of one store leaves the others alone, even on the same server', async () => {
  await fill();
  const before = await content();
  const environment = await freshEnvironment({ default: { stores } });
  const { record } = await runBackup(environment, {}, { start: START });
  for (const prefix of [ONE, OTHER]) await redis.set(`${prefix}full_docs:0`, '"changed"');
  await writeFile(join(folder, 'graph.graphml'), 'changed');
  const changed = await content();
  const { job_id } = await runRestore(environment, restoreOf(record.backup_id, { stores: ['kv_other'] }));
  expect(Object.keys((await closeRestore(environment, job_id)).stores)).toEqual(['kv_other']);
  expect(await content()).toEqual({ ...changed, other: before.other });
});

test('a store that the target does not have is left out, and the archive does not decide what is cleared', async () => {
  await fill();
  const environment = await freshEnvironment({ default: { stores } });
  const { record } = await runBackup(environment, {}, { start: START });
  const smaller = withStores(environment, { kv: stores.kv, kv_logs: stores.kv_other });
  const before = await content();
  const { job_id } = await runRestore(smaller, restoreOf(record.backup_id));
  const { warnings, stores: inspected } = await readInspection(smaller.bucket, job_id);
  expect(inspected.map(({ store }) => store)).toEqual(['kv']);
  for (const name of ['kv_files', 'kv_other']) {
    expect(warnings).toContain(
      `the archive contains ${name}, which target "default" does not have: it is left out`,
    );
  }
  expect(await content()).toEqual(before);
});

test('an earlier archive with one store is restored into it, and nothing else is cleared', async () => {
  await fill();
  const alone = await freshEnvironment({ default: { stores: { kv: stores.kv } } });
  const { record, archive } = await runBackup(alone, {}, { start: START });
  expect(archive.manifest.format_version).toBe('1.0');
  const environment = withStores(alone, stores);
  const before = await content();
  await empty(ONE);
  await runRestore(environment, restoreOf(record.backup_id));
  expect(await content()).toEqual(before);
});

describe('requests for a part', () => {
  test('a subset is looked for in every store of its role, and must exist in one of them', async () => {
    await fill();
    await redis.set(`${OTHER}only_here:1`, '{}');
    const two = { kv: stores.kv, kv_other: stores.kv_other };
    const environment = await freshEnvironment({ default: { stores: two } });
    const { record } = await runBackup(
      environment,
      { only: { namespaces: ['only_here'] } },
      { start: START },
    );
    expect(record.stores).toEqual(['kv', 'kv_other']);
    expect(record.tallies).toMatchObject({ kv_other: { 'keys:only_here': { count: 1 } } });
    const missing = runBackup(environment, { only: { namespaces: ['nowhere'] } }, { start: START });
    await expect(missing).rejects.toThrow('The target holds no key of namespace "nowhere"');
  });

  test('stores are chosen by name', async () => {
    await fill();
    const environment = await freshEnvironment({ default: { stores } });
    const { record } = await runBackup(environment, { stores: ['kv_files'] }, { start: START });
    expect([record.type, record.stores]).toEqual(['partial', ['kv_files']]);
    const missing = runBackup(environment, { stores: ['kv_nothing'] }, { start: START });
    await expect(missing).rejects.toMatchObject({
      message: 'Target "default" has no store "kv_nothing".',
      remedy: 'Choose from: kv, kv_files, kv_other, config.',
    });
  });
});

test('a second backup carries the stores that did not change, each from its own folder', async () => {
  await fill();
  const environment = await freshEnvironment({ default: { stores } });
  const first = await runBackup(environment, {}, { start: START });
  await redis.set(`${NEIGHBOUR}full_docs:0`, '"changed"');
  const second = await runBackup(environment, {}, { start: new Date(START.getTime() + 3_600_000) });
  expect(second.record.tallies).toEqual(first.record.tallies);
  for (const name of ['kv', 'kv_other', 'kv_files'] as const) {
    const names = async ({ archive }: typeof first) => {
      const found: string[] = [];
      for await (const entry of archive.entries(`${name}/`)) found.push(entry.name);
      return found;
    };
    expect(await names(second)).toEqual(await names(first));
  }
});

test('a drill loads every store into a scratch place of its own, and leaves nothing', async () => {
  await fill();
  const two = { kv: stores.kv, kv_other: stores.kv_other };
  const environment = await freshEnvironment({ default: { stores: two } });
  const { record } = await runBackup(environment, {}, { start: START });
  const before = await content();
  const job_id = await runDrill(environment);
  expect(await readDrill(environment.bucket, job_id)).toMatchObject({
    verdict: 'passed',
    backup_id: record.backup_id,
    stores: {
      kv: { verified: true, removed: true, read_back: { 'keys:full_docs': { count: 30 } } },
      kv_other: { verified: true, removed: true, read_back: { 'keys:full_docs': { count: 20 } } },
    },
  });
  expect(await content()).toEqual(before);
});

test('a record is found in the store that has it, with the name of its entry in the archive', async () => {
  await fill();
  const environment = await freshEnvironment({ default: { stores } });
  const { archive } = await runBackup(environment, {}, { start: START });
  const found = [];
  const { signal } = new AbortController();
  for await (const record of findRecords(archive, { wanted: `${OTHER}full_docs:7`, signal }))
    found.push(record);
  expect(found).toMatchObject([{ store: 'kv_other', entry: 'kv_other/full_docs.json' }]);
});

describe('configurations that are refused', () => {
  test('two stores that could hold the same record: nothing is read', async () => {
    const both = { kv: stores.kv, kv_same: { ...stores.kv, scope: { prefix: `${ONE}full_docs:` } } };
    const environment = await freshEnvironment({ default: { stores: both } });
    await expect(runBackup(environment, {}, { start: START })).rejects.toThrow(
      'Invalid configuration: the stores kv and kv_same of target "default" overlap',
    );
  });

  test('several stores of a role of which the profile knows one', async () => {
    const environment = await freshEnvironment({ default: { profile: 'mem0', stores } });
    await expect(runBackup(environment, {}, { start: START })).rejects.toThrow(
      'Target "default" has several stores of the role "kv" (kv, kv_files, kv_other), but a system of profile "mem0" has one.',
    );
  });

  test.each(['graph_b', 'kv-b', 'kv_B', 'cache', 'config'])('the name %s', (name) => {
    const target = { stores: { [name]: { kind: 'redis', secret: 's' } } };
    expect(() => parseInput(TargetConfig, target, 'The target')).toThrow(
      'the name of a store must be "graph", "vectors", "kv", or a further store such as "kv_files"',
    );
  });

  test('more than eight stores, in a target and in an archive', () => {
    const names = Array.from({ length: 10 }, (_, number) => `kv_${number}`);
    const target = {
      stores: Object.fromEntries(names.map((name) => [name, { kind: 'redis', secret: 's' }])),
    };
    expect(() => parseInput(TargetConfig, target, 'The target')).toThrow('must not hold more than 8 stores');
    const backends = Object.fromEntries(names.map((name) => [name, { kind: 'redis' }]));
    expect(Manifest.shape.storage_backends.safeParse(backends).success).toBe(false);
  });
});
