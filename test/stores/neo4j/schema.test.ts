import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import { readSchema } from '../../../shared/stores/neo4j/schema.ts';
import { scopeText } from '../../../shared/stores/neo4j/scope.ts';
import type { Neo4jServer } from '../../../shared/stores/neo4j/server.ts';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';
import { until } from '../../support/until.ts';
import { exportAll, legContext, type MemoryArchive, restoreAll, withStore } from '../memory-archive.ts';
import {
  dropSchema,
  graphContent,
  graphLeftovers,
  openGraph,
  plainDriver,
  run,
  type TestServer,
} from './graph.ts';
import { leaveServer, wholeServer } from './server.ts';

const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'fail' };
const MERGE: LoadOptions = { mode: 'merge', onConflict: 'overwrite' };
/** More than the size limit of a range index. */
const TOO_LARGE = "reduce(s = '', x IN range(1, 2500) | s + 'abcdefgh')";

let server: TestServer;
let driver: Driver;

beforeAll(async () => {
  server = await wholeServer();
  driver = plainDriver(server);
});

beforeEach(async () => {
  await run(driver, 'MATCH (n) DETACH DELETE n');
  await dropSchema(driver);
});

afterAll(async () => {
  await driver.close();
  await leaveServer();
});

const mine = () => openGraph(server, { label: 'Mine', key_property: 'id' });

/** A context that collects the codes and samples of warnings. */
function collecting(overrides: { asIs?: boolean } = {}) {
  const warnings: StoreWarning[] = [];
  return { context: { ...overrides, warn: (warning: StoreWarning) => warnings.push(warning) }, warnings };
}

const probeWarnings = async () =>
  (await withStore(mine(), (store) => store.probe(legContext()))).warnings.map(({ code, samples }) => [
    code,
    samples,
  ]);

const admits = (archive: MemoryArchive, options = REPLACE, asIs = false) =>
  withStore(mine(), (store) => store.admits({ archive, options, context: legContext({ asIs }) }));

const stateOf = async (name: string) =>
  (await run(driver, 'SHOW INDEXES YIELD name, state WHERE name = $name RETURN state', { name }))[0]?.state;

const failIndex = async (label: string, name: string) => {
  await run(driver, `CREATE (:${label} {id: '${name}', text: ${TOO_LARGE}})`);
  await run(driver, `CREATE INDEX ${name} FOR (n:${label}) ON (n.text)`);
  await until('the index has failed', () => stateOf(name), { holds: (state) => state === 'FAILED' });
};

/** Replaces the line of the schema with this name. */
function editSchema(
  archive: MemoryArchive,
  name: string,
  edit: (row: Record<string, unknown>) => void,
): void {
  const lines = (archive.text('graph/schema.jsonl') ?? '').trimEnd().split('\n');
  const edited = lines.map((line) => {
    const row = JSON.parse(line);
    if (row.name === name) edit(row);
    return `${JSON.stringify(row)}\n`;
  });
  archive.set('graph/schema.jsonl', edited.join(''));
}

describe('a FAILED index', () => {
  test('that belongs to another label does not stop a restore or a merge', async () => {
    await run(driver, "CREATE (:Mine {id: 'a'})-[:R]->(:Mine {id: 'b'})");
    await run(driver, 'CREATE INDEX mine FOR (n:Mine) ON (n.name)');
    await failIndex('Other', 'other_failed');
    const before = await graphContent(driver, 'Mine');
    const { archive } = await exportAll(mine());
    expect(await probeWarnings()).toEqual([]);
    expect((await restoreAll(mine(), archive)).samples).toEqual([]);
    expect((await restoreAll(mine(), archive, { options: MERGE })).samples).toEqual([]);
    expect(await graphContent(driver, 'Mine')).toBe(before);
    expect(await stateOf('other_failed')).toBe('FAILED');
    expect(await graphLeftovers(driver)).toEqual([]);
  });

  test('that belongs to the scope is a warning of the backup and of the restore, and all data is restored', async () => {
    await failIndex('Mine', 'failed');
    const before = await graphContent(driver, 'Mine');
    expect(await probeWarnings()).toEqual([['graph-index-failed', ['failed']]]);
    const { archive } = await exportAll(mine());
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await dropSchema(driver);
    const { context, warnings } = collecting();
    expect((await restoreAll(mine(), archive, { context })).samples).toEqual([]);
    expect(await graphContent(driver, 'Mine')).toBe(before);
    expect(await stateOf('failed')).toBe('FAILED');
    expect(warnings.map(({ code }) => code)).toEqual(['graph-index-failed']);
  });

  test('is restored from an archive that does not state it', async () => {
    await failIndex('Mine', 'failed');
    const { archive } = await exportAll(mine());
    editSchema(archive, 'failed', (row) => {
      delete row.state;
    });
    expect((await restoreAll(mine(), archive)).samples).toEqual([]);
  });
});

