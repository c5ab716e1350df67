import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import type { ConvertedScript } from '../../../shared/archive/format/ngraf-023.ts';
import { InvalidInputError } from '../../../shared/core/errors.ts';
import { convertScript } from '../../../shared/stores/neo4j/script/convert.ts';
import { fc } from '../../fast-check.ts';
import { exportAll, MemoryArchive, restoreAll } from '../memory-archive.ts';
import { dropSchema, openGraph, plainDriver, run, type TestServer } from './graph.ts';
import { leaveServer, wholeServer } from './server.ts';

/**
 * The output of `apoc.export.cypher.query` of APOC 5.26.19 on Neo4j 5.26.30 for one graph, as NGRAF-023 called it
 * (Cypher Shell, batches of 20), before and after constraints and indexes were created: every type of value, odd names,
 * a node without a key, parallel relationships, loops.
 */
const FIXTURES = ['without-constraint', 'with-constraint'] as const;
const scope = { label: 'GraphRAG_script', key_property: 'id' };
const scripts: Record<string, string> = {};

let server: TestServer;
let driver: Driver;

beforeAll(async () => {
  for (const name of FIXTURES) {
    scripts[name] = await readFile(new URL(`script/${name}.cypher`, import.meta.url), 'utf8');
  }
  server = await wholeServer();
  driver = plainDriver(server);
});

afterAll(async () => {
  await driver.close();
  await leaveServer();
});

async function convert(
  script: string | Uint8Array,
  chunkBytes = 60_007,
): Promise<{ archive: MemoryArchive; result: ConvertedScript }> {
  const bytes = Buffer.from(script);
  const archive = new MemoryArchive();
  const pieces = convertScript(
    (async function* () {
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
    })(),
  );
  for (;;) {
    const next = await pieces.next();
    if (next.done) return { archive, result: next.value };
    await archive.add(next.value);
  }
}

/** Executes a script as intended: the server's own Cypher determines its contents. */
async function execute(script: string): Promise<void> {
  const statements = script.split('\n').filter((line) => !line.startsWith(':'));
  for (const statement of statements.join('\n').split(/;\n/))
    if (statement.trim()) await run(driver, statement);
}

describe('a Cypher script of NGRAF-023', () => {
  beforeEach(async () => {
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await dropSchema(driver);
  });

  test.each(FIXTURES)(
    '%s holds what the server creates by executing it, and is restored as that',
    async (name) => {
      const script = scripts[name] ?? '';
      await execute(script);
      const executed = await exportAll(openGraph(server, scope));
      expect(executed.tallies.nodes?.count).toBe(50);

      const { archive, result } = await convert(script);
      expect(result.tallies.nodes).toEqual(executed.tallies.nodes);
      expect(result.tallies.relationships?.count).toBe(51);

      await run(driver, 'MATCH (n) DETACH DELETE n');
      await dropSchema(driver);
      const restored = await restoreAll(openGraph(server, scope), archive);
      expect(restored).toMatchObject({ differences: 0, samples: [] });
      const again = await exportAll(openGraph(server, scope));
      expect(again.tallies.nodes).toEqual(executed.tallies.nodes);
      expect(again.tallies.relationships).toEqual(executed.tallies.relationships);
      expect(again.tallies.schema?.count).toBe(executed.tallies.schema?.count);
    },
  );

  test('states the scope that it was saved from, and what is unknown', async () => {
    const { archive, result } = await convert(scripts['with-constraint'] ?? '');
    // One node has no key, so that the property of the key does not identify all nodes.
    expect(result.scope).toEqual({ label: 'GraphRAG_script' });
    expect(result.lacks.join('\n')).toMatch(/byte arrays.*vector indexes/);
    expect(result.lacks.join('\n')).toMatch(/settings of full-text and point indexes/);
    // Those of its relationships belong to the scope as well.
    expect(result.lacks.join('\n')).not.toMatch(/of the script's constraints and indexes/);
    expect(archive.text('graph/schema.jsonl')).toMatch(/"entity":"RELATIONSHIP","tokens":\["RELATED"\]/);
  });

  test('creates full-text indexes with the settings in it, and otherwise with those of the server', async () => {
    const script = scripts['with-constraint'] ?? '';
    const stated = script.replace(
      'ON EACH [n.`description`,n.`odd p`]',
      'ON EACH [n.`description`,n.`odd p`] OPTIONS {indexConfig: {`fulltext.analyzer`: "english"}}',
    );
    expect(stated).not.toBe(script);
    for (const [text, analyzer] of [
      [stated, 'english'],
      [script, 'standard-no-stop-words'],
    ] as const) {
      const { archive } = await convert(text);
      await run(driver, 'MATCH (n) DETACH DELETE n');
      await dropSchema(driver);
      const restored = await restoreAll(openGraph(server, scope), archive);
      expect(restored.samples).toEqual([]);
      const [row] = await run(
        driver,
        "SHOW INDEXES YIELD name, options WHERE name = 'script_ft' RETURN options",
      );
      expect(JSON.stringify(row)).toContain(`"${analyzer}"`);
    }
  });

  test('is parsed the same regardless of chunk boundaries', async () => {
    const script = scripts['with-constraint'] ?? '';
    const whole = await convert(script);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 400 }), async (chunkBytes) => {
        const cut = await convert(script, chunkBytes);
        expect(cut.archive.names().map((name) => cut.archive.text(name))).toEqual(
          whole.archive.names().map((name) => whole.archive.text(name)),
        );
      }),
      { numRuns: 12 },
    );
  });
});

