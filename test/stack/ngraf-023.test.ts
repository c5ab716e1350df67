import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import { servers } from '../servers.ts';
import { type Prepared, prepareTrial, readTarget, settled } from './restore-trial.ts';

/** Packs a folder as NGRAF-023 does, whose archives contain `./` and have Python's order. */
const PACK = `
import json, sys, tarfile, os
folder, file = sys.argv[1:]
for name in os.listdir(folder + '/raw'):
    raw = json.load(open(f'{folder}/raw/{name}'))
    with open(f'{folder}/in/kv/{name}', 'w') as out:
        json.dump({key: json.loads(value) for key, value in raw.items()}, out, indent=2, default=str)
with tarfile.open(file, 'w:gz') as tar:
    tar.add(folder + '/in', arcname='.')
`;

let prepared: Prepared;
let redis: Redis;
let script: string;
let keys: Record<string, string>;
/** The archive of NGRAF-023 for the target at the start of the test, with a script of APOC as its graph. */
let pack: (script: string) => Promise<Buffer>;

async function readKeys(): Promise<Record<string, string>> {
  const names = await redis.keys('nano_graphrag:*');
  return Object.fromEntries(await Promise.all(names.sort().map(async (key) => [key, await redis.get(key)])));
}

async function downloadSnapshot(collection: string): Promise<Buffer> {
  const { url, apiKey } = servers.qdrant;
  const call = (path: string, method: string) =>
    fetch(`${url}/collections/${collection}/snapshots${path}`, { method, headers: { 'api-key': apiKey } });
  const { result } = (await (await call('', 'POST')).json()) as { result: { name: string } };
  const bytes = Buffer.from(await (await call(`/${result.name}`, 'GET')).arrayBuffer());
  await call(`/${result.name}`, 'DELETE');
  return bytes;
}

beforeAll(async () => {
  redis = new Redis(servers.redis.url, { password: servers.redis.password });
  const fixture = new URL('../stores/neo4j/script/with-constraint.cypher', import.meta.url);
  script = (await readFile(fixture, 'utf8')).replaceAll('GraphRAG_script', 'GraphRAG_default');
  prepared = await prepareTrial();
  keys = await readKeys();
  const namespaces = Map.groupBy(Object.entries(keys), ([key]) => key.split(':')[1] ?? '');
  const snapshots: { name: string; bytes: Buffer }[] = [];
  for (const name of ['entities', 'chunks']) snapshots.push({ name, bytes: await downloadSnapshot(name) });
  pack = async (dump) => {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-ngraf-'));
    try {
      for (const name of ['raw', 'in/kv', 'in/graph', 'in/qdrant', 'in/config']) {
        await mkdir(join(folder, name), { recursive: true });
      }
      for (const [namespace, entries] of namespaces) {
        const bare = entries.map(([key, value]) => [key.split(':').slice(2).join(':'), value]);
        await writeFile(join(folder, `raw/${namespace}.json`), JSON.stringify(Object.fromEntries(bare)));
      }
      for (const { name, bytes } of snapshots)
        await writeFile(join(folder, `in/qdrant/${name}.snapshot`), bytes);
      await writeFile(join(folder, 'in/graph/neo4j.dump'), dump);
      await writeFile(join(folder, 'in/config/graphrag_config.json'), '{}');
      const manifest = {
        backup_id: 'snapshot_2025-10-06T14-30-00Z',
        created_at: '2025-10-06 14:30:00.123456+00:00',
        nano_graphrag_version: '0.0.8.2',
        storage_backends: { graph: 'neo4j', vector: 'qdrant', kv: 'redis' },
        statistics: { entities: 50, relationships: 51 },
        checksum: 'sha256:of something else',
      };
      await writeFile(join(folder, 'in/manifest.json'), JSON.stringify(manifest));
      execFileSync('python3', ['-c', PACK, folder, join(folder, 'x.ngbak')]);
      return await readFile(join(folder, 'x.ngbak'));
    } finally {
      await rm(folder, { recursive: true });
    }
  };
  // The target has other contents when the archives arrive.
  const { trial, before } = prepared;
  const job = await trial.stack.restoreByUpload(trial.target, before.archive);
  expect(job.error).toBeUndefined();
  await settled(trial, job.job_id);
});