describe('an index of another provider or version', () => {
  const make = () =>
    run(
      driver,
      `CREATE VECTOR INDEX vectors FOR (n:Mine) ON (n.emb)
       OPTIONS {indexConfig: {\`vector.dimensions\`: 2, \`vector.similarity_function\`: 'cosine'}}`,
    );
  beforeEach(() => run(driver, "CREATE (:Mine {id: 'a', emb: [0.6, 0.8]})"));

  test('is the same if the server replaces an old provider, with a warning', async () => {
    await make();
    const { archive } = await exportAll(mine());
    // As on a server before 5.18; 5.26 accepts the name, and creates an index of the current provider.
    editSchema(archive, 'vectors', (row) => {
      row.provider = 'vector-1.0';
      row.config = { 'vector.dimensions': 2, 'vector.similarity_function': 'cosine' };
    });
    const { context, warnings } = collecting();
    expect((await restoreAll(mine(), archive, { context })).samples).toEqual([]);
    expect(warnings).toEqual([
      expect.objectContaining({ code: 'graph-index-provider', samples: ['vectors'] }),
    ]);
  });

  test('is created without the settings that the server does not know, with a warning', async () => {
    await make();
    const { archive } = await exportAll(mine());
    editSchema(archive, 'vectors', (row) => {
      row.provider = 'vector-9.0';
      (row.config as Record<string, unknown>)['vector.future'] = 'yes';
    });
    const { context, warnings } = collecting();
    expect(await admits(archive)).toEqual([]);
    expect((await restoreAll(mine(), archive, { context })).samples).toEqual([]);
    expect(warnings).toEqual([
      expect.objectContaining({ code: 'graph-index-settings', samples: ['vectors'] }),
      expect.objectContaining({ code: 'graph-index-provider', samples: ['vectors'] }),
    ]);
  });

  test('is the same if the server states more settings than the archive', async () => {
    await make();
    const { archive } = await exportAll(mine());
    editSchema(archive, 'vectors', (row) => {
      const config = row.config as Record<string, unknown>;
      row.config = Object.fromEntries(
        Object.entries(config).filter(([name]) => !/hnsw|quantization/.test(name)),
      );
    });
    expect((await restoreAll(mine(), archive)).samples).toEqual([]);
    editSchema(archive, 'vectors', (row) => {
      (row.config as Record<string, unknown>)['vector.dimensions'] = 3;
    });
    const restored = await restoreAll(mine(), archive, {
      beforeVerify: async () => {
        await run(driver, 'DROP INDEX vectors');
        await make();
      },
    });
    expect(restored.samples).toContainEqual(
      expect.stringMatching(/index "vectors": is missing in the target, or has a different definition/),
    );
  });
});

describe('an analyzer that the server does not have', () => {
  let archive: MemoryArchive;

  beforeEach(async () => {
    await run(driver, "CREATE (:Mine {id: 'a', text: 'A'})");
    await run(driver, 'CREATE FULLTEXT INDEX search FOR (n:Mine) ON EACH [n.text]');
    await run(driver, 'CREATE INDEX works FOR (n:Mine) ON (n.text)');
    ({ archive } = await exportAll(mine()));
    editSchema(archive, 'search', (row) => {
      (row.config as Record<string, unknown>)['fulltext.analyzer'] = 'my-company';
    });
  });

  test('is found before anything is written', async () => {
    expect(await admits(archive)).toEqual([expect.stringContaining('full-text analyzer "my-company"')]);
  });

  test('does not stop a rollback, which reports the index', async () => {
    expect(await admits(archive, REPLACE, true)).toEqual([]);
    const { context, warnings } = collecting({ asIs: true });
    const restored = await restoreAll(mine(), archive, { context });
    expect(restored.samples).toEqual([]);
    expect(warnings).toEqual([
      expect.objectContaining({ code: 'graph-schema-left-out', samples: ['search'], count: 1 }),
    ]);
    expect(await stateOf('works')).toBe('ONLINE');
    expect(await run(driver, 'MATCH (n:Mine) RETURN n.text AS text')).toEqual([{ text: 'A' }]);
  });
});

