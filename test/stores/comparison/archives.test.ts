/** Two archives, compared without a server. The entries are made here, in the forms that docs/stores describe. */
import { expect, test } from '@jest/globals';
import { type OpenedArchive, openArchive } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import type { Json } from '../../../shared/core/json.ts';
import { comparisonOf } from '../../../shared/stores/comparison/archives.ts';
import { compareHere } from '../../../shared/stores/comparison/compare-here.ts';
import type { ComparedKind } from '../../../shared/stores/comparison/result.ts';
import { buildArchive, DRAFT } from '../../archive/build.ts';

interface Content {
  readonly store: 'graph' | 'vectors' | 'kv';
  readonly kind: string;
  readonly scope?: Json;
  readonly files: Readonly<Record<string, string>>;
}

async function archiveOf({ store, kind, scope, files }: Content): Promise<OpenedArchive> {
  const draft = {
    ...DRAFT,
    storage_backends: { [store]: { kind } },
    scope: {
      ...DRAFT.scope,
      stores: [store],
      ...(scope === undefined ? {} : { scopes: { [store]: scope } }),
    },
    tallies: {},
  };
  const contents = Object.entries(files).map(([name, text]) => ({ name, data: Buffer.from(text) }));
  return openArchive(bufferSource('x.ngbak', await buildArchive(contents, { draft, level: 1 })));
}

/** What differs, by kind: the names of added, changed and removed records. Kinds without a difference are left out. */
async function differences(before: Content, after: Content) {
  const [one, other] = await Promise.all([before, after].map(archiveOf));
  if (!one || !other) throw new Error('no archives');
  const [store, ...others] = await compareHere(comparisonOf(one, other), {
    signal: new AbortController().signal,
  });
  if (!store || others.length > 0) throw new Error('not one store');
  const names = (kind: ComparedKind) =>
    (['added', 'changed', 'removed'] as const).flatMap((change) =>
      kind[change].samples.map((name) => `${change} ${name}`),
    );
  const kinds = store.kinds.filter((kind) => names(kind).length > 0 || kind.limited);
  return {
    ...store,
    kinds: Object.fromEntries(kinds.map((kind) => [kind.kind, names(kind)])),
    all: store.kinds,
  };
}

