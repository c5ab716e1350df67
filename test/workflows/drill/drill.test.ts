import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { archiveKey, catalogKey, lockKey } from '../../../shared/aws/keys.ts';
import { CatalogRecord } from '../../../shared/catalog/record.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { readLastDrills } from '../../../shared/workflows/drill/last.ts';
import { readDrill } from '../../../shared/workflows/drill/record.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { Lock } from '../../../shared/workflows/job/lock.ts';
import { readJob } from '../../../shared/workflows/job/record.ts';
import { admitRestore } from '../../../shared/workflows/restore/admit.ts';
import { NIGHTLY } from '../../nightly.ts';
import { SEED } from '../../seed.ts';
import { fillTarget, type Names, readTarget, removeTarget, withClients } from '../../stack/content.ts';
import { freshEnvironment } from '../../support/aws.ts';
import {
  BACKUP,
  backUp,
  connections,
  Drill,
  leftovers,
  putSecrets,
  rememberLeftovers,
  STORES,
  targetOf,
} from './stage.ts';

const RUN = `Drill${process.pid}`;
const LIVE: Names = { label: RUN, collection: `${RUN}_items`, prefix: `${RUN}:` };
const OTHER: Names = { label: `${RUN}O`, collection: `${RUN}_other`, prefix: `${RUN}o:` };

let secrets: string;
let environment: Environment;
/** The contents of the live target. */
let live: unknown;

/** In this order: between these moments, the loaded data differs most. */
const MOMENTS = ['inspected', 'begun', 'load of graph', 'load of kv', 'verify of vectors', 'remove of graph'];
/** Those at which drills are killed: at night all, otherwise one before, one within and one after the load. */
const KILLED_AFTER = MOMENTS.filter((_, at) => NIGHTLY || at % 2 === SEED % 2);

beforeAll(async () => {
  await rememberLeftovers();
  secrets = await putSecrets();
  await fillTarget(LIVE);
  await withClients(async ({ cypher }) => {
    await cypher(`CREATE CONSTRAINT ${RUN}_id IF NOT EXISTS FOR (n:${RUN}) REQUIRE n.id IS UNIQUE`);
    await cypher(`CREATE INDEX ${RUN}_related IF NOT EXISTS FOR ()-[r:RELATED]-() ON (r.order)`);
    // The other ends of relationships that leave the scope belong to others.
    await cypher(
      `MATCH (n:${RUN}) SET n.tenant = CASE WHEN n.count <= 15 THEN $run ELSE 'other ' + $run END`,
      {
        run: RUN,
      },
    );
    await cypher(`MATCH (n:${RUN} {id: 'n1'}) MERGE (x:${RUN}Elsewhere {id: 'x'}) MERGE (n)-[:OUT]->(x)`);
  });
  live = await readTarget(LIVE);
});
beforeEach(async () => {
  environment = await freshEnvironment({ default: targetOf(LIVE, secrets) });
});
afterAll(async () => {
  await withClients(async ({ cypher }) => {
    await cypher(`DROP CONSTRAINT ${RUN}_id IF EXISTS`);
    await cypher(`DROP INDEX ${RUN}_related IF EXISTS`);
    await cypher(`MATCH (n:${RUN}Elsewhere) DETACH DELETE n`);
  });
  await removeTarget(LIVE);
});

/** No drill may leave anything, or change the contents of its target. */
async function expectUntouched(): Promise<void> {
  expect(await leftovers()).toEqual([]);
  expect(await readTarget(LIVE)).toEqual(live);
}

const use = (targets: object) => {
  environment = { ...environment, config: NgbakConfig.parse({ targets }) };
};

const record = async (drill: Drill) => {
  const found = await readDrill(environment.bucket, drill.jobId);
  if (!found) throw new Error('The drill has no record.');
  return found;
};

