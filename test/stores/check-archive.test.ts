import { describe, expect, test } from '@jest/globals';
import { addTallies } from '../../shared/core/digest.ts';
import { HashSample } from '../../shared/core/hash-sample.ts';
import { HashSet } from '../../shared/core/hash-set.ts';
import { FileDigest, PIECE_BYTES } from '../../shared/stores/files/file-digest.ts';
import { IdSet } from '../../shared/stores/neo4j/id-set.ts';
import { KeySpace, RedisScope } from '../../shared/stores/redis/scope.ts';
import { checkSealed } from './checked.ts';
import { MemoryArchive } from './memory-archive.ts';

function archiveOf(files: Record<string, string>): MemoryArchive {
  const archive = new MemoryArchive();
  for (const [name, text] of Object.entries(files)) archive.set(name, text);
  return archive;
}

const lines = (...records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const node = (id: string) => ({ type: 'node', id, labels: ['A'], properties: { name: id } });
const relationship = (id: string, start: string, end: string) => ({
  ...{ type: 'relationship', id, label: 'R', properties: {} },
  start: { id: start, labels: ['A'], properties: { name: start } },
  end: { id: end, labels: ['A'], properties: { name: end } },
});

/** The counts that the check itself finds, so that each case has one fault. */
async function talliesOf(archive: MemoryArchive, sealed: Omit<Parameters<typeof checkSealed>[1], 'tallies'>) {
  const { problems } = await checkSealed(archive, { ...sealed, tallies: {} });
  const counts = problems.flatMap((problem) => {
    const [, name, count] = /states 0 (.*), but the archive contains (\d+)$/.exec(problem) ?? [];
    return name === undefined ? [] : [[name, Number(count)] as const];
  });
  return { counts: Object.fromEntries(counts), problems };
}

describe('the check of a graph', () => {
  const graph = { store: 'graph', kind: 'neo4j', version: '5.26.30', edition: 'community' } as const;

  test('counts the ends of relationships that are not in the archive', async () => {
    const archive = archiveOf({
      'graph/nodes-00001.jsonl': lines(node('1'), node('1002'), node('70')),
      // The nodes of another shard follow later.
      'graph/relationships-00001.jsonl': lines(
        relationship('1', '1', '1002'),
        relationship('2', '70', '5000'),
      ),
      'graph/nodes-01-00001.jsonl': lines(node('5000')),
      'graph/relationships-01-00001.jsonl': lines(
        relationship('3', '71', '1'),
        relationship('4', '71', '9001'),
      ),
      'graph/dangling-00001.jsonl': lines(relationship('5', '1', '123456')),
    });
    const counted = await talliesOf(archive, graph);
    expect(counted.counts).toEqual({ nodes: 4, relationships: 4, dangling: 1 });
    const tallies = Object.fromEntries(
      Object.entries(counted.counts).map(([name, count]) => [name, { count, digest: '0'.repeat(64) }]),
    );
    for (const legs of [false, true]) {
      const found = await checkSealed(archive, { ...graph, tallies, ngbakVersion: '0.0.9' }, { legs });
      expect(found.problems).toEqual([]);
      expect(found.warnings).toEqual([
        expect.objectContaining({
          ...{ store: 'graph', code: 'relationships-without-ends', count: 2, samples: ['71', '9001'] },
        }),
        expect.objectContaining({ code: 'digests-of-another-version', count: 3 }),
      ]);
      // The same version must have the same digests.
      const same = await checkSealed(archive, { ...graph, tallies }, { legs });
      expect(same.problems).toEqual([
        'graph: the digest of nodes differs from the manifest',
        'graph: the digest of relationships differs from the manifest',
        'graph: the digest of dangling differs from the manifest',
      ]);
    }
  });

  test.each<[string, string, RegExp]>([
    ['a line that is not JSON', '{"type":"node"', /nodes-00001\.jsonl, line 2: it is not JSON/],
    ['a line that is another record', lines(relationship('1', '1', '2')), /line 2: "type" is not "node"/],
    [
      'a value that its type does not have',
      lines({ ...node('2'), types: { name: 'point' } }),
      /nodes-00001\.jsonl, line 2/,
    ],
  ])('names the place of %s', async (_what, line, problem) => {
    const archive = archiveOf({ 'graph/nodes-00001.jsonl': lines(node('1')) + line });
    const { problems } = await checkSealed(archive, { ...graph, tallies: {} });
    expect(problems).toEqual([expect.stringMatching(problem)]);
  });

  test.each([
    [
      'in one entry',
      { 'graph/nodes-00001.jsonl': lines(node('1'), node('2'), node('1')) },
      '00001.jsonl, line 3',
    ],
    [
      'in two entries',
      {
        'graph/nodes-00001.jsonl': lines(node('1'), node('2')),
        'graph/nodes-s02-00001.jsonl': lines(node('3'), { ...node('1'), labels: ['B'] }),
      },
      's02-00001.jsonl, line 2',
    ],
  ])('refuses two nodes with one id, %s', async (_where, files, place) => {
    for (const legs of [false, true]) {
      const { problems } = await checkSealed(archiveOf(files), { ...graph, tallies: {} }, { legs });
      expect(problems).toEqual([
        expect.stringContaining(`${place}: the archive contains another node with the id 1`),
      ]);
    }
  });

  test('warns if ids are too sparse for the ends of relationships to be checked', async () => {
    const spread = Array.from({ length: 100_001 }, (_, i) => node(String(i * 1000)));
    const archive = archiveOf({ 'graph/nodes-00001.jsonl': lines(...spread) });
    const { counts } = await talliesOf(archive, graph);
    const tallies = { nodes: { count: counts.nodes ?? 0, digest: '0'.repeat(64) } };
    const found = await checkSealed(archive, { ...graph, tallies, ngbakVersion: '0.0.9' });
    expect(found.warnings).toContainEqual(expect.objectContaining({ code: 'ends-not-checked' }));
  });

  describe('of an archive with nodes that were deleted and created again during the export', () => {
    const unique = {
      ...{ type: 'constraint', name: 'only_one', kind: 'UNIQUENESS', entity: 'NODE' },
      ...{ tokens: ['A'], properties: ['name'], config: {} },
    };
    const again = (id: string, name: unknown) => ({ ...node(id), properties: { name } });
    const nodes = {
      'graph/nodes-00001.jsonl': lines(node('1'), again('2', 1), again('3', '1'), node('70')),
      'graph/nodes-01-00001.jsonl': lines(again('71', '70'), again('72', 'other'), again('73', '70')),
    };
    const check = async (archive: MemoryArchive, scope: { label: string; key_property?: string }) => {
      const { counts } = await talliesOf(archive, { ...graph, scope });
      const tallies = Object.fromEntries(
        Object.entries(counts).map(([name, count]) => [name, { count, digest: '0'.repeat(64) }]),
      );
      const sealed = { ...graph, scope, tallies, ngbakVersion: '0.0.9' };
      const [whole, legs] = [
        await checkSealed(archive, sealed),
        await checkSealed(archive, sealed, { legs: true }),
      ];
      expect(legs.warnings).toEqual(whole.warnings);
      expect(whole.problems).toEqual([]);
      return whole.warnings.filter(({ code }) => code !== 'digests-of-another-version');
    };

    test.each(['before', 'behind'])('finds a constraint that they break, %s the nodes', async (place) => {
      const schema = { 'graph/schema.jsonl': lines(unique) };
      const archive = archiveOf(place === 'before' ? { ...schema, ...nodes } : { ...nodes, ...schema });
      expect(await check(archive, { label: 'A', key_property: 'name' })).toEqual([
        {
          ...{ store: 'graph', code: 'constraint-broken', count: 3, samples: ['3', '71', '73'] },
          text: expect.stringContaining('the constraint "only_one" allows only once'),
        },
      ]);
    });

    test('names their keys if no constraint makes them unique', async () => {
      expect(await check(archiveOf(nodes), { label: 'A', key_property: 'name' })).toEqual([
        expect.objectContaining({ code: 'nodes-with-equal-keys', count: 3, samples: ['1', '70', '70'] }),
      ]);
      expect(await check(archiveOf(nodes), { label: 'A' })).toEqual([]);
    });

    test('ignores constraints of other labels, and of several properties', async () => {
      const others = lines(
        { ...unique, name: 'elsewhere', tokens: ['B'] },
        { ...unique, name: 'two', properties: ['name', 'missing'] },
        { ...unique, name: 'index', type: 'index', kind: 'RANGE' },
      );
      const archive = archiveOf({ ...nodes, 'graph/schema.jsonl': others });
      expect(await check(archive, { label: 'A' })).toEqual([]);
    });

    test('finds relationships that break a constraint', async () => {
      const rows = { ...unique, kind: 'RELATIONSHIP_UNIQUENESS', entity: 'RELATIONSHIP', tokens: ['R'] };
      const two = ['5', '6'].map((id) => ({ ...relationship(id, '1', '70'), properties: { name: 'x' } }));
      const archive = archiveOf({
        ...nodes,
        'graph/relationships-00001.jsonl': lines(...two),
        'graph/schema.jsonl': lines(rows),
      });
      expect(await check(archive, { label: 'A' })).toEqual([
        expect.objectContaining({ code: 'constraint-broken', count: 1, samples: ['6'] }),
      ]);
    });
  });

  test('refuses a constraint that the server of the backup could not have had', async () => {
    const row = {
      ...{ type: 'constraint', name: 'c', kind: 'NODE_KEY', entity: 'NODE' },
      ...{ tokens: ['A'], properties: ['name'], config: {} },
    };
    const archive = archiveOf({ 'graph/schema.jsonl': lines(row) });
    const { counts, problems } = await talliesOf(archive, graph);
    expect(counts).toEqual({ schema: 1 });
    expect(problems).toContainEqual(
      expect.stringMatching(/the source server could not have it: .*Enterprise/),
    );
    expect((await talliesOf(archive, { ...graph, edition: 'enterprise' })).problems).not.toContainEqual(
      expect.stringContaining('could not have it'),
    );
  });

  test('handles ids of any length, and keeps its state from leg to leg', () => {
    const ids = ['0', '7', '999', '1000', '1001', '123456789012345678', '9223372036854775807'];
    const held = new IdSet();
    for (const id of ids) held.add(id);
    const copy = new IdSet(JSON.parse(JSON.stringify(held.save())));
    expect(copy.missingIn(new IdSet(), 20)).toEqual({
      count: ids.length,
      samples: expect.arrayContaining(ids),
    });
    expect(copy.missingIn(held, 20)).toEqual({ count: 0, samples: [] });
    for (let id = 0; id < 5000; id++) held.add(String(id));
    expect(held.missingIn(copy, 3)).toEqual({ count: 4995, samples: ['1', '2', '3'] });
  });
});

describe('the check of keys', () => {
  const keys = { store: 'kv', kind: 'redis', scope: { prefix: 'p:', separator: ':' } } as const;
  const typed = (...records: object[]) => archiveOf({ 'kv/a.typed.jsonl': lines(...records) });

  test('accepts parts of a key whose reading was restarted, as exports write them', async () => {
    const archive = archiveOf({
      'kv/a.typed.jsonl': lines(
        { key: 'p:a:1', type: 'list', last: false, items: ['x', 'y'] },
        { key: 'p:a:1', type: 'list', offset: 2, last: false, items: ['z'] },
      ),
      'kv/a-00002.typed.jsonl': lines(
        // It changed: restarted once; then it became another type; the last one disappeared.
        { key: 'p:a:1', type: 'list', last: false, items: ['x'] },
        { key: 'p:a:1', type: 'list', offset: 1, items: ['y'] },
        { key: 'p:a:2', type: 'set', last: false, members: ['x'] },
        { key: 'p:a:2', type: 'hash', fields: [['f', 'v']] },
        { key: 'p:a:3', type: 'set', last: false, members: ['x'] },
      ),
    });
    for (const legs of [false, true]) {
      const { problems } = await checkSealed(archive, { ...keys, tallies: {} }, { legs });
      expect(problems).toEqual(['kv: the manifest states 0 keys:a, but the archive contains 2']);
    }
  });

  test('refuses parts of a key without a beginning', async () => {
    const { problems } = await checkSealed(typed({ key: 'p:a:1', type: 'list', offset: 2, items: ['z'] }), {
      ...keys,
      tallies: {},
    });
    expect(problems).toEqual([
      expect.stringMatching(/kv\/a\.typed\.jsonl: the list "p:a:1" has no beginning/),
    ]);
  });

  const string = (key: string, value: string) => ({ key, type: 'string', value });

  test.each<[string, Record<string, string>, string]>([
    ['in one object', { 'kv/a.json': '{"p:a:1": 1,\n"p:a:2": 2,\n"p:a:1": 1}' }, 'kv/a.json'],
    ['in two objects', { 'kv/a.json': '{"p:a:1": 1}', 'kv/a-00002.json': '{"p:a:1": 2}' }, 'kv/a-00002.json'],
    [
      'as JSON and as another type',
      {
        'kv/a.json': '{"p:a:1": 1}',
        'kv/a.typed.jsonl': lines({ key: 'p:a:1', type: 'set', members: ['x'] }),
      },
      'kv/a.typed.jsonl',
    ],
    [
      'on two lines',
      { 'kv/a.typed.jsonl': lines(string('p:a:1', 'x'), string('p:a:2', 'x'), string('p:a:1', 'x')) },
      'kv/a.typed.jsonl',
    ],
    [
      'that consist of several parts',
      {
        'kv/a.typed.jsonl': lines(
          { key: 'p:a:1', type: 'list', last: false, items: ['x'] },
          { key: 'p:a:1', type: 'list', offset: 1, items: ['y'] },
        ),
        'kv/a-00002.typed.jsonl': lines({ key: 'p:a:1', type: 'list', items: ['x', 'y'] }),
      },
      'kv/a-00002.typed.jsonl',
    ],
  ])('refuses two equal keys %s', async (_where, files, place) => {
    for (const legs of [false, true]) {
      const { problems } = await checkSealed(archiveOf(files), { ...keys, tallies: {} }, { legs });
      expect(problems).toEqual([
        expect.stringContaining(`${place}: the archive contains the key "p:a:1" twice`),
      ]);
    }
  });

  const stream = (pending: string) => ({
    last_id: '9-0',
    groups: [{ name: 'g', last_id: '9-0', consumers: ['c'], pending: [[pending, 'c', 1, 1]] }],
  });

  test.each([false, true])(
    'refuses a pending entry that its stream does not hold (in legs: %s)',
    async (legs) => {
      const parts = (pending: string) =>
        archiveOf({
          'kv/a.typed.jsonl': lines({
            key: 'p:a:1',
            type: 'stream',
            last: false,
            entries: [['1-0', 'f', 'v']],
          }),
          'kv/a-00002.typed.jsonl': lines({
            ...{ key: 'p:a:1', type: 'stream', offset: 1, entries: [['2-0', 'f', 'v']] },
            stream: stream(pending),
          }),
        });
      const check = async (pending: string) =>
        (await checkSealed(parts(pending), { ...keys, tallies: {} }, { legs })).problems;
      const counted = 'kv: the manifest states 0 keys:a, but the archive contains 1';
      expect(await check('1-0')).toEqual([counted]);
      expect(await check('2-0')).toEqual([counted]);
      expect(await check('3-0')).toEqual([
        expect.stringMatching(/the stream "p:a:1" has a pending entry 3-0 that it does not contain/),
      ]);
    },
  );

  test('refuses expiries without their keys, and keys outside of the saved scope', async () => {
    const check = async (files: Record<string, string>) =>
      (await checkSealed(archiveOf(files), { ...keys, tallies: {} })).problems;
    const expiry = lines({ key: 'p:a:2', expires_at: 1 });
    expect(await check({ 'kv/a.json': '{"p:a:1": 1}', 'kv/a.expiry.jsonl': expiry })).toEqual([
      expect.stringMatching(/kv\/a\.expiry\.jsonl: it has keys that kv\/a\.json does not have/),
    ]);
    expect(await check({ 'kv/a.expiry.jsonl': expiry })).toEqual([
      expect.stringMatching(/the entry that it belongs to is missing/),
    ]);
    expect(await check({ 'kv/a.json': '{"q:a:1": 1}' })).toEqual([
      expect.stringMatching(/key "q:a:1" is not part of the scope that the archive was saved from/),
    ]);
    expect(await check({ 'kv/a.json': '{"p:a:1": 1' })).toEqual([expect.stringMatching(/not complete/)]);
    expect(new KeySpace(RedisScope.parse(keys.scope)).namespaceOf('p:a:1')).toBe('a');
  });

  test('finds equal keys up to a number, and states that it was exceeded', () => {
    const set = new HashSet(5000);
    for (let i = 0; i < 5000; i++) expect(set.add(`key ${i}`)).toBe(true);
    expect(set.isComplete).toBe(true);
    const copy = new HashSet(5000, JSON.parse(JSON.stringify(set.save())));
    for (let i = 0; i < 5000; i++) expect(copy.add(`key ${i}`)).toBe(false);
    expect(copy.isComplete).toBe(true);
    expect([copy.add('one more'), copy.add('one more'), copy.isComplete]).toEqual([true, true, false]);
  });

  test('keeps a sample of ids from leg to leg', () => {
    const sample = new HashSample();
    for (let i = 0; i < 500; i++) sample.add(`${i}-0`, 100);
    const copy = new HashSample(JSON.parse(JSON.stringify(sample.save())));
    for (let i = 0; i < 500; i++) expect(copy.has(`${i}-0`)).toBe(sample.has(`${i}-0`));
  });
});

describe('the check of points', () => {
  const vectors = { store: 'vectors', kind: 'qdrant', version: '1.16.3' } as const;
  const point = (id: number, x = 1) => ({ id, payload: {}, vector: [x, 0] });
  const configuration = (chunks: number, count: number) => ({
    ...{ entry_version: 1, collection: 'c', method: 'points', reason: 'test', server_version: '1.16.3' },
    config: { params: { vectors: { size: 2, distance: 'Dot' } }, hnsw_config: {}, optimizer_config: {} },
    ...{ payload_indexes: {}, aliases: [], filter: null, chunks, snapshot: null },
    points: { count, digest: '0'.repeat(64), digested: count },
  });

  test.each<[string, object[][]]>([
    ['one entry', [[point(1), point(2), point(2, 0)]]],
    ['two entries', [[point(1), point(2)], [point(2, 0)]]],
  ])('refuses two points with one id in %s', async (_where, parts) => {
    const chunks = parts.map((points, index) => [
      `vectors/c.points-0000${index + 1}.jsonl`,
      lines(...points),
    ]);
    const config = { 'vectors/c.config.json': JSON.stringify(configuration(parts.length, 3)) };
    for (const legs of [false, true]) {
      const archive = archiveOf({ ...Object.fromEntries(chunks), ...config });
      const { problems } = await checkSealed(archive, { ...vectors, tallies: {} }, { legs });
      expect(problems).toEqual([expect.stringContaining('not in order of ids')]);
    }
  });
});

describe('the check of files', () => {
  const files = { store: 'kv', kind: 'files', ngbakVersion: '0.0.9' } as const;

  test('digests a file of several pieces as an export does, wherever its steps end', async () => {
    const archive = new MemoryArchive();
    const large = Buffer.alloc(PIECE_BYTES + 1_000_000, 'a text that repeats itself, ');
    archive.set('kv/files/large.bin', large);
    archive.set('kv/files/small.json', '{}');
    // As an export does: each piece separately.
    const exported = [0, PIECE_BYTES].map((offset) => {
      const digest = new FileDigest('large.bin', large.length, offset);
      digest.add(large.subarray(offset, offset + PIECE_BYTES));
      return digest.tallies();
    });
    const small = new FileDigest('small.json', 2);
    small.add(Buffer.from('{}'));
    const tallies = [...exported, small.tallies()].reduce(addTallies);
    expect(tallies.files?.count).toBe(2);
    for (const legs of [false, true]) {
      const found = await checkSealed(archive, { ...files, tallies }, { legs, resumeAbove: PIECE_BYTES });
      expect(found).toMatchObject({ problems: [], warnings: [], tallies: { kv: { files: tallies.files } } });
      if (legs) expect(found.legs).toBeGreaterThan(10);
      const other = { files: { count: 2, digest: '0'.repeat(64) } };
      expect(
        await checkSealed(archive, { ...files, tallies: other }, { legs, resumeAbove: PIECE_BYTES }),
      ).toMatchObject({
        warnings: [{ code: 'digests-of-another-version' }],
      });
    }
  });
});

describe('the check of an archive', () => {
  test('checks only the chosen stores, and compares nothing if the manifest has no counts', async () => {
    const archive = archiveOf({ 'graph/nodes-00001.jsonl': 'not a node\n', 'kv/other': 'x' });
    expect(await checkSealed(archive, { store: 'kv', kind: 'unknown', tallies: {} })).toMatchObject({
      problems: [],
    });
  });
});
