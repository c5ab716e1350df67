import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import type { Connections } from '../../local/knowledge-base/load.ts';

/** The names of everything on three servers, so that nothing of a job remains unnoticed: see {@link listServers}. */
export interface Inventory {
  /** Counts by label, over all nodes; `(none)` for nodes without any. */
  readonly labels: Record<string, number>;
  readonly relationships: number;
  readonly constraints: readonly string[];
  readonly indexes: readonly string[];
  /** Number of points of each collection. */
  readonly collections: Record<string, number>;
  readonly aliases: readonly string[];
  readonly snapshots: readonly string[];
  /** Counts of keys by their prefix before the first colon. */
  readonly keys: Record<string, number>;
}

/** Lists the contents of all three servers, of any target: labels, schema, collections, aliases, snapshots, keys. */
export async function listServers(connections: Connections): Promise<Inventory> {
  const [graph, vectors, keys] = await Promise.all([
    listGraph(connections.neo4j),
    listVectors(connections.qdrant),
    listKeys(connections.redis),
  ]);
  return { ...graph, ...vectors, keys };
}

async function listGraph({ uri, username, password }: Connections['neo4j']) {
  const driver = neo4j.driver(uri, neo4j.auth.basic(username, password), { disableLosslessIntegers: true });
  const rows = async (query: string) =>
    (await driver.executeQuery(query)).records.map((record) => record.toObject());
  try {
    const labels = await rows(
      `MATCH (n) UNWIND CASE labels(n) WHEN [] THEN ['(none)'] ELSE labels(n) END AS label
       RETURN label, count(*) AS count ORDER BY label`,
    );
    const [counted] = await rows('MATCH ()-[r]->() RETURN count(r) AS count');
    return {
      labels: Object.fromEntries(labels.map(({ label, count }) => [label, count])),
      relationships: Number(counted?.count),
      constraints: (await rows('SHOW CONSTRAINTS YIELD name ORDER BY name')).map(({ name }) => String(name)),
      indexes: (await rows('SHOW INDEXES YIELD name ORDER BY name')).map(({ name }) => String(name)),
    };
  } finally {
    await driver.close();
  }
}

async function listVectors({ url, api_key }: Connections['qdrant']) {
  const get = async (path: string): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${url}${path}`, { headers: { 'api-key': api_key ?? '' } });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status}`);
    return ((await answer.json()) as { result: Record<string, unknown> }).result;
  };
  const all = async (path: string, key: string) => (await get(path))[key] as Record<string, string>[];
  const collections: Record<string, number> = {};
  const snapshots: string[] = [];
  for (const name of (await all('/collections', 'collections')).map((each) => String(each.name)).sort()) {
    const path = `/collections/${encodeURIComponent(name)}`;
    collections[name] = Number((await get(path)).points_count);
    const taken = (await get(`${path}/snapshots`)) as unknown as { name: string }[];
    snapshots.push(...taken.map((snapshot) => `${name}/${snapshot.name}`));
  }
  const aliases = (await all('/aliases', 'aliases')).map(
    (alias) => `${alias.alias_name} → ${alias.collection_name}`,
  );
  return { collections, aliases: aliases.sort(), snapshots };
}

async function listKeys({ url, password }: Connections['redis']) {
  const redis = new Redis(url, password === undefined ? {} : { password });
  const counts: Record<string, number> = {};
  try {
    const keys = new Set<string>();
    for await (const page of redis.scanStream({ count: 1000 })) for (const key of page) keys.add(key);
    for (const prefix of [...keys].map((key) => key.split(':')[0] ?? '').sort())
      counts[prefix] = (counts[prefix] ?? 0) + 1;
  } finally {
    redis.disconnect();
  }
  return counts;
}
