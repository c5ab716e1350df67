import neo4j, { type QueryResult } from 'neo4j-driver';
import type { Layout } from '../knowledge-base/layout.ts';
import { type Connections, connectRedis } from '../knowledge-base/load.ts';
import { askQdrant } from '../knowledge-base/qdrant.ts';
import { formatCount } from './screen.ts';

/**
 * Damages all three stores in every way that the proof must detect: missing, changed and additional records, and
 * missing structure. Returns a description of the damage, in lines.
 */
export async function damageEverything(connections: Connections, layout: Layout): Promise<string[]> {
  const done = await Promise.all([
    damageGraph(connections.neo4j, layout.label),
    damageVectors(connections.qdrant, layout.collections),
    damageKeys(connections.redis, layout.keyPrefix),
  ]);
  return done.flat();
}

async function damageGraph(connection: Connections['neo4j'], name: string): Promise<string[]> {
  const driver = neo4j.driver(connection.uri, neo4j.auth.basic(connection.username, connection.password));
  const label = `\`${name}\``;
  const run = (statement: string): Promise<QueryResult> =>
    driver.executeQuery(
      statement,
      {},
      connection.database === undefined ? {} : { database: connection.database },
    );
  try {
    const { records } = await run('SHOW CONSTRAINTS YIELD name, labelsOrTypes');
    const constraints = records.filter((row) => (row.get('labelsOrTypes') as string[]).includes(name));
    for (const row of constraints) await run(`DROP CONSTRAINT \`${row.get('name')}\``);
    const deleted = await run(`MATCH (n:${label}:PACKAGE) DETACH DELETE n RETURN count(*) AS count`);
    const rewritten = await run(
      `MATCH (n:${label}:KEYWORD) SET n.description = 'lost', n.communityIds = [1.0] REMOVE n:KEYWORD
       RETURN count(*) AS count`,
    );
    await run(`CREATE (:${label}:INTRUDER {id: '"INTRUDER"'})`);
    return [
      `Neo4j   deleted ${countOf(deleted)} packages with every relationship, dropped the constraint,`,
      `        rewrote ${countOf(rewritten)} keywords and removed their label, added an intruder`,
    ];
  } finally {
    await driver.close();
  }
}

function countOf(result: { records: { get(name: string): unknown }[] }): string {
  return formatCount(Number(result.records[0]?.get('count') ?? 0));
}

async function damageVectors(
  connection: Connections['qdrant'],
  collections: Layout['collections'],
): Promise<string[]> {
  const ask = (method: string, path: string, body?: string) =>
    askQdrant(connection, { method, path, ...(body === undefined ? {} : { body }) });
  await ask('DELETE', `/collections/${collections.chunks}`);
  const points = `/collections/${collections.entities}/points`;
  const page = await ask(
    'POST',
    `${points}/scroll`,
    '{"limit":200,"with_payload":false,"with_vector":false}',
  );
  // Taken from the text: JSON.parse does not preserve 64-bit ids.
  const ids = [...page.matchAll(/"id":(\d+)/g)].map((match) => match[1] ?? '');
  const third = Math.ceil(ids.length / 3);
  const deletedIds = ids.slice(0, third);
  const changed = ids.slice(third, 2 * third);
  const emptied = ids.slice(2 * third);
  await ask('POST', `${points}/delete?wait=true`, `{"points":[${deletedIds}]}`);
  const noise = `[${Array.from({ length: 384 }, (_, at) => ((at % 7) - 3) / 10)}]`;
  const vectors = changed.map((id) => `{"id":${id},"vector":{"dense":${noise}}}`);
  await ask('PUT', `${points}/vectors?wait=true`, `{"points":[${vectors}]}`);
  await ask('PUT', `${points}/payload?wait=true`, `{"points":[${emptied}],"payload":{"entity_name":"lost"}}`);
  return [
    `Qdrant  deleted collection "${collections.chunks}" and ${deletedIds.length} points of "${collections.entities}",`,
    `        overwrote ${changed.length} vectors and ${emptied.length} payloads`,
  ];
}

async function damageKeys(connection: Connections['redis'], prefix: string): Promise<string[]> {
  const redis = connectRedis(connection);
  const each = async (namespace: string, damage: (keys: string[]) => Promise<unknown>): Promise<string> => {
    let count = 0;
    for await (const keys of redis.scanStream({ match: `${prefix}:${namespace}:*`, count: 500 })) {
      if (keys.length > 0) await damage(keys);
      count += keys.length;
    }
    return formatCount(count);
  };
  try {
    const deleted = await each('full_docs', (keys) => redis.del(keys));
    const changed = await each('text_chunks', (keys) =>
      redis.mset(Object.fromEntries(keys.map((key) => [key, '{}']))),
    );
    const kept = await each('llm_response_cache', (keys) =>
      Promise.all(keys.map((key) => redis.persist(key))),
    );
    const retyped = await each('community_reports', async (keys) => {
      await redis.del(keys);
      await Promise.all(keys.map((key) => redis.rpush(key, 'lost')));
    });
    await redis.set(`${prefix}:full_docs:doc-intruder`, '{"content": "intruder"}');
    return [
      `Redis   deleted ${deleted} documents, overwrote ${changed} chunks, removed the expiry time of ${kept} answers,`,
      `        turned ${retyped} reports into lists, added an intruder`,
    ];
  } finally {
    redis.disconnect();
  }
}