const NODE = 'UNWIND [{id:"A", properties:{n:1}}] AS row\nCREATE (n:L{id: row.id}) SET n += row.properties;';
const LINK = `UNWIND [{start: {id:"A"}, end: {id:"A"}, properties:{}}] AS row
MATCH (start:L{id: row.start.id})
MATCH (end:L{id: row.end.id})
CREATE (start)-[r:R]->(end) SET r += row.properties;`;
/** A script of two lines around statements; the first of them begins in line 2. */
const around = (...statements: string[]) => `:begin\n${statements.join('\n')}\n:commit\n`;
const withValue = (value: string) => around(NODE.replace('n:1', `n:${value}`));

test('the smallest script is parsed', async () => {
  const { archive, result } = await convert(around(NODE, LINK));
  expect(archive.names()).toEqual([
    'graph/nodes-00001.jsonl',
    'graph/relationships-00001.jsonl',
    'graph/schema.jsonl',
  ]);
  expect(archive.text('graph/nodes-00001.jsonl')).toContain('"labels":["L"],"properties":{"id":"A","n":1}');
  expect(result.scope).toEqual({ label: 'L', key_property: 'id' });
});

const foreign: [string, string, number][] = [
  ['a statement that deletes', around(NODE, 'MATCH (n) DETACH DELETE n;'), 4],
  [
    'a procedure',
    around(NODE, "CALL apoc.load.json('http://169.254.169.254/') YIELD value RETURN value;"),
    4,
  ],
  ['a file that is loaded', around("LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line;", NODE), 2],
  ['a statement behind a statement', around(NODE.replace(';', ' WITH n MATCH (m) DETACH DELETE m;')), 3],
  ['a relationship that reads more', around(NODE, LINK.replace('MATCH (end', 'MATCH (x) MATCH (end')), 6],
  ['a relationship in the other direction', around(NODE, LINK.replace('->(end)', '-(end)')), 7],
  ['a property that is computed', withValue('1+1'), 2],
  ['a property of a parameter', withValue('$secret'), 2],
  ['a property of a function', withValue('randomUUID()'), 2],
  ['a property of a subquery', withValue('COUNT { MATCH (n) }'), 2],
  ['a property of a map', withValue('{a: 1}'), 2],
  ['a list in a list', withValue('[[1]]'), 2],
  ['a list of two types', withValue('[1, "a"]'), 2],
  ['an integer that Neo4j can not store', withValue('9223372036854775808'), 2],
  ['a date of now', withValue('date()'), 2],
  ['a time zone that is a statement', withValue("datetime('x') + 1"), 2],
  ['an escape that the exporter does not write', withValue('"\\u0041"'), 2],
  ['a text in other quotes', withValue("'a'"), 2],
  ['a name with a back-tick', withValue('1, `a``b`:2'), 2],
  ['a name of ours', withValue('1, __ngbak_id:2'), 2],
  ['a property twice', withValue('1, n:2'), 2],
  ['a key that is also a property', withValue('1, id:"B"'), 3],
  ['a row without its key', around(NODE.replace('id:"A", ', '')), 3],
  ['a row with a member too much', around(NODE.replace('id:"A"', 'id:"A", other:"B"')), 3],
  ['another member for the key', around(NODE.replace('row.id', 'row.properties')), 3],
  ['a comment', around('// nothing', NODE), 2],
  ['a variable of another name', around(NODE.replace('(n:L', '(m:L')), 3],
  ['a command of the shell', around(NODE, ':source other.cypher'), 4],
  ['a constraint that is dropped', around(NODE, 'DROP CONSTRAINT mine;'), 4],
  ['an index with options', around('CREATE RANGE INDEX FOR (n:L) ON (n.id) OPTIONS {};', NODE), 2],
  ['the same node twice', around(NODE, NODE), 4],
  [
    'a relationship to a node that is not there',
    around(NODE, LINK.replace('end: {id:"A"}', 'end: {id:"B"}')),
    4,
  ],
  ['a node behind the relationships', around(NODE, LINK, NODE.replace('"A"', '"B"')), 8],
  ['no node', around('CREATE RANGE INDEX FOR (n:L) ON (n.id);'), 3],
  ['nothing', '', 1],
  ['an end within a statement', around(NODE).slice(0, 40), 2],
  ['an end within a text', around(NODE).slice(0, 20), 2],
  ['no commit', around(NODE).slice(0, -8), 2],
  ['a commit that nothing began', `${NODE}\n:commit\n`, 3],
];