describe('a drill under scratch names', () => {
  test('restores the newest good backup next to the target, verifies it, and removes it', async () => {
    await backUp(environment, 'default');
    const drill = await Drill.start(environment);
    expect(await drill.run()).toBeUndefined();
    await expectUntouched();
    const proved = await record(drill);
    expect(proved).toMatchObject({
      verdict: 'passed',
      target: 'default',
      destination: { target: 'default', place: 'names' },
      backup_id: BACKUP,
      archive: { checksum: expect.stringMatching(/^[0-9a-f]{64}$/), partial: false },
      // The copy lacks relationships that leave the scope.
      differences: [expect.stringMatching(/relationships 20, the restored backup relationships 19$/)],
    });
    expect(proved.phases.map(({ phase }) => phase)).toEqual(['inspect', 'load', 'verify', 'remove']);
    for (const store of STORES) {
      const { loaded, read_back, verified, removed, smoke, in_archive } = proved.stores[store] ?? {};
      expect({ verified, removed }).toEqual({ verified: true, removed: true });
      expect(Object.keys(read_back ?? {}).length).toBeGreaterThan(0);
      expect(loaded).toMatchObject(read_back ?? {});
      expect(Object.values(in_archive ?? {}).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
      expect(smoke?.length).toBeGreaterThan(0);
      expect(smoke?.filter(({ same }) => !same).length).toBe(store === 'graph' ? 1 : 0);
    }
    expect(proved.stores.graph?.read_back.nodes?.count).toBe(20);
    expect(await readJob(environment.bucket, drill.jobId)).toMatchObject({
      kind: 'drill',
      state: 'completed',
    });
    const { job_id, finished_at, restore_seconds: seconds } = proved;
    const last = await readLastDrills(environment.bucket, 'default');
    expect(last).toEqual({
      drill: {
        ...{ job_id, finished_at, seconds },
        backup_id: BACKUP,
        stores: [...STORES],
        bytes: expect.any(Number),
      },
      last: { job_id, verdict: 'passed', finished_at },
    });
    // A repeated end finds staged objects removed, and changes neither of these records.
    await drill.end('SUCCEEDED');
    expect([await record(drill), await readLastDrills(environment.bucket, 'default')]).toEqual([
      proved,
      last,
    ]);
    expect(await environment.bucket.readRecord(lockKey('drill.default'), Lock)).toBeUndefined();
  });

  test('restores one tenant by a property next to it and to the others', async () => {
    const target = targetOf(LIVE, secrets);
    const scope = { property: 'tenant', in: [RUN], key_property: 'id' };
    const graph = { ...target.stores.graph, scope };
    use({ default: { stores: { ...target.stores, graph } } });
    await backUp(environment, 'default');
    const drill = await Drill.start(environment);
    expect(await drill.run()).toBeUndefined();
    await expectUntouched();
    const { verdict, stores } = await record(drill);
    expect([verdict, stores.graph]).toMatchObject([
      'passed',
      { read_back: { nodes: { count: 15 }, relationships: { count: 14 } }, verified: true, removed: true },
    ]);
  });

  test('leaves no trace in a concurrent backup of the target', async () => {
    await backUp(environment, 'default');
    const drill = await Drill.start(environment);
    const id = 'snapshot_2026-01-03T03-04-05Z';
    let isBackedUp = false;
    for await (const step of drill.steps()) {
      if (step !== 'verify of kv' || isBackedUp) continue;
      isBackedUp = true;
      await backUp(environment, 'default', { backupId: id, again: true });
    }
    await drill.end('SUCCEEDED');
    const read = async (backup: string) =>
      (await environment.bucket.readRecord(catalogKey(backup), CatalogRecord))?.value.tallies;
    expect(await read(id)).toEqual(await read(BACKUP));
    await expectUntouched();
  });

  test('finds a backup whose archive is damaged, and creates nothing', async () => {
    const bytes = await backUp(environment, 'default');
    const damaged = Buffer.from(bytes);
    const at = Math.floor(damaged.length / 3);
    damaged[at] = (damaged[at] ?? 0) ^ 0xff;
    const { bucket } = environment;
    await bucket.s3.send(
      new PutObjectCommand({ Bucket: bucket.name, Key: archiveKey(BACKUP), Body: damaged }),
    );
    const drill = await Drill.start(environment);
    expect(await drill.run()).toMatchObject({ name: expect.stringMatching(/IntegrityError|MemberError/) });
    expect(await record(drill)).toMatchObject({
      verdict: 'failed',
      stores: {},
      error: { name: expect.any(String) },
    });
    await expectUntouched();
  });

  test('refuses existing scratch names, and does not remove what it has not created', async () => {
    await backUp(environment, 'default');
    const jobId = `drill_taken_${process.pid}`;
    const key = `${LIVE.prefix}__ngbak:drill:${jobId}:docs:mine`;
    await withClients(({ redis }) => redis.set(key, 'of somebody'));
    try {
      const drill = await Drill.start(environment, {}, jobId);
      expect(await drill.run()).toMatchObject({
        name: 'InvalidInputError',
        message: expect.stringContaining(
          'kv: a drill restores only to an empty place, which already contains 1 key',
        ),
      });
      expect(await leftovers()).toEqual([`key ${key}`]);
    } finally {
      await withClients(({ redis }) => redis.del(key));
    }
    await expectUntouched();
  });

  test('checks again before it writes: what was created since the inspection is neither used nor removed', async () => {
    await backUp(environment, 'default');
    const jobId = `drill_late_${process.pid}`;
    const key = `${LIVE.prefix}__ngbak:drill:${jobId}:docs:mine`;
    const drill = await Drill.start(environment, {}, jobId);
    try {
      const failed = async () => {
        for await (const step of drill.steps()) {
          if (step === 'begun') await withClients(({ redis }) => redis.set(key, 'of somebody'));
        }
      };
      await expect(failed()).rejects.toThrow(/The drill can't load kv/);
      await drill.end('FAILED', new Error('as above'));
      expect(await leftovers()).toEqual([`key ${key}`]);
    } finally {
      await withClients(({ redis }) => redis.del(key));
    }
    await expectUntouched();
  });

  test.each(KILLED_AFTER)(
    'that is killed after the step "%s" is removed by the janitor, also when repeated',
    async (last) => {
      await backUp(environment, 'default');
      const drill = await Drill.start(environment);
      const done: string[] = [];
      for await (const step of drill.steps()) if (done.push(step) && step === last) break;
      expect(done.at(-1)).toBe(last);
      await drill.end('ABORTED');
      await drill.end('ABORTED');
      await expectUntouched();
      expect((await record(drill)).verdict).toBe('cancelled');
    },
  );

  test('that is killed in the middle of a step is removed, and does not affect the next one', async () => {
    await backUp(environment, 'default');
    const drill = await Drill.start(environment);
    const killed = new AbortController();
    let legs = 0;
    // A leg after each unit of work, and the last one ends while it works.
    const timeLeft = () => {
      if (++legs === 12) setImmediate(() => killed.abort(new Error('killed')));
      return 0;
    };
    const run = async () => {
      for await (const _step of drill.steps({ timeLeft, signal: killed.signal }));
    };
    await expect(run()).rejects.toThrow();
    expect(await leftovers()).not.toEqual([]);
    const next = await Drill.start(environment);
    await expect(next.run()).resolves.toMatchObject({ name: 'TargetLockedError' });
    await drill.end('ABORTED');
    expect(await leftovers()).toEqual([]);
    const last = await Drill.start(environment);
    expect(await last.run()).toBeUndefined();
    expect((await record(last)).verdict).toBe('passed');
    await expectUntouched();
  });

  test('is refused if the scope of a target includes its names, regardless of who configured it', async () => {
    await backUp(environment, 'default');
    const jobId = `drill_hostile_${process.pid}`;
    const refusal = async (other: object) => {
      use({ default: targetOf(LIVE, secrets), other });
      const drill = await Drill.start(environment, { target: 'default' }, jobId);
      const error = await drill.run();
      await environment.bucket.removeAll(`jobs/${jobId}/`);
      return error?.message ?? 'no error';
    };
    const store = (kind: string, name: string, scope: object) => ({
      stores: { [name]: { kind, secret: `${secrets}-${name}`, scope } },
    });
    // A whole database, and scopes with exactly the names of this drill.
    for (const other of [
      store('neo4j', 'graph', {}),
      store('neo4j', 'graph', { label: `ngbak_drill_${jobId}` }),
      store('redis', 'kv', { prefix: `${LIVE.prefix}__ngbak:drill:` }),
      store('redis', 'kv', {
        namespaces: [{ name: 'a', prefix: `${LIVE.prefix}__ngbak:drill:${jobId}:docs:` }],
      }),
      store('redis', 'kv', { prefix: LIVE.prefix.slice(0, 3) }),
    ]) {
      const message = await refusal(other);
      expect([other, message]).toEqual([other, expect.stringContaining('also belongs to target "other"')]);
    }
    // A whole database without temporary data, another server, and other names.
    await expectUntouched();
  });

  test('states what to configure if its target has no names that can be changed', async () => {
    await backUp(environment, 'default');
    const stores = targetOf(LIVE, secrets).stores;
    use({ default: { stores: { ...stores, graph: { ...stores.graph, scope: {} } } } });
    const drill = await Drill.start(environment);
    expect(await drill.run()).toMatchObject({
      name: 'InvalidInputError',
      message: expect.stringContaining('"drills_of": ["default"]'),
    });
    await expectUntouched();
  });

  test('reports what a server refuses, and leaves nothing on the others', async () => {
    const user = { username: `drill${process.pid}`, password: 'only-reads-and-deletes' };
    await withClients(({ redis }) =>
      redis.acl('SETUSER', user.username, 'on', `>${user.password}`, '~*', '&*', '+@all', '-set', '-restore'),
    );
    try {
      const limited = await putSecrets({ kv: { ...connections().kv, ...user } });
      use({ default: targetOf(LIVE, limited) });
      await backUp(environment, 'default');
      const drill = await Drill.start(environment);
      expect((await drill.run())?.message).toMatch(/refuse|permission|NOPERM/i);
      expect((await record(drill)).verdict).toBe('failed');
    } finally {
      await withClients(({ redis }) => redis.acl('DELUSER', user.username));
    }
    await expectUntouched();
  });
});

describe('a rehearsal', () => {
  test('parses every record in each restore function, in one leg or many, and writes nothing', async () => {
    await backUp(environment, 'default');
    /** Redis counts every change, and every key that a command would have changed. */
    const changes = () =>
      withClients(async ({ redis }) => /rdb_changes_since_last_save:(\d+)/.exec(await redis.info())?.[1]);
    for (const timeLeft of [() => 60_000, () => 0]) {
      const before = await changes();
      const drill = await Drill.start(environment, { rehearsal: 'always' });
      expect(await drill.run({ timeLeft, signal: new AbortController().signal })).toBeUndefined();
      expect(await changes()).toBe(before);
      const rehearsed = await record(drill);
      expect(rehearsed).toMatchObject({
        kind: 'rehearsal',
        verdict: 'passed',
        destination: { target: 'default', place: 'none' },
        load_bytes_per_second: {},
      });
      expect(rehearsed).not.toHaveProperty('restore_seconds');
      expect(rehearsed.phases.map(({ phase }) => phase)).toEqual(['inspect', 'rehearse']);
      for (const store of STORES) {
        const { parsed, in_archive, loaded, verified, smoke } = rehearsed.stores[store] ?? {};
        const counts = Object.entries(parsed ?? {}).map(([name, { count }]) => [name, count]);
        expect(Object.fromEntries(counts)).toMatchObject(in_archive ?? {});
        // It claims nothing that only a restore could prove.
        const asked = smoke?.some(({ drill: copy }) => copy !== undefined);
        expect([loaded, verified, asked]).toEqual([{}, false, false]);
      }
      const { rehearsal, drill: restored } = await readLastDrills(environment.bucket, 'default');
      expect([rehearsal?.job_id, restored]).toEqual([drill.jobId, undefined]);
    }
    await expectUntouched();
  });

  test('takes the place of a drill without scratch names only if that is requested, and says why', async () => {
    const { stores } = targetOf(LIVE, secrets);
    use({ default: { stores: { ...stores, graph: { ...stores.graph, scope: {} } } } });
    await backUp(environment, 'default');
    const drill = await Drill.start(environment, { rehearsal: 'if_needed' });
    expect(await drill.run()).toBeUndefined();
    expect(await record(drill)).toMatchObject({
      kind: 'rehearsal',
      verdict: 'passed',
      destination: { place: 'none', reason: expect.stringContaining('whole database') },
    });
    const refused = await Drill.start(environment, { rehearsal: 'never' });
    expect(await refused.run()).toMatchObject({ message: expect.stringContaining('--rehearse') });
    use({ default: targetOf(LIVE, secrets) });
    await backUp(environment, 'default', { backupId: 'snapshot_2026-01-03T03-04-05Z' });
    const restored = await Drill.start(environment, { rehearsal: 'if_needed' });
    expect(await restored.run()).toBeUndefined();
    expect(await record(restored)).toMatchObject({ kind: 'drill', verdict: 'passed' });
    // A rehearsal in the place of a drill is the last one as well; a requested one is not.
    expect((await readLastDrills(environment.bucket, 'default')).last?.job_id).toBe(restored.jobId);
    await expectUntouched();
  });

  test('fails if a server refuses the credentials, or if the archive is damaged', async () => {
    const user = { username: `reader${process.pid}`, password: 'reads-only' };
    await withClients(({ redis }) =>
      redis.acl('SETUSER', user.username, 'on', `>${user.password}`, '~*', '&*', '+@all', '-@write'),
    );
    const bytes = await backUp(environment, 'default');
    for (const [store, change, message] of [
      ['vectors', { api_key: 'expired' }, /refuse|denied|401|403/i],
      // A user who may read is not enough for a restore.
      ['kv', user, /refused the command/],
    ] as const) {
      const limited = await putSecrets({ [store]: { ...connections()[store], ...change } });
      use({ default: targetOf(LIVE, limited) });
      const refused = await Drill.start(environment, { rehearsal: 'always' });
      expect((await refused.run())?.message).toMatch(message);
      expect(await record(refused)).toMatchObject({ kind: 'rehearsal', verdict: 'failed' });
    }
    await withClients(({ redis }) => redis.acl('DELUSER', user.username));
    use({ default: targetOf(LIVE, secrets) });
    const damaged = Buffer.from(bytes);
    const at = Math.floor(damaged.length / 3);
    damaged[at] = (damaged[at] ?? 0) ^ 0xff;
    const { bucket } = environment;
    const object = { Bucket: bucket.name, Key: archiveKey(BACKUP), Body: damaged };
    await bucket.s3.send(new PutObjectCommand(object));
    const found = await Drill.start(environment, { rehearsal: 'always' });
    expect(await found.run()).toMatchObject({ name: expect.stringMatching(/IntegrityError|MemberError/) });
    expect(await record(found)).toMatchObject({ kind: 'rehearsal', verdict: 'failed' });
    await expectUntouched();
  });

  test('that is killed leaves nothing, and does not keep the next one from running', async () => {
    await backUp(environment, 'default');
    const drill = await Drill.start(environment, { rehearsal: 'always' });
    for await (const step of drill.steps()) if (step === 'clear of vectors') break;
    await drill.end('ABORTED');
    expect(await record(drill)).toMatchObject({ kind: 'rehearsal', verdict: 'cancelled' });
    const next = await Drill.start(environment, { rehearsal: 'always' });
    expect(await next.run()).toBeUndefined();
    await expectUntouched();
  });
});

test('restores workspaces of LightRAG, which share collections, into separate collections', async () => {
  const workspace = `ws${process.pid}`;
  const collections = ['entities', 'relationships', 'chunks'].map((name) => `lightrag_vdb_${name}_drill`);
  const keys = ['full_docs:d1', 'text_chunks:c1', 'doc_status:d1', 'doc_status__sched:s'].map(
    (key) => `${workspace}_${key}`,
  );
  const points = () =>
    withClients(({ qdrant }) =>
      Promise.all(
        collections.map(async (name) => {
          const body = { limit: 10, with_vector: true };
          return (await qdrant('POST', `/collections/${name}/points/scroll`, body)).result;
        }),
      ),
    );
  await withClients(async ({ cypher, qdrant, redis }) => {
    await cypher(`UNWIND ['a', 'b'] AS id CREATE (:${workspace}:Person {entity_id: id, source_id: 'c1'})`);
    await cypher(
      `MATCH (a:${workspace} {entity_id: 'a'}), (b:${workspace} {entity_id: 'b'}) CREATE (a)-[:DIRECTED]->(b)`,
    );
    for (const name of collections) {
      await qdrant('PUT', `/collections/${name}`, { vectors: { size: 2, distance: 'Dot' } });
      await qdrant('PUT', `/collections/${name}/points?wait=true`, {
        points: [1, 2, 3].map((id) => ({
          id,
          vector: [id, 1],
          payload: { workspace_id: id === 3 ? 'others' : workspace, entity_name: 'a', full_doc_id: 'd1' },
        })),
      });
    }
    for (const key of keys) await redis.set(key, '{"full_doc_id": "d1"}');
  });
  try {
    const { stores } = targetOf(LIVE, secrets);
    const served = Object.entries(stores).map(([name, { scope: _, ...store }]) => [name, store]);
    const parameters = { workspace, model_suffix: 'drill' };
    use({ default: { profile: 'lightrag', parameters, stores: Object.fromEntries(served) } });
    await backUp(environment, 'default');
    const before = await points();
    const drill = await Drill.start(environment);
    expect(await drill.run()).toBeUndefined();
    const proved = await record(drill);
    expect(proved).toMatchObject({ verdict: 'passed', differences: [] });
    expect(Object.values(proved.stores.vectors?.read_back ?? {}).map(({ count }) => count)).toEqual([
      2, 2, 2,
    ]);
    expect(proved.references.filter(({ total }) => total > 0).map(({ dangling }) => dangling)).not.toEqual(
      [],
    );
    expect(await points()).toEqual(before);
    await expectUntouched();
  } finally {
    await withClients(async ({ cypher, qdrant, redis }) => {
      await cypher(`MATCH (n:${workspace}) DETACH DELETE n`);
      for (const name of collections) await qdrant('DELETE', `/collections/${name}`);
      await redis.del(keys);
    });
  }
});

describe('a drill into a target that exists for drills', () => {
  const targets = (other: Names = OTHER) => ({
    default: targetOf(LIVE, secrets),
    there: { ...targetOf(other, secrets), drills_of: ['default'] },
  });
  afterAll(() => removeTarget(OTHER));

  test('restores there, and leaves it empty', async () => {
    use(targets());
    await backUp(environment, 'default');
    const drill = await Drill.start(environment, { target: 'default' });
    expect(await drill.run()).toBeUndefined();
    expect(await record(drill)).toMatchObject({
      verdict: 'passed',
      target: 'default',
      destination: { target: 'there', place: 'target' },
    });
    await expectUntouched();
    expect(await readTarget(OTHER)).toMatchObject({ nodes: [], points: null, values: [] });
  });

  test('is refused if the target is not empty, and does not remove its contents', async () => {
    use(targets());
    await backUp(environment, 'default');
    await withClients(({ redis }) => redis.set(`${OTHER.prefix}docs:kept`, 'of somebody'));
    const drill = await Drill.start(environment, { target: 'default' });
    expect((await drill.run())?.message).toContain('a drill restores only to an empty place');
    expect(await withClients(({ redis }) => redis.get(`${OTHER.prefix}docs:kept`))).toBe('of somebody');
    await expectUntouched();
  });

  test('is refused if the contents belong to another target, too', async () => {
    use(targets({ ...OTHER, label: LIVE.label }));
    await backUp(environment, 'default');
    const drill = await Drill.start(environment, { target: 'default' });
    expect((await drill.run())?.message).toContain(
      'graph: what the drill would create also belongs to target "default"',
    );
    await expectUntouched();
  });

  test('is the only job that may write there', async () => {
    use(targets());
    await backUp(environment, 'default');
    const execution = { name: 'restore_there', arn: 'arn:restore', start: new Date().toISOString() };
    const restore = admitRestore(
      environment,
      { backup_id: BACKUP, target: 'there', confirm: 'there' },
      execution,
    );
    await expect(restore).rejects.toThrow('Target "there" is used for drills only');
  });
});
