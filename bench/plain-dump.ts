/**
 * A simple script to save a graph or the keys of a server: lines of JSON on standard output, without digests, cursors
 * or checks. `node bench/plain-dump.ts graph` or `keys`; addresses in NEO4J_URI, NEO4J_PASSWORD, REDIS_URL, REDIS_PASSWORD.
 */
import { once } from 'node:events';
import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';

const KEYS = 1000;
const { NEO4J_URI = '', NEO4J_PASSWORD = '', REDIS_URL = '', REDIS_PASSWORD = '' } = process.env;

async function write(lines: readonly string[]): Promise<void> {
  if (lines.length > 0 && !process.stdout.write(`${lines.join('\n')}\n`)) await once(process.stdout, 'drain');
}

async function dumpGraph(): Promise<void> {
  const driver = neo4j.driver(NEO4J_URI, neo4j.auth.basic('neo4j', NEO4J_PASSWORD), {
    disableLosslessIntegers: true,
  });
  const session = driver.session();
  const queries = [
    'MATCH (n) RETURN labels(n) AS labels, properties(n) AS properties',
    'MATCH (a)-[r]->(b) RETURN type(r) AS type, properties(r) AS properties, a.id AS start, b.id AS end',
  ];
  for (const query of queries) {
    let lines: string[] = [];
    for await (const record of session.run(query)) {
      lines.push(JSON.stringify(record.toObject()));
      if (lines.length < 1000) continue;
      await write(lines);
      lines = [];
    }
    await write(lines);
  }
  await driver.close();
}

async function dumpKeys(): Promise<void> {
  const redis = new Redis(REDIS_URL, { password: REDIS_PASSWORD });
  for (let cursor = '0'; ; ) {
    const [next, keys] = await redis.scan(cursor, 'COUNT', KEYS);
    const pipeline = redis.pipeline();
    for (const key of keys) pipeline.dumpBuffer(key).pttl(key);
    const answers = (await pipeline.exec()) ?? [];
    await write(
      keys.map((key, index) => {
        const value = answers[2 * index]?.[1] as Buffer;
        return JSON.stringify({ key, ttl: answers[2 * index + 1]?.[1], value: value.toString('base64') });
      }),
    );
    if (next === '0') break;
    cursor = next;
  }
  redis.disconnect();
}

await (process.argv[2] === 'graph' ? dumpGraph() : dumpKeys());