describe('constraints', () => {
  test('are created if an interrupted attempt left their index behind', async () => {
    await run(driver, "CREATE (:Mine {id: 'a'})");
    await run(driver, 'CREATE CONSTRAINT unique_id FOR (n:Mine) REQUIRE n.id IS UNIQUE');
    const { archive } = await exportAll(mine());
    await run(driver, 'DROP CONSTRAINT unique_id');
    // An orphaned index: the constraint's name and schema, without a constraint.
    await run(driver, 'CREATE INDEX unique_id FOR (n:Mine) ON (n.id)');
    expect(await admits(archive, MERGE)).toEqual([]);
    const restored = await restoreAll(mine(), archive, { options: MERGE });
    expect(restored.samples).toEqual([]);
    expect(await run(driver, 'SHOW CONSTRAINTS YIELD name')).toEqual([{ name: 'unique_id' }]);
  });

  test('are refused before the restore if a remaining index has the same properties', async () => {
    await run(driver, "CREATE (:Mine {id: 'a'})");
    await run(driver, 'CREATE CONSTRAINT unique_id FOR (n:Mine) REQUIRE n.id IS UNIQUE');
    const { archive } = await exportAll(mine());
    await run(driver, 'DROP CONSTRAINT unique_id');
    await run(driver, 'CREATE INDEX another FOR (n:Mine) ON (n.id)');
    expect(await admits(archive, MERGE)).toEqual([expect.stringContaining('index "another" of the target')]);
    expect(await admits(archive)).toEqual([]);
  });
});

describe('indexes and constraints of relationship types', () => {
  beforeEach(async () => {
    await run(
      driver,
      "CREATE (:Mine {id: 'a'})-[:RELATED {n: 1}]->(:Mine {id: 'b'}), (:Other)-[:FOREIGN]->(:Other)",
    );
    await run(driver, 'CREATE INDEX related FOR ()-[r:RELATED]-() ON (r.n)');
    await run(driver, 'CREATE INDEX foreign FOR ()-[r:FOREIGN]-() ON (r.n)');
  });

  test('are saved if the type occurs in the scope, created if they are missing, and never dropped', async () => {
    const { archive, tallies } = await exportAll(mine());
    expect(tallies.schema?.count).toBe(1);
    await run(driver, 'DROP INDEX related');
    expect((await restoreAll(mine(), archive)).samples).toEqual([]);
    expect(await stateOf('related')).toBeDefined();
    await run(driver, 'CREATE INDEX later FOR ()-[r:RELATED]-() ON (r.later)');
    expect((await restoreAll(mine(), archive)).samples).toEqual([]);
    expect([await stateOf('later'), await stateOf('foreign')]).toEqual(['ONLINE', 'ONLINE']);
  });

  test('are left out with a warning if the data of others violates them', async () => {
    await run(driver, 'CREATE CONSTRAINT once FOR ()-[r:RELATED]-() REQUIRE r.key IS UNIQUE');
    const { archive } = await exportAll(mine());
    await run(driver, 'DROP CONSTRAINT once');
    await run(driver, 'CREATE (a:Other)-[:RELATED {key: 1}]->(b:Other), (a)-[:RELATED {key: 1}]->(b)');
    const { context, warnings } = collecting();
    expect(await admits(archive)).toEqual([]);
    expect((await restoreAll(mine(), archive, { context })).samples).toEqual([]);
    expect(warnings).toEqual([expect.objectContaining({ code: 'graph-schema-left-out', samples: ['once'] })]);
  });
});

/** Rows of versions that the tests have no server for: graph types require Enterprise Edition 2026. */
describe('unknown kinds of indexes', () => {
  const rows = {
    'SHOW CONSTRAINTS YIELD *': [
      {
        name: 'implied',
        type: 'NODE_LABEL_EXISTENCE',
        entityType: 'NODE',
        labelsOrTypes: ['Other'],
        properties: null,
      },
      {
        name: 'typed',
        type: 'NODE_PROPERTY_TYPE',
        entityType: 'NODE',
        labelsOrTypes: ['Mine'],
        properties: ['emb'],
        propertyType: 'VECTOR<FLOAT32>(128)',
      },
    ],
    'SHOW INDEXES YIELD *': [
      {
        name: 'filtered',
        type: 'VECTOR',
        entityType: 'NODE',
        labelsOrTypes: ['Mine', 'B'],
        properties: ['emb', 'type'],
        owningConstraint: null,
        state: 'ONLINE',
      },
    ],
  };
  const mock = {
    read: async (_doing: string, cypher: string) => rows[cypher as keyof typeof rows] ?? [],
  } as unknown as Neo4jServer;
  const read = (label: string) => readSchema(mock, scopeText({ label }), new AbortController().signal);

  test('do not stop the backup of another label, and are named in a separate one', async () => {
    expect(await read('Third')).toEqual({ rows: [], unsaved: [] });
    expect((await read('Other')).unsaved).toEqual([
      { type: 'constraint', name: 'implied', kind: 'NODE_LABEL_EXISTENCE' },
    ]);
    expect((await read('Mine')).unsaved.map(({ name }) => name)).toEqual(['typed', 'filtered']);
  });
});

