import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j, { type Driver } from 'neo4j-driver';
import { catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { NIGHTLY } from '../nightly.ts';
import { servers } from '../servers.ts';
import { BusyModel, isOdd } from './busy-model.ts';
import { type Names, removeTargetWithSchema, SCRATCH } from './content.ts';
import { deployedStack } from './harness.ts';

/** Backups during writes to all stores, each restored under other names. */
const BACKUPS = NIGHTLY ? 200 : 2;
const COPY: Names = { label: 'BusyCopy', collection: 'busy_copy', prefix: 'busy-copy:' };
const RENAME = {
  label: COPY.label,
  key_prefix: COPY.prefix,
  collections: { [SCRATCH.collection]: COPY.collection },
};
/** Elements of large keys: more than one command reads. */
const ITEMS = 600;
/** Entries after which a stream or text starts over. */
const GROWN = 300;
/** Interval between steps, in milliseconds: the test is about interleaving, not about load. */
const PACE_MS = 15;
/** Constraints and indexes are created and dropped more slowly: each has to be populated. */
const SCHEMA_PACE_MS = 20 * PACE_MS;
/** Places of a moving item. */
const RING = 5;
const ALIAS = 'scratch_alias';
const FAR = 4_102_444_800_000;

let driver: Driver;
let redis: Redis;
let model: BusyModel;

async function qdrant(method: string, path: string, body?: object): Promise<{ result?: unknown }> {
  const { url, apiKey } = servers.qdrant;
  const headers = { 'api-key': apiKey, 'content-type': 'application/json' };
  const answer = await fetch(`${url}${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as { result?: unknown };
}

const cypher = async (query: string, parameters: object = {}) =>
  (await driver.executeQuery(query, parameters)).records.map((record) => record.toObject());

beforeAll(async () => {
  const { uri, username, password } = servers.neo4j;
  driver = neo4j.driver(uri, neo4j.auth.basic(username, password), { disableLosslessIntegers: true });
  redis = new Redis(servers.redis.url, { password: servers.redis.password });
  await removeTargetWithSchema(COPY);
  await removeTargetWithSchema(SCRATCH);
  await qdrant('PUT', `/collections/${SCRATCH.collection}`, { vectors: { size: 4, distance: 'Dot' } });
  model = new BusyModel();
  await startKeys();
  await startGraph();
  await startPoints();
});

afterAll(async () => {
  await model.stop();
  await driver.close();
  redis.disconnect();
  await removeTargetWithSchema(COPY);
  await removeTargetWithSchema(SCRATCH);
});

const items = (step: number) => Array.from({ length: ITEMS }, (_, index) => `${step}.${index}`);

async function startKeys(): Promise<void> {
  const own = (name: string) => `${SCRATCH.prefix}${name}`;
  const key = (name: string, apply: (step: number) => Promise<unknown>, options = {}) =>
    model.start(`key ${name}`, PACE_MS, apply, options);
  // Overwritten with a value of equal length.
  await key('text', (step) => redis.set(own('text'), String(step).padStart(8, '0').repeat(25_000)));
  await key('appended', (step) =>
    step % GROWN === 0 ? redis.set(own('appended'), `${step}|`) : redis.append(own('appended'), `${step}|`),
  );
  await key('rotated', (step) =>
    step % GROWN === 0
      ? redis
          .multi()
          .del(own('rotated'))
          .rpush(own('rotated'), ...items(step))
          .exec()
      : redis.rpoplpush(own('rotated'), own('rotated')),
  );
  await key('hash', (step) => redis.hset(own('hash'), ...items(0).flatMap((field) => [field, String(step)])));
  await key('zset', (step) =>
    redis.zadd(own('zset'), ...items(0).flatMap((member) => [String(step), member])),
  );
  await key('set', (step) =>
    redis
      .multi()
      .del(own('set'))
      .sadd(own('set'), ...items(step))
      .exec(),
  );
  await key('stream', async (step) => {
    const work = redis.multi();
    if (step % GROWN === 0) work.del(own('stream')).xgroup('CREATE', own('stream'), 'g', '$', 'MKSTREAM');
    await work
      .xadd(own('stream'), `${step + 1}-0`, 'step', step)
      .xreadgroup('GROUP', 'g', 'c', 'STREAMS', own('stream'), '>')
      .exec();
  });
  await key(
    'fleeting',
    (step) =>
      isOdd(step)
        ? redis.unlink(own('fleeting'))
        : redis.set(own('fleeting'), `{"step": ${step}}`, 'PXAT', FAR + step),
    { isAbsent: isOdd },
  );
  await key('retyped', (step) =>
    isOdd(step)
      ? redis.set(own('retyped'), String(step))
      : redis
          .multi()
          .del(own('retyped'))
          .rpush(own('retyped'), ...items(step))
          .exec(),
  );
  await key('expiring', (step) => redis.set(own('expiring'), String(step), 'PX', 400), { mayVanish: true });
}

async function startGraph(): Promise<void> {
  const { label } = SCRATCH;
  await cypher(`CREATE (a:${label} {id: 'a', step: 0})-[:CHANGES {step: 0}]->(:${label} {id: 'b', step: 0})`);
  for (const id of ['a', 'b']) {
    await model.start(`node ${id}`, PACE_MS, (step) =>
      cypher(`MATCH (n:${label} {id: $id}) SET n.step = $step`, { id, step }),
    );
  }
  await model.start('relationship', PACE_MS, (step) =>
    cypher(`MATCH (:${label} {id: 'a'})-[r:CHANGES]->() SET r.step = $step`, { step }),
  );
  await model.start(
    'node fleeting',
    PACE_MS,
    (step) =>
      isOdd(step)
        ? cypher(`MATCH (n:${label} {id: 'fleeting'}) DETACH DELETE n`)
        : cypher(`CREATE (:${label} {id: 'fleeting', step: $step})`, { step }),
    { isAbsent: isOdd },
  );
  // Neo4j reuses the internal IDs of deleted nodes.
  await model.append('node appended ', PACE_MS, 30, (number, step) =>
    step === 0
      ? cypher(`MATCH (a:${label} {id: 'a'}) CREATE (:${label} {id: $id, step: 0})-[:OF]->(a)`, {
          id: `appended ${number}`,
        })
      : cypher(`MATCH (n:${label} {id: $id}) DETACH DELETE n`, { id: `appended ${number}` }),
  );
  // Overwritten with a value of equal length, and with one that is stored in many pieces.
  await cypher(`CREATE (:${label} {id: 'text', text: '', list: []})`);
  await model.start('node text', PACE_MS, (step) =>
    cypher(`MATCH (n:${label} {id: 'text'}) SET n.text = $text`, {
      text: String(step).padStart(8, '0').repeat(8000),
    }),
  );
  await model.start('node list', PACE_MS, (step) =>
    cypher(`MATCH (n:${label} {id: 'text'}) SET n.list = [i IN range(1, ${ITEMS}) | $step]`, { step }),
  );
  await cypher(`UNWIND range(0, ${RING - 1}) AS i CREATE (:${label} {id: 'ring ' + i, step: 0})`);
  await model.rotate('relationship to ring ', PACE_MS, RING, ({ place, step }, from) =>
    cypher(
      `MATCH (a:${label} {id: 'a'}), (n:${label} {id: $to})
       OPTIONAL MATCH (a)-[old:AT]->(:${label} {id: $from}) DELETE old
       CREATE (a)-[:AT {step: $step}]->(n)`,
      { to: `ring ${place}`, from: `ring ${from}`, step },
    ),
  );
  // The driver repeats a statement after a conflict; its earlier effects already exist.
  await model.start(
    'index',
    SCHEMA_PACE_MS,
    (step) =>
      cypher(
        isOdd(step)
          ? `DROP INDEX busy_index_${step - 1} IF EXISTS`
          : `CREATE INDEX busy_index_${step} IF NOT EXISTS FOR (n:${label}) ON (n.step)`,
      ),
    { isAbsent: isOdd },
  );
  await model.start(
    'constraint',
    SCHEMA_PACE_MS,
    async (step) => {
      if (isOdd(step)) return cypher(`DROP CONSTRAINT busy_constraint_${step - 1} IF EXISTS`);
      const create = `CREATE CONSTRAINT busy_constraint_${step} IF NOT EXISTS FOR (n:${label}) REQUIRE n.unique IS UNIQUE`;
      try {
        return await cypher(create);
      } catch (error) {
        // Neo4j populates an index first. A conflict in between, after which the driver repeats the statement, leaves
        // it.
        if (!String(error).includes('already exists an index')) throw error;
        await cypher(`DROP INDEX busy_constraint_${step} IF EXISTS`);
        return cypher(create);
      }
    },
    { isAbsent: isOdd },
  );
}

async function startPoints(): Promise<void> {
  const path = `/collections/${SCRATCH.collection}/points`;
  const put = (id: number, step: number) =>
    qdrant('PUT', `${path}?wait=true`, {
      points: [{ id, vector: [step, step / 2, -step, 1], payload: { step } }],
    });
  const drop = (id: number) => qdrant('POST', `${path}/delete?wait=true`, { points: [id] });
  for (const id of [1, 2]) await model.start(`point ${id}`, PACE_MS, (step) => put(id, step));
  await model.start('point 3', PACE_MS, (step) => (isOdd(step) ? drop(3) : put(3, step)), {
    isAbsent: isOdd,
  });
  await model.rotate('point 2', PACE_MS, RING, async ({ place, step }, from) => {
    const at = (ring: number) => Number(`2${ring}`);
    const point = { id: at(place), vector: [step, step / 2, -step, 1], payload: { step } };
    await qdrant('POST', `${path}/batch?wait=true`, {
      operations: [
        { upsert: { points: [point] } },
        ...(from === undefined ? [] : [{ delete: { points: [at(from)] } }]),
      ],
    });
  });
  // Schema: a payload index, and an alias.
  await model.start(
    'payload index',
    SCHEMA_PACE_MS,
    (step) =>
      isOdd(step)
        ? qdrant('DELETE', `/collections/${SCRATCH.collection}/index/field_${step - 1}?wait=true`, {})
        : qdrant('PUT', `/collections/${SCRATCH.collection}/index?wait=true`, {
            field_name: `field_${step}`,
            field_schema: 'integer',
          }),
    { isAbsent: isOdd },
  );
  await model.start(
    'alias',
    SCHEMA_PACE_MS,
    (step) =>
      qdrant('POST', '/collections/aliases', {
        actions: [
          isOdd(step)
            ? { delete_alias: { alias_name: ALIAS } }
            : { create_alias: { collection_name: SCRATCH.collection, alias_name: ALIAS } },
        ],
      }),
    { isAbsent: isOdd },
  );
  await model.append('point 10', PACE_MS, 30, (number, step) =>
    step === 0 ? put(Number(`10${number}`), 0) : drop(Number(`10${number}`)),
  );
}

/** The only value of a list; undefined if there are several. */
function only<T>(values: readonly T[]): T | undefined {
  return new Set(values).size === 1 ? values[0] : undefined;
}

const numberOf = (text: string | undefined) => (text === undefined || text === '' ? null : Number(text));

/** Determines the step of a key from its content: null for a content that never existed. */
const KEYS: Record<string, (key: string) => Promise<number | null>> = {
  text: async (key) => numberOf(only((await redis.get(key))?.match(/.{8}/g) ?? [])),
  appended: async (key) => {
    const steps = ((await redis.get(key)) ?? '').split('|').slice(0, -1).map(Number);
    const first = steps[0] ?? -1;
    const isRow = steps.every((step, index) => step === first + index) && first % GROWN === 0;
    return isRow ? (steps.at(-1) ?? null) : null;
  },
  rotated: async (key) => {
    const list = await redis.lrange(key, 0, -1);
    const [first = ''] = list[0]?.split('.') ?? [];
    const rotation = list.indexOf(`${first}.0`);
    const isRotated = list.every((item, at) => item === `${first}.${(at - rotation + ITEMS) % ITEMS}`);
    return isRotated && list.length === ITEMS ? Number(first) + rotation : null;
  },
  hash: async (key) => numberOf((await redis.hlen(key)) === ITEMS ? only(await redis.hvals(key)) : undefined),
  zset: async (key) => {
    const scores = (await redis.zrange(key, 0, '-1', 'WITHSCORES')).filter((_, index) => isOdd(index));
    return numberOf(scores.length === ITEMS ? only(scores) : undefined);
  },
  set: async (key) => {
    const members = await redis.smembers(key);
    return numberOf(
      members.length === ITEMS ? only(members.map((member) => member.split('.')[0])) : undefined,
    );
  },
  stream: async (key) => {
    const ids = (await redis.xrange(key, '-', '+')).map(([id]) => Number.parseInt(id, 10) - 1);
    const [pending] = (await redis.xpending(key, 'g')) as [number];
    const first = ids[0] ?? -1;
    const isRow = ids.every((id, index) => id === first + index) && first % GROWN === 0;
    return isRow && pending === ids.length ? (ids.at(-1) ?? null) : null;
  },
  fleeting: async (key) => {
    const { step } = JSON.parse((await redis.get(key)) ?? '{}') as { step: number };
    return (await redis.pexpiretime(key)) === FAR + step ? step : null;
  },
  retyped: async (key) => {
    if ((await redis.type(key)) === 'string') return numberOf((await redis.get(key)) ?? undefined);
    const list = await redis.lrange(key, 0, -1);
    return numberOf(list.length === ITEMS ? only(list.map((item) => item.split('.')[0])) : undefined);
  },
  expiring: async (key) => numberOf((await redis.get(key)) ?? undefined),
};

/**
 * The steps of all items in the copy; null if the content never existed. A node that was deleted and created again may
 * have been read twice: `named` are those in the warning of the backup, and `again` has the other step of each.
 */
async function readCopy(named: readonly string[]) {
  const found = new Map<string, number | null>();
  const again = new Map<string, number | null>();
  for (const key of await redis.keys(`${COPY.prefix}*`)) {
    const name = key.slice(COPY.prefix.length);
    const step = await KEYS[name]?.(key);
    // One that expires soon may have disappeared between the two reads.
    if (step !== null || name !== 'expiring') found.set(`key ${name}`, step ?? null);
  }
  const nodes = await cypher(
    `MATCH (n:${COPY.label}) RETURN n.id AS id, n.step AS step, n.text AS text, n.list AS list`,
  );
  expect(nodes.filter(({ id }) => id.startsWith('ring '))).toHaveLength(RING);
  for (const { id, step, text, list } of nodes) {
    if (id.startsWith('ring ')) continue;
    if (found.has(`node ${id}`)) {
      expect(named).toContain(id);
      expect(again.has(`node ${id}`)).toBe(false);
      again.set(`node ${id}`, step);
    } else if (id === 'text') {
      found.set('node text', numberOf(only(text.match(/.{8}/g) ?? [])));
      found.set('node list', list.length === ITEMS ? (only<number>(list) ?? null) : null);
    } else found.set(`node ${id}`, step);
  }
  const turning = await cypher(
    `MATCH (:${COPY.label} {id: 'a'})-[r:AT]->(n) RETURN n.id AS id, collect(r.step) AS steps`,
  );
  for (const { id, steps } of turning) {
    found.set(`relationship to ${id}`, steps.length === 1 ? steps[0] : null);
  }
  const schema = await cypher(
    `SHOW INDEXES YIELD name, labelsOrTypes WHERE labelsOrTypes = ['${COPY.label}']`,
  );
  for (const { name } of schema) {
    const [, kind = '', step] = /^busy_(index|constraint)_(\d+)_/.exec(name) ?? [];
    expect(found.has(kind)).toBe(false);
    found.set(kind, Number(step));
  }
  const relationships = await cypher(
    `MATCH (:${COPY.label} {id: 'a'})-[r:CHANGES]->() RETURN r.step AS step`,
  );
  for (const { step } of relationships) found.set('relationship', relationships.length === 1 ? step : null);
  const ends = await cypher(
    `MATCH (n:${COPY.label})-[:OF]->(a:${COPY.label}) RETURN n.id AS id, a.id AS of, count(*) AS times`,
  );
  for (const { id, of, times } of ends) expect({ id, of, times }).toEqual({ id, of: 'a', times: 1 });
  const described = await qdrant('GET', `/collections/${COPY.collection}`);
  const fields = Object.keys((described.result as Described).payload_schema);
  expect(fields.length).toBeLessThan(2);
  for (const field of fields) found.set('payload index', numberOf(field.split('_')[1]));
  const { result } = await qdrant('POST', `/collections/${COPY.collection}/points/scroll`, {
    limit: 1000,
    with_vector: true,
    with_payload: true,
  });
  for (const { id, vector, payload } of (result as Scrolled).points) {
    const isComplete =
      vector[0] === payload.step && vector[1] === payload.step / 2 && vector[2] === -payload.step;
    found.set(`point ${id}`, isComplete ? payload.step : null);
  }
  return { found, again };
}
interface Described {
  readonly payload_schema: Record<string, object>;
}
interface Scrolled {
  readonly points: { id: number; vector: number[]; payload: { step: number } }[];
}

/** The keys of nodes that were read twice according to the backup. */
async function keysReadTwice(backupId: string): Promise<readonly string[]> {
  const record = await deployedStack().bucket.readRecord(catalogKey(backupId), CatalogRecord);
  const warning = record?.value.warnings?.find(({ code }) => code === 'nodes-with-equal-keys');
  return warning?.samples ?? [];
}

test(
  `${BACKUPS} backups while writers change all stores hold only consistent reads, and can be restored`,
  async () => {
    const stack = deployedStack();
    const failures: unknown[] = [];
    const sizes = new Map<string, number>();
    let reported = 0;
    for (let number = 0; number < BACKUPS && failures.length < 5; number++) {
      // A run of hours reports its progress.
      if (number % 10 === 9 || failures.length > reported) {
        process.stderr.write(`${number} of ${BACKUPS} backups; ${JSON.stringify(failures)}\n`);
        reported = failures.length;
      }
      const from = Date.now();
      const backup = await stack.run('Backup', { target: 'scratch' });
      const to = Date.now();
      if (backup.status !== 'SUCCEEDED') {
        failures.push({ number, backup: backup.cause });
        continue;
      }
      const { backup_id } = JSON.parse(backup.output ?? '') as { backup_id: string };
      const options = { rename: RENAME, safety_backup: false };
      const restore = await stack.run('Restore', { backup_id, confirm: 'scratch', ...options });
      if (restore.status !== 'SUCCEEDED') {
        failures.push({ number, backup_id, restore: restore.cause });
        continue;
      }
      const { found, again } = await readCopy(await keysReadTwice(backup_id));
      const problems = [found, new Map([...found, ...again])]
        .flatMap((copy) => model.problems(copy, from, to))
        // An alias stays with the collection that keeps its name, so the copy has none.
        .filter((problem) => !problem.startsWith('alias'));
      if (problems.length > 0) failures.push({ number, backup_id, problems });
      sizes.set(backup_id, found.size);
    }
    await model.stop();
    expect(failures).toEqual([]);
    expect(sizes.size).toBe(BACKUPS);
    // Each copy had everything, and the writers were active the whole time.
    expect(Math.min(...sizes.values())).toBeGreaterThan(40);
    expect(model.steps).toBeGreaterThan(100 * BACKUPS);
  },
  // A deadline for hangs, not for speed.
  180_000 + 60_000 * BACKUPS,
);