test.each(foreign)('a script with %s is refused, with the line', async (_name, script, line) => {
  const refusal = await convert(script).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(refusal).toBeInstanceOf(InvalidInputError);
  expect(String(refusal)).toContain(`graph/neo4j.dump, line ${line}: `);
});

test('a truncated script is refused, although each of its statements is complete', async () => {
  const script = scripts['without-constraint'] ?? '';
  const ends = [...script.matchAll(/:commit\n/g)].map(({ index }) => index + ':commit\n'.length);
  for (const end of ends.slice(0, -1)) {
    await expect(convert(script.slice(0, end))).rejects.toThrow(/creates no nodes|ends early/);
  }
});

test('a script that is not UTF-8 is refused', async () => {
  const bytes = Buffer.from(around(NODE));
  bytes[bytes.indexOf('A')] = 0xff;
  await expect(convert(bytes)).rejects.toThrow(/UTF-8/);
});

test('a script with one character removed, doubled or replaced is refused, or creates the same number of nodes', async () => {
  const script = around(NODE, LINK);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: script.length - 1 }),
      fc.constantFrom('', ';', '`', '"', '\\', '{', ')', "'"),
      async (at, replacement) => {
        const modified = `${script.slice(0, at)}${replacement}${script.slice(at + 1)}`;
        try {
          const { result } = await convert(modified);
          expect(result.tallies.nodes?.count).toBe(1);
          expect(result.tallies.relationships?.count).toBe(1);
        } catch (error) {
          if (!(error instanceof InvalidInputError)) throw error;
        }
      },
    ),
    { numRuns: 400 },
  );
});