describe('constraints that are replaced while they are read', () => {
  const row = (name: string, type: string, owningConstraint: string | null) => ({
    name,
    type,
    entityType: 'NODE',
    labelsOrTypes: ['Mine'],
    properties: ['id'],
    owningConstraint,
    state: 'ONLINE',
  });
  type State = readonly [constraints: readonly object[], indexes: readonly object[]];
  /** A server that is in the next state at each query, of constraints, indexes, and constraints again. */
  const serverWith = (stateAt: (query: number) => State) => {
    let queries = 0;
    const read = async (_doing: string, cypher: string) =>
      stateAt(queries++)[cypher === 'SHOW INDEXES YIELD *' ? 1 : 0];
    return { target: 'default', read } as unknown as Neo4jServer;
  };
  const complete = (name: string): State => [[row(name, 'UNIQUENESS', null)], [row(name, 'RANGE', name)]];
  /** The index of a constraint that is being created has no owner yet. */
  const begun = (name: string): State => [[], [row(name, 'RANGE', null)]];
  const read = (server: Neo4jServer) =>
    readSchema(server, scopeText({ label: 'Mine' }), new AbortController().signal);

  test.each([
    ['by another', [complete('a'), begun('b'), begun('b'), complete('b')], 'b'],
    ['by one of the same name', [complete('a'), begun('a'), complete('a')], 'a'],
    ['after it was read', [begun('b'), begun('b'), complete('b')], 'b'],
  ])('are read again: %s', async (_what, states, name) => {
    const { rows } = await read(serverWith((query) => states[query] ?? complete(name)));
    expect(rows.map((found) => `${found.type} ${found.name}`)).toEqual([`constraint ${name}`]);
  });

  test('fail a backup that cannot read them unchanged, which is retried', async () => {
    const server = serverWith((query) =>
      query % 3 === 1 ? begun('b') : complete(query % 3 === 0 ? 'a' : 'b'),
    );
    await expect(read(server)).rejects.toMatchObject({
      retryable: true,
      message: expect.stringContaining('changed each time they were read'),
    });
  });

  test('leave an archive of an earlier version restorable: the index is left out, with a warning', async () => {
    await run(driver, 'CREATE CONSTRAINT mine FOR (n:Mine) REQUIRE n.id IS UNIQUE');
    await run(driver, "CREATE (:Mine {id: 'a'})");
    const { archive } = await exportAll(mine());
    const index = {
      type: 'index',
      name: 'other',
      kind: 'RANGE',
      entity: 'NODE',
      tokens: ['Mine'],
      properties: ['id'],
    };
    archive.set(
      'graph/schema.jsonl',
      `${archive.text('graph/schema.jsonl')}${JSON.stringify({ ...index, config: {} })}\n`,
    );
    expect((await restoreAll(mine(), archive)).samples).toEqual([]);
    expect(await run(driver, 'SHOW INDEXES YIELD name, type WHERE type <> "LOOKUP" RETURN name')).toEqual([
      { name: 'mine' },
    ]);
  });
});

describe('the inspection of a target before a restore', () => {
  test('tries a write and leaves nothing, not even a transaction', async () => {
    await run(driver, "CREATE (:Mine {id: 'a'})");
    const { archive } = await exportAll(mine());
    const fence = async () => (await withStore(mine(), (store) => store.probe(legContext()))).fence;
    const before = await fence();
    expect(await admits(archive)).toEqual([]);
    expect(await fence()).toEqual(before);
  });

  test('that has to stop fails with a retryable error', async () => {
    const signal = AbortSignal.abort();
    await expect(withStore(mine(), (store) => store.probe(legContext({ signal })))).rejects.toMatchObject({
      name: 'UnavailableError',
      retryable: true,
    });
  });
});
