/** The knowledge bases of the demo in the layouts of other systems: written, damaged, restored, and proven. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { RunningSystem } from '../../local/demo/system.ts';
import { lightragIn } from '../../local/demo/systems/lightrag-pg.ts';
import { projectIn } from '../../local/demo/systems/ms-graphrag.ts';
import type { Blueprint } from '../../local/knowledge-base/blueprint.ts';
import { compareProofs } from '../../local/proof/proof.ts';
import { profileScopes } from '../../shared/profiles/profiles.ts';
import { findAdapter } from '../../shared/stores/registry.ts';
import { describeUnless, pythonOlderThan } from '../conditions.ts';
import { smallBlueprint } from '../knowledge-base/small.ts';
import { servers } from '../servers.ts';
import { exportAll, restoreAll } from '../stores/memory-archive.ts';
import { plainDriver, run } from '../stores/neo4j/graph.ts';
import { OwnPostgres } from '../stores/postgres/own-server.ts';

// A deadline for hangs: the first time, the packages are installed.

type Base = Omit<RunningSystem, 'stack'>;
interface Target {
  profile: string;
  parameters?: Record<string, string>;
  stores: Record<'graph' | 'kv', { kind: string }>;
}

let folder: string;
let blueprint: Blueprint;
const view = { line: () => undefined, live: () => undefined, log: () => undefined };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-demo-systems-'));
  await mkdir(join(folder, 'logs'));
  blueprint = await smallBlueprint();
});
afterAll(() => rm(folder, { recursive: true }));

/** Loads two copies, saves, damages and restores them store by store; returns the reading from before. */
async function expectRestored(base: Base, name: string) {
  await mkdir(join(folder, name));
  const signal = new AbortController().signal;
  const counts = await base.load({ scale: 2, folder: join(folder, name), view, signal, blueprint });
  expect(counts.entities).toBe(2 * blueprint.entities.length);
  const read = (when: string) => base.read(join(folder, `${name}-${when}`));
  const before = await read('before');
  const { profile, parameters = {}, stores } = base.target as Target;
  const scopes = profileScopes(profile, parameters, stores.kv.kind);
  const opened = (['graph', 'kv'] as const)
    .filter((store) => stores[store] !== undefined)
    .map((store) => {
      const adapter = findAdapter(stores[store].kind, store);
      const [connection, scope] = [
        adapter.Connection.parse(base.secrets[store]),
        adapter.Scope.parse(scopes[store]),
      ];
      return () => adapter.create(connection, scope, { target: 'test' });
    });
  const archives = [];
  for (const open of opened) archives.push({ open, ...(await exportAll(open)) });
  expect(await compareProofs(before, await read('saved'))).toMatchObject({ identical: true });

  const done = await base.damage();
  expect(done.length).toBeGreaterThanOrEqual(2);
  const damaged = await compareProofs(before, await read('damaged'));
  expect(damaged.total).toBeGreaterThan(5);
  for (const { open, archive } of archives)
    expect(await restoreAll(open, archive)).toMatchObject({ differences: 0, samples: [] });
  const after = await read('after');
  expect(await compareProofs(before, after)).toMatchObject({ identical: true, differences: [] });
  expect(after.parts).toEqual(before.parts);
  return { before, damaged };
}

it('LightRAG in PostgreSQL and Neo4j is restored exactly, according to the independent proof', async () => {
  const postgres = await OwnPostgres.start();
  const driver = plainDriver(servers.neo4j);
  const workspace = `demo${randomBytes(4).toString('hex')}`;
  try {
    const base = lightragIn(
      { postgres: postgres.address, neo4j: servers.neo4j },
      workspace,
      join(folder, 'logs'),
    );
    const { before, damaged } = await expectRestored(base, 'lightrag');
    const { entities, chunks, documents, relationships } = blueprint;
    const pairs = new Set(relationships.map(({ from, to }) => [from, to].sort((a, b) => a - b).join(' ')))
      .size;
    expect(
      Object.fromEntries(Object.entries(before.parts).map(([name, { count }]) => [name, count])),
    ).toMatchObject({
      nodes: 2 * entities.length,
      relationships: 2 * pairs,
      'rows lightrag_doc_full': 2 * documents.length,
      'rows lightrag_doc_status': 2 * documents.length,
      'rows lightrag_doc_chunks': 2 * chunks.length,
      'rows lightrag_vdb_chunks_ngrams_384d': 2 * chunks.length,
      'rows lightrag_vdb_entity_ngrams_384d': 2 * entities.length,
      'rows lightrag_vdb_relation_ngrams_384d': 2 * relationships.length,
    });
    expect(damaged.parts.tables).toMatchObject({ missing: 1 });
    await expect(base.refuseFilled()).rejects.toThrow(/\d+ nodes in Neo4j, \d+ tables in PostgreSQL/);
  } finally {
    await run(driver, `MATCH (n:\`${workspace}\`) DETACH DELETE n`);
    const indexes = await run(
      driver,
      'SHOW INDEXES YIELD name, labelsOrTypes WHERE $label IN labelsOrTypes',
      {
        label: workspace,
      },
    );
    for (const { name } of indexes) await run(driver, `DROP INDEX \`${name}\``);
    await driver.close();
    await postgres.stop();
  }
});

describeUnless(pythonOlderThan(3, 11), 'Microsoft GraphRAG', () => {
  it('in S3 is restored exactly, according to the independent proof', async () => {
    const base = projectIn(`demo-${randomBytes(6).toString('hex')}`, join(folder, 'logs'));
    const { before, damaged } = await expectRestored(base, 'ms-graphrag');
    expect(Object.keys(before.parts)).toEqual([
      'files .',
      'files cache/community_reporting',
      'files input',
      'files output',
      'files output/lancedb',
      'files prompts',
    ]);
    expect(before.parts['files output']?.count).toBe(8);
    expect(damaged.differences.map(({ problem }) => problem)).toEqual(
      expect.arrayContaining(['is missing', 'was not there before', 'content is different']),
    );
  });
});