const lines = (...values: readonly object[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const SCHEMA = lines({
  ...{ type: 'constraint', name: 'unique_name', kind: 'UNIQUENESS', entity: 'NODE' },
  ...{ tokens: ['Person'], properties: ['name'], config: {} },
});
const node = (id: number, labels: string[], properties: object) => ({
  type: 'node',
  id: String(id),
  labels,
  properties,
});
const end = (id: number, labels: string[], properties: object, digest?: string) => ({
  ...{ id: String(id), labels, properties },
  ...(digest === undefined ? {} : { digest }),
});

test('a node is identified by its key, whatever its internal ID, labels and properties are', async () => {
  const graph = (files: Record<string, string>): Content => ({
    ...{ store: 'graph', kind: 'neo4j', files: { ...files, 'graph/schema.jsonl': '' } },
    scope: { label: 'base', key_property: 'entity_id' },
  });
  const relation = (id: number, from: number, to: number, weight: number) => ({
    ...{ type: 'relationship', id: String(id), label: 'DIRECTED', properties: { weight } },
    start: end(from, ['base'], { entity_id: `e${from % 10}` }),
    end: end(to, ['base'], { entity_id: `e${to % 10}` }),
  });
  const found = await differences(
    graph({
      'graph/nodes-00001.jsonl': lines(
        node(1, ['base'], { entity_id: 'e1', n: 1 }),
        node(2, ['base'], { entity_id: 'e2' }),
        node(3, ['base'], { entity_id: 'e3' }),
      ),
      'graph/relationships-00001.jsonl': lines(
        relation(1, 1, 2, 1),
        relation(2, 1, 2, 2),
        relation(3, 2, 3, 1),
      ),
    }),
    graph({
      'graph/nodes-00001.jsonl': lines(
        node(14, ['base'], { entity_id: 'e4' }),
        node(11, ['base', 'person'], { entity_id: 'e1', n: 1 }),
        node(12, ['base'], { entity_id: 'e2' }),
      ),
      'graph/relationships-00001.jsonl': lines(relation(9, 11, 12, 2), relation(8, 11, 12, 3)),
    }),
  );
  expect(found.kinds).toEqual({
    nodes: ['added node :base "e4"', 'changed node :base:person "e1"', 'removed node :base "e3"'],
    relationships: ['changed relationship DIRECTED "e1" → "e2"', 'removed relationship DIRECTED "e2" → "e3"'],
  });
});

test('without a key, a node is identified by a uniqueness constraint, and otherwise by its content', async () => {
  const graph = (...nodes: object[]): Content => ({
    ...{ store: 'graph', kind: 'neo4j', scope: {} },
    files: { 'graph/nodes-00001.jsonl': lines(...nodes), 'graph/schema.jsonl': SCHEMA },
  });
  const found = await differences(
    graph(node(1, ['Person'], { name: 'Ada', born: 1815 }), node(2, ['Note'], { text: 'a' })),
    graph(node(5, ['Person'], { name: 'Ada', born: 1816 }), node(6, ['Note'], { text: 'b' })),
  );
  expect(found.kinds).toEqual({
    nodes: [
      'added node :Note with internal ID 6',
      'changed node :Person "Ada"',
      'removed node :Note with internal ID 2',
    ],
  });
});

test('keys are compared by value, type and expiry, in whatever entries they are', async () => {
  const keys = (files: Record<string, string>): Content => ({
    ...{ store: 'kv', kind: 'redis', scope: { prefix: '', separator: ':' }, files },
  });
  const typed = (key: string, more: object) => ({ key, type: 'hash', fields: [['f', 'v']], ...more });
  const found = await differences(
    keys({
      'kv/docs.json': '{"docs:1": {"a": 1}, "docs:2": 2, "docs:3": 3}',
      'kv/docs.expiry.jsonl': lines({ key: 'docs:2', expires_at: 1_900_000_000_000 }),
      'kv/docs.typed.jsonl': lines(typed('docs:h', {}), typed('docs:i', {})),
    }),
    keys({
      'kv/docs.json': '{"docs:4": 4, "docs:1": {"a": 1}}',
      'kv/docs-00002.json': '{"docs:2": 2}',
      'kv/docs-00002.expiry.jsonl': lines({ key: 'docs:2', expires_at: 1_900_000_000_001 }),
      'kv/docs.typed.jsonl': lines(typed('docs:h', {}), typed('docs:i', { fields: [['f', 'w']] })),
    }),
  );
  expect(found.kinds).toEqual({
    'keys:docs': [
      'added key docs:4',
      expect.stringMatching(/^changed key docs:[2i]$/),
      expect.stringMatching(/^changed key docs:[2i]$/),
      'removed key docs:3',
    ],
  });
});

const collection = (name: string, more: object) => ({
  ...{
    entry_version: 1,
    collection: name,
    method: 'points',
    reason: 'test',
    server_version: '1.16.3',
    aliases: [],
  },
  ...{ filter: null, chunks: 1, snapshot: null, payload_indexes: {} },
  points: { count: 2, digest: '0'.repeat(64), digested: 2 },
  config: {
    params: { vectors: { size: 2, distance: 'Dot' } },
    ...{ hnsw_config: {}, optimizer_config: {}, wal_config: {}, quantization_config: null },
  },
  ...more,
});
const point = (id: number | string, payload: object) => ({ id, vector: [0.5, 1], payload });

test('points are compared by ID, and those of a snapshot by the IDs saved beside it, or by their number', async () => {
  const vectors = (files: Record<string, string>): Content => ({
    ...{ store: 'vectors', kind: 'qdrant', scope: {}, files },
  });
  const snapshot = (more: object) =>
    collection('s', {
      method: 'snapshot',
      chunks: 0,
      snapshot: { size: 3, sha256: '0'.repeat(64) },
      ...more,
    });
  const references = { references: { fields: ['doc'], chunks: 1 } };
  const found = await differences(
    vectors({
      'vectors/p.points-00001.jsonl': lines(point(1, { a: 1 }), point(2, { a: 1 })),
      'vectors/p.config.json': JSON.stringify(collection('p', {})),
      'vectors/s.snapshot': 'abc',
      'vectors/s.config.json': JSON.stringify(snapshot(references)),
      'references/vectors/s.references-00001.jsonl': lines(point(7, { doc: 'x' }), point(8, { doc: 'x' })),
    }),
    vectors({
      'vectors/p.points-00001.jsonl': lines(point(2, { a: 2 }), point(3, { a: 1 })),
      'vectors/p.config.json': JSON.stringify(collection('p', {})),
      'vectors/s.snapshot': 'abd',
      'vectors/s.config.json': JSON.stringify(snapshot(references)),
      'references/vectors/s.references-00001.jsonl': lines(point(8, { doc: 'y' }), point(9, { doc: 'x' })),
    }),
  );
  expect(found.kinds).toEqual({
    'points:p': ['added point 3', 'changed point 2', 'removed point 1'],
    'points:s': ['added point 9', 'removed point 7'],
  });
  expect(found.all.find(({ kind }) => kind === 'points:s')?.limited?.by).toBe('identities');
});

test('files are compared by name and content', async () => {
  const files = (...names: [string, string][]): Content => ({
    ...{ store: 'kv', kind: 'files', scope: { include: ['*'] } },
    files: Object.fromEntries(names.map(([name, text]) => [`kv/files/${name}`, text])),
  });
  const found = await differences(
    files(['a.json', '{}'], ['b.json', ''], ['c.json', 'x']),
    files(['a.json', '[]'], ['b.json', ''], ['d.json', '']),
  );
  expect(found.kinds).toEqual({
    files: ['added file "d.json"', 'changed file "a.json"', 'removed file "c.json"'],
  });
});

test('backups of different backends are compared by their counts, which it says', async () => {
  const found = await differences(
    { store: 'kv', kind: 'redis', scope: { prefix: '' }, files: { 'kv/docs.json': '{}' } },
    { store: 'kv', kind: 'files', scope: { include: ['*'] }, files: { 'kv/files/a.json': '{}' } },
  );
  expect(found.not_compared).toMatch(/different backends, redis and files/);
});
