import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isSeekable, openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { normalizeArchive } from '../../shared/archive/write/normalize.ts';
import { convertScript } from '../../shared/stores/neo4j/script/convert.ts';
import { readMembers } from '../../shared/stores/redis/json-entry.ts';
import { viewWholeKeys } from '../../shared/stores/redis/ngraf-023.ts';
import { MemoryArchive } from '../stores/memory-archive.ts';
import { collect, readAll } from './build.ts';

/**
 * An archive of NGRAF-023 as its ticket describes it: its layout, the fields of its manifest, the flaw of its checksum.
 */
const MANIFEST = {
  backup_id: 'snapshot_2025-10-06T14-30-00Z',
  created_at: '2025-10-06T14:30:00.123456',
  nano_graphrag_version: '0.0.8.2',
  storage_backends: { graph: 'neo4j', vector: 'qdrant', kv: 'redis' },
  statistics: { documents: 2, chunks: 3, entities: 4, relationships: 5, communities: 1, status: 'ok' },
  checksum: 'sha256:0123',
};
const FILES: Record<string, string> = {
  'graph/neo4j.dump': 'UNWIND [{id:1}] AS row CREATE (n:`GraphRAG_demo`) SET n += row;\n',
  'qdrant/entities.snapshot': 'snapshot bytes',
  'qdrant/Text Chunks.snapshot': 'more snapshot bytes',
  'kv/full_docs.json': '  {"doc-1": {"content": "x"}}',
  'kv/community_reports.json': '[{"report_string": "lost its key"}]',
  'config/graphrag_config.json': '{"working_dir": "./x"}',
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ngbak-ngraf-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function fixture(files: Record<string, string>, manifest: unknown): Buffer {
  for (const [name, text] of Object.entries({ ...files, 'manifest.json': JSON.stringify(manifest) })) {
    mkdirSync(dirname(join(folder, 'in', name)), { recursive: true });
    writeFileSync(join(folder, 'in', name), text);
  }
  execFileSync(
    'python3',
    ['-c', `import tarfile\nwith tarfile.open('x.tar.gz', 'w:gz') as t: t.add('in', arcname='.')`],
    {
      cwd: folder,
    },
  );
  return readFileSync(join(folder, 'x.tar.gz'));
}

test('an archive of NGRAF-023 is converted into an ngbak archive, which states what is missing', async () => {
  const old = bufferSource('old.ngbak', fixture(FILES, MANIFEST));
  expect(await isSeekable(old)).toBe(false);
  const { bytes, result } = await collect(normalizeArchive(old));
  const archive = await openArchive(bufferSource('new', bytes));
  const names: string[] = [];
  for await (const { name } of archive.entries('')) names.push(name);
  expect(names.sort()).toEqual([
    'config/graphrag_config.json',
    'graph/neo4j.dump',
    'kv/full_docs.json',
    'ngraf-023/kv/community_reports.json',
    'vectors/%54ext%20%43hunks.snapshot',
    'vectors/entities.snapshot',
  ]);
  expect((await readAll(archive, 'vectors/entities.snapshot')).toString()).toBe('snapshot bytes');
  expect((await readAll(archive, 'kv/full_docs.json')).toString()).toBe(FILES['kv/full_docs.json']);
  expect(result).toMatchObject({
    format_version: '1.0',
    backup_id: MANIFEST.backup_id,
    created_at: '2025-10-06T14:30:00.123Z',
    nano_graphrag_version: '0.0.8.2',
    statistics: { documents: 2, chunks: 3, entities: 4, relationships: 5, communities: 1 },
    // The graph is a script that is not executed: a restore must not clear a graph for it.
    scope: { type: 'partial', stores: ['vectors', 'kv', 'config'] },
    tallies: {},
    ngraf_023: MANIFEST,
  });
  const lacks = result.lacks?.join('\n') ?? '';
  for (const lack of [
    'neo4j.dump',
    'aliases',
    'expiry',
    'community_reports.json',
    'time zone',
    'digests of records',
  ]) {
    expect(lacks).toContain(lack);
  }
  expect(
    (await verifyArchive(bufferSource('n', bytes), { cursor: null, timeLeft: () => 1 })).problems,
  ).toEqual([]);
});

/** The output of its exporter for a graph of one entity. */
const SCRIPT = `:begin
UNWIND [{id:"A", properties:{entity_type:"PERSON"}}] AS row
CREATE (n:GraphRAG_demo{id: row.id}) SET n += row.properties SET n:PERSON;
:commit
`;

test('its Cypher script is converted into the graph on request, and compared with the counts of its manifest', async () => {
  const files = { ...FILES, 'graph/neo4j.dump': SCRIPT };
  const { bytes, result } = await collect(
    normalizeArchive(bufferSource('old.ngbak', fixture(files, MANIFEST)), { script: convertScript }),
  );
  const archive = await openArchive(bufferSource('new', bytes));
  expect((await readAll(archive, 'graph/nodes-00001.jsonl')).toString()).toContain(
    '"labels":["GraphRAG_demo","PERSON"],"properties":{"entity_type":"PERSON","id":"A"}',
  );
  expect(await archive.find('graph/neo4j.dump')).toBeUndefined();
  expect(result).toMatchObject({
    storage_backends: { graph: { kind: 'neo4j' } },
    scope: {
      stores: ['graph', 'vectors', 'kv', 'config'],
      scopes: {
        graph: { label: 'GraphRAG_demo', key_property: 'id' },
        kv: { prefix: 'nano_graphrag:', separator: ':' },
      },
    },
    tallies: { graph: { nodes: { count: 1 } } },
  });
  const lacks = result.lacks?.join('\n');
  expect(lacks).toContain('its manifest states 4 entities, and its script has 1');
  expect(lacks).not.toContain('not executed');
  expect(
    (await verifyArchive(bufferSource('n', bytes), { cursor: null, timeLeft: () => 1 })).problems,
  ).toEqual([]);
});

test.each([
  ['that has none', { 'kv/full_docs.json': '{}' }, MANIFEST, /holds no Cypher script/],
  [
    'that also holds nodes',
    { 'graph/neo4j.dump': SCRIPT, 'graph/nodes-00001.jsonl': '{}\n' },
    MANIFEST,
    /holds "graph\/nodes-00001.jsonl", where a Cypher script is to be read/,
  ],
])('a Cypher script is not read from an archive %s', async (_name, files, manifest, message) => {
  const old = bufferSource('old', fixture(files as Record<string, string>, manifest));
  await expect(collect(normalizeArchive(old, { script: convertScript }))).rejects.toThrow(message);
});

test('what such an archive does not hold is not claimed', async () => {
  const { result } = await collect(
    normalizeArchive(
      bufferSource(
        'old',
        fixture({ 'kv/full_docs.json': '{}' }, { ...MANIFEST, created_at: '2025-10-06T14:30:00Z' }),
      ),
    ),
  );
  expect(result.scope.stores).toEqual(['kv']);
  expect(result.lacks?.join()).not.toMatch(/neo4j|aliases|time zone/);
});

test.each([
  [{ ...MANIFEST, backup_id: '../x' }, /no usable backup_id/],
  [{ ...MANIFEST, created_at: 'yesterday' }, /no usable created_at/],
  [{ ...MANIFEST, storage_backends: undefined }, /has no format version/],
])('a manifest of an unknown kind is refused (%#)', async (manifest, message) => {
  const old = bufferSource('old', fixture(FILES, manifest));
  await expect(collect(normalizeArchive(old))).rejects.toThrow(message);
});

test('key-value data is restored byte for byte as the client of NGRAF-023 wrote it', async () => {
  const program = `
import json, sys
values = {"doc-1": {"content": "a \\"b\\": {c}, [d]\\n\\\\", "n": [1, 2.50, 1e22, -0.0, None, True, [], {}], "ü": "\\u2028 😀"}, "doc-2": "text, only: a text", "doc-3": []}
written = {"nano_graphrag:full_docs:" + key: json.dumps(value) for key, value in values.items()}
print(json.dumps([json.dumps({key: json.loads(json.dumps(value)) for key, value in values.items()}, indent=2, default=str), written]))
`;
  const [file, written] = JSON.parse(execFileSync('python3', ['-c', program], { encoding: 'utf8' })) as [
    string,
    Record<string, string>,
  ];
  const archive = new MemoryArchive();
  archive.set('kv/full_docs.json', file);
  const found: Record<string, string> = {};
  const view = viewWholeKeys(archive);
  for await (const entry of view.entries('kv/')) {
    for await (const { key, value } of readMembers(view.open(entry)))
      found[key.toString()] = value.toString();
  }
  expect(found).toEqual(written);
});

test('files of NGRAF-023 with a manifest of ngbak are refused', async () => {
  const expected = {
    format_version: '1.0',
    backup_id: 'x',
    created_at: '2025-10-06T14:30:00Z',
    storage_backends: {},
    statistics: {},
    scope: { type: 'full', stores: [] },
    tallies: {},
    tags: [],
    checksum: '0'.repeat(64),
    index: { entries: 1, bytes: 1, sha256: '0'.repeat(64) },
  };
  await expect(collect(normalizeArchive(bufferSource('x', fixture(FILES, expected))))).rejects.toThrow(
    /mixes files/,
  );
});