afterAll(async () => {
  await redis.quit();
  await prepared.remove();
});

/** The contents of a target with matching names. */
function partsOf(held: Awaited<ReturnType<typeof readTarget>>, pattern: RegExp) {
  return Object.fromEntries(Object.entries(held.parts).filter(([name]) => pattern.test(name)));
}

const GRAPH = /node|relationship/;
const VECTORS = /point/;

describe('an archive of NGRAF-023', () => {
  test.each([
    ['deletes', 'MATCH (n) DETACH DELETE n;'],
    ['calls a procedure', "CALL apoc.load.json('http://127.0.0.1/') YIELD value RETURN value;"],
    [
      'computes',
      'UNWIND [{id:randomUUID(), properties:{}}] AS row\nCREATE (n:L{id: row.id}) SET n += row.properties;',
    ],
  ])('whose script %s is refused with the line, and the target is unchanged', async (_name, statement) => {
    const { trial, before } = prepared;
    const archive = await pack(script.replace(/:begin\nUNWIND/, `:begin\n${statement}\nUNWIND`));
    const job = await trial.stack.restoreByUpload(trial.target, archive, { cypher_script: true });
    expect(job.state).toBe('failed');
    expect(job.error?.message).toMatch(/graph\/neo4j\.dump, line 12: .*Nothing of the script is executed/s);
    expect(await settled(trial, job.job_id)).toEqual([]);
    expect(await readTarget(trial)).toEqual(before.held);
  });

  test('restores vectors and key-value data, and does not touch the graph unless its script is requested', async () => {
    const { trial, before, now } = prepared;
    const job = await trial.stack.restoreByUpload(trial.target, await pack(script));
    expect({ state: job.state, error: job.error }).toEqual({ state: 'completed', error: undefined });
    expect(await settled(trial, job.job_id)).toEqual([]);
    const held = await readTarget(trial);
    expect(partsOf(held, GRAPH)).toEqual(partsOf(before.held, GRAPH));
    expect(partsOf(held, VECTORS)).toEqual(partsOf(now.held, VECTORS));
    expect(await readKeys()).toEqual(keys);
  });

  test('restores the whole graph from its script', async () => {
    const { trial, now } = prepared;
    const begun = Date.now();
    const job = await trial.stack.restoreByUpload(trial.target, await pack(script), {
      cypher_script: true,
      default_expiries: 'from-restore',
    });
    expect({ state: job.state, error: job.error }).toEqual({ state: 'completed', error: undefined });
    expect(await settled(trial, job.job_id)).toEqual([]);
    const hours = { llm_response_cache: 12, community_reports: 24 };
    for (const key of await redis.keys('nano_graphrag:*')) {
      const [, namespace] = key.split(':');
      const expected = hours[namespace as keyof typeof hours];
      const left = (await redis.pexpiretime(key)) - begun;
      if (expected === undefined) expect(left).toBeLessThan(0);
      else expect(left / 3_600_000).toBeCloseTo(expected, 1);
    }
    const { uri, username, password } = servers.neo4j;
    const driver = neo4j.driver(uri, neo4j.auth.basic(username, password), { disableLosslessIntegers: true });
    try {
      const { records } = await driver.executeQuery(
        `MATCH (n:GraphRAG_default) OPTIONAL MATCH (n)-[r]->()
         WITH count(DISTINCT n) AS nodes, count(r) AS relationships
         MATCH (alice:GraphRAG_default:PERSON {id: '"ALICE"'})-[r:RELATED {weight: 1.0}]->({id: '"BOB"'})
         RETURN nodes, relationships, alice.description AS description, r.relation_type AS type`,
      );
      expect(records.map((record) => record.toObject())).toEqual([
        { nodes: 50, relationships: 51, description: 'line one\nline two; and `more`', type: 'KNOWS' },
      ]);
    } finally {
      await driver.close();
    }
    expect(partsOf(await readTarget(trial), VECTORS)).toEqual(partsOf(now.held, VECTORS));
    expect(await readKeys()).toEqual(keys);
  });
});
