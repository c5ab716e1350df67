import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { writeNewArchive } from '../../cli/archive/new-archive.ts';
import type { ManifestDraft } from '../../shared/archive/format/manifest.ts';
import { type OpenedArchive, openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { type Conversion, KeyValueConversion } from '../../shared/profiles/forms/convert.ts';
import type { FormName } from '../../shared/profiles/forms/form.ts';
import { profileScopes } from '../../shared/profiles/profiles.ts';
import { encodePart } from '../../shared/stores/redis/typed-lines.ts';
import { buildArchive, type Content, collect, DRAFT, readAll } from '../archive/build.ts';
import { run } from '../cli/run.ts';
import { until } from '../support/until.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ngbak-forms-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
const parameters = { workspace: 'alpha' };

function draftOf(kind: string, scope: Partial<ManifestDraft['scope']> = {}): ManifestDraft {
  return {
    ...DRAFT,
    storage_backends: { kv: { kind, version: '7' }, graph: { kind: 'neo4j', version: '5' } },
    scope: {
      type: 'full',
      stores: ['graph', 'kv'],
      target: 'default',
      profile: 'lightrag',
      parameters,
      scopes: { kv: profileScopes('lightrag', parameters, kind).kv ?? {} },
      ...scope,
    },
  };
}

const text = (name: string, content: string): Content => ({ name, data: Buffer.from(content) });
const GRAPH = text(
  'graph/nodes-00001.jsonl',
  `${JSON.stringify({ type: 'node', id: '1', labels: ['alpha'], properties: {} })}\n`,
);

async function archiveOf(kind: string, contents: Content[], scope?: Partial<ManifestDraft['scope']>) {
  writeFileSync(at('x.ngbak'), await buildArchive([GRAPH, ...contents], { draft: draftOf(kind, scope) }));
}

/** Runs `ngbak archive convert x.ngbak --as FORM -o y.ngbak`. */
const convert = (as: string, ...more: string[]) =>
  run(['archive', 'convert', at('x.ngbak'), '--as', as, '-o', at('y.ngbak'), ...more], {});

/** Converts without the command line, whatever is lost. Throws if that is refused. */
async function convertHere(as: FormName): Promise<Conversion & { archive: OpenedArchive }> {
  const source = await openArchive(bufferSource('x', readFileSync(at('x.ngbak'))));
  const conversion = new KeyValueConversion(source, as, { now: Date.now() });
  const plan = await conversion.survey();
  const { bytes } = await collect(conversion.write(plan, {}));
  writeFileSync(at('y.ngbak'), bytes);
  const archive = await converted();
  await conversion.compare(archive, plan);
  return { ...plan, archive };
}

const converted = (): Promise<OpenedArchive> => openArchive(bufferSource('y', readFileSync(at('y.ngbak'))));
const namesOf = async (archive: OpenedArchive) => {
  const names: string[] = [];
  for await (const { name } of archive.entries('')) names.push(name);
  return names;
};
const contentOf = async (archive: OpenedArchive, name: string) => (await readAll(archive, name)).toString();

const part = (key: string, more: object = {}) =>
  encodePart({
    key,
    type: 'string',
    expiresAt: null,
    offset: 0,
    last: true,
    items: [[Buffer.from('{}')]],
    ...more,
  });
const item = (value: string | Buffer) => ({ items: [[Buffer.from(value)]] });
const typed = (name: string, parts: Uint8Array[]): Content => ({ name, data: Buffer.concat(parts) });

describe('keys as files', () => {
  const DOCS = text(
    'kv/full_docs.json',
    '{\n"alpha_full_docs:doc-1": {"content": "\\u00dcber",  "n": 1.0},\n"alpha_full_docs:doc \\"2\\"": {}\n}\n',
  );

  test('become one file for each namespace, with the unchanged text of every value; other stores are copied', async () => {
    await archiveOf('redis', [
      DOCS,
      text('kv/text_chunks.json', '{\n"alpha_text_chunks:chunk-1": {"tokens": 3}\n}\n'),
    ]);
    expect(await convert('files')).toMatchObject({ code: 0, stdout: expect.stringContaining('verified') });
    const archive = await converted();
    expect(await contentOf(archive, 'kv/files/kv_store_full_docs.json')).toBe(
      '{\n  "doc-1": {"content": "\\u00dcber",  "n": 1.0},\n  "doc \\"2\\"": {}\n}',
    );
    expect(await contentOf(archive, 'kv/files/kv_store_doc_status.json')).toBe('{}');
    expect(await contentOf(archive, GRAPH.name)).toBe(Buffer.from(GRAPH.data).toString());
    expect(await namesOf(archive)).toHaveLength(9);
    const { manifest } = archive;
    expect(manifest).toMatchObject({
      backup_id: 'snapshot_2025-10-06T14-30-00Z_as_files',
      storage_backends: { kv: { kind: 'files' }, graph: { kind: 'neo4j' } },
      statistics: { documents: 2, chunks: 1, cache_entries: 0 },
      scope: {
        type: 'partial',
        only: { namespaces: expect.arrayContaining(['full_docs', 'doc_status']) },
        scopes: { kv: { folder: 'alpha' } },
      },
      converted: {
        from: { backup_id: 'snapshot_2025-10-06T14-30-00Z', kv: 'redis' },
        to: { kv: 'files' },
        records: { full_docs: 2, text_chunks: 1, doc_status: 0 },
        lost: {},
      },
    });
    const source = await openArchive(bufferSource('x', readFileSync(at('x.ngbak'))));
    expect(manifest.converted?.from.checksum).toBe(source.manifest.checksum);
    expect(manifest.tallies.kv).toMatchObject({ files: { count: 8 }, 'keys:full_docs': { count: 2 } });
    expect(manifest.tallies.graph).toMatchObject({ nodes: { count: 1 } });
  });

  test('what files cannot hold is listed, and nothing is written until all of it is accepted by name', async () => {
    await archiveOf('redis', [
      text(
        'kv/full_docs.json',
        '{\n"alpha_full_docs:a": {},\n"alpha_full_docs:b": {},\n"alpha_full_docs:old": {}\n}\n',
      ),
      text(
        'kv/full_docs.expiry.jsonl',
        '{"key":"alpha_full_docs:b","expires_at":4000000000000}\n{"key":"alpha_full_docs:old","expires_at":1000}\n',
      ),
      typed('kv/full_docs.typed.jsonl', [
        part('alpha_full_docs:nan', item('NaN')),
        part('alpha_full_docs:bytes\xff'),
        part('alpha_full_docs:list', { type: 'list', ...item('x') }),
      ]),
      typed('kv/doc_status.typed.jsonl', [
        part('alpha_doc_status__sched:status:processed', {
          type: 'zset',
          items: [[Buffer.from('2026|doc-1'), Buffer.from('0')]],
        }),
      ]),
    ]);
    const refused = await convert('files');
    expect(refused).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/Nothing was written.*--drop expiry,expired,types,not-json,not-text/s),
    });
    expect(refused.stderr).toMatch(/derived +1 .*expiry +1 .*alpha_full_docs:list/s);
    const some = await convert('files', '--drop', 'expiry,expired,types');
    expect(some).toMatchObject({ code: 4, stderr: expect.stringContaining('--drop not-json,not-text') });
    expect((await convert('files', '--drop', 'everything')).code).toBe(2);
    expect(readdirSync(folder)).toEqual(['x.ngbak']);

    const listed = await convert('files', '--dry-run', '--json');
    const plan = listed.lines().find(({ type }) => type === 'conversion')?.data;
    expect(plan).toMatchObject({ from: 'redis', to: 'files', notes: [{ code: 'derived', count: 1 }] });
    expect(plan?.losses).toContainEqual(
      expect.objectContaining({ code: 'expired', count: 1, samples: ['alpha_full_docs:old'] }),
    );
    expect(existsSync(at('y.ngbak'))).toBe(false);

    expect((await convert('files', '--drop', 'expiry,expired,types,not-json,not-text')).code).toBe(0);
    const archive = await converted();
    expect(await contentOf(archive, 'kv/files/kv_store_full_docs.json')).toBe('{\n  "a": {},\n  "b": {}\n}');
    expect(archive.manifest.converted?.lost).toEqual({
      ...{ expiry: 1, expired: 1, types: 1 },
      ...{ 'not-json': 1, 'not-text': 1 },
    });
    expect(archive.manifest.lacks).toEqual(
      expect.arrayContaining([expect.stringContaining('converted from redis: keys with an expiry time')]),
    );
  });

  test('long strings in several parts are one value; parts of an interrupted reading are not', async () => {
    const block = Buffer.from(`{"content": "${'ä'.repeat(1024 ** 2)}"}`);
    const first = block.subarray(0, 1024 ** 2);
    const key = 'alpha_full_docs:long';
    await archiveOf('redis', [
      typed('kv/full_docs.typed.jsonl', [
        part(key, { last: false, items: [[Buffer.alloc(1024 ** 2, 'x')]] }),
        part(key, { last: false, items: [[first]] }),
        part(key, { offset: 1, last: false, items: [[block.subarray(1024 ** 2, 2 * 1024 ** 2)]] }),
        part(key, { offset: 2, items: [[block.subarray(2 * 1024 ** 2)]] }),
      ]),
    ]);
    const { archive } = await convertHere('files');
    expect(await contentOf(archive, 'kv/files/kv_store_full_docs.json')).toBe(
      `{\n  "long": ${block.toString()}\n}`,
    );
  });

  test('a backup of some namespaces stays one of these', async () => {
    const only = { namespaces: ['full_docs'] };
    await archiveOf('redis', [DOCS], { type: 'partial', only, stores: ['kv', 'graph'] });
    const { archive } = await convertHere('files');
    expect(archive.manifest.scope.only).toEqual(only);
    expect((await namesOf(archive)).filter((name) => name.startsWith('kv/'))).toEqual([
      'kv/files/kv_store_full_docs.json',
    ]);
  });

  test('a backup with further stores of key-value data is refused', async () => {
    await archiveOf('redis', [DOCS], { stores: ['graph', 'kv', 'kv_files'] });
    await expect(convertHere('files')).rejects.toThrow('further stores of key-value data (kv_files)');
    expect(existsSync(at('y.ngbak'))).toBe(false);
  });

  test('a file is replaced only with --force, and a damaged archive leaves none', async () => {
    await archiveOf('redis', [DOCS]);
    writeFileSync(at('y.ngbak'), 'mine');
    expect((await convert('files')).code).toBe(2);
    expect(readFileSync(at('y.ngbak'), 'utf8')).toBe('mine');
    const bytes = readFileSync(at('x.ngbak'));
    const where = bytes.indexOf('NB') + 400;
    bytes[where] = (bytes[where] ?? 0) ^ 1;
    writeFileSync(at('x.ngbak'), bytes);
    expect(await convert('files', '--force')).toMatchObject({ code: 7 });
    expect(readFileSync(at('y.ngbak'), 'utf8')).toBe('mine');
    expect(readdirSync(folder).sort()).toEqual(['x.ngbak', 'y.ngbak']);
  });

  test('a conversion that is stopped leaves nothing', async () => {
    await archiveOf('redis', [DOCS]);
    const source = await openArchive(bufferSource('x', readFileSync(at('x.ngbak'))));
    const abort = new AbortController();
    const conversion = new KeyValueConversion(source, 'files', { now: Date.now(), signal: abort.signal });
    const plan = await conversion.survey();
    async function* chunks() {
      for await (const chunk of conversion.write(plan, {})) {
        yield chunk;
        await until('the file is begun', () => readdirSync(folder), {
          holds: (names) => names.includes('y.ngbak.part'),
        });
        abort.abort();
      }
    }
    const written = writeNewArchive(at('y.ngbak'), chunks(), async () => undefined, abort.signal);
    await expect(written).rejects.toThrow(/abort/);
    expect(readdirSync(folder)).toEqual(['x.ngbak']);
  });
});

describe('files as keys', () => {
  const file = (name: string, content: string) => text(`kv/files/${name}`, content);

  test('become keys with the prefix of the workspace; other files are listed', async () => {
    const docs = '{\n  "doc-1": {\n    "content": "Über",\n    "n": 1.0\n  },\n  "doc-2": {}\n}';
    await archiveOf('files', [
      file('graph_chunk_entity_relation.graphml', '<graphml/>'),
      file('kv_store_doc_status.json', ' \n'),
      file('kv_store_full_docs.json', docs),
      file('kv_store_other.json', '{}'),
      file('kv_store_text_chunks.json', '\ufeff{"chunk-1":{"tokens":3}}'),
      file('vdb_chunks.json', '{}'),
    ]);
    expect(await convert('redis')).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/other-files +3 .*vdb_chunks.json/s),
    });
    expect((await convert('redis', '--drop', 'other-files')).code).toBe(0);
    const archive = await converted();
    expect(await namesOf(archive)).toEqual([GRAPH.name, 'kv/full_docs.json', 'kv/text_chunks.json']);
    expect(await contentOf(archive, 'kv/full_docs.json')).toBe(
      '{\n"alpha_full_docs:doc-1": {\n    "content": "Über",\n    "n": 1.0\n  },\n"alpha_full_docs:doc-2": {}\n}\n',
    );
    expect(archive.manifest.tallies.kv).toMatchObject({ 'keys:full_docs': { count: 2 } });
    expect(archive.manifest.scope.scopes?.kv).toMatchObject({ prefix: 'alpha_' });

    // And back: the same file.
    writeFileSync(at('x.ngbak'), readFileSync(at('y.ngbak')));
    const { archive: back } = await convertHere('files');
    expect(await contentOf(back, 'kv/files/kv_store_full_docs.json')).toBe(docs);
  });

  test('keys that Redis cannot hold here are listed', async () => {
    await archiveOf('files', [
      file('kv_store_entity_chunks.json', `{"${'k'.repeat(3000)}": {}, "short": {}}`),
    ]);
    const { losses, archive } = await convertHere('redis');
    expect(losses).toEqual([expect.objectContaining({ code: 'long-keys', count: 1 })]);
    expect(archive.manifest.converted?.records).toMatchObject({ entity_chunks: 1 });
  });

  test.each([
    [
      'is not JSON',
      '{"a": NaN}',
      /kv_store_full_docs.json" can't be converted: at byte \d+: a value is not valid/,
    ],
    ['has a key twice', '{"a": {}, "a": {"b": 1}}', /namespace full_docs has the key "a" twice/],
    ['is cut off', '{"a": {}', /the object is not complete/],
    ['is a list', '[]', /a JSON object was expected/],
  ])('a file that %s is refused', async (_, content, message) => {
    await archiveOf('files', [file('kv_store_full_docs.json', content)]);
    await expect(convertHere('redis')).rejects.toThrow(message);
  });

  test('many values become several entries', async () => {
    const value = JSON.stringify({ content: 'x'.repeat(100_000) });
    const members = Array.from({ length: 100 }, (_, n) => `"${n}": ${value}`);
    await archiveOf('files', [file('kv_store_full_docs.json', `{${members.join(', ')}}`)]);
    const { archive } = await convertHere('redis');
    expect(await namesOf(archive)).toEqual([
      GRAPH.name,
      ...['kv/full_docs.json', 'kv/full_docs-00002.json', 'kv/full_docs-00003.json'],
    ]);
    expect(Object.keys(JSON.parse(await contentOf(archive, 'kv/full_docs-00002.json')))).toHaveLength(42);
  });
});

describe('rows as files', () => {
  const column = (name: string, type: string) => ({ name, type, not_null: false });
  const table = (name: string, columns: object[]) =>
    JSON.stringify({
      ...{ name, unlogged: false, columns, key: ['workspace', 'id'] },
      ...{ constraints: [], foreign_keys: [], indexes: [], extensions: [] },
    });
  const key = [column('id', 'character varying(255)'), column('workspace', 'character varying(255)')];
  const status = [
    ...[...key, column('status', 'text'), column('chunks_count', 'integer'), column('metadata', 'jsonb')],
    ...[column('created_at', 'timestamp without time zone'), column('added_later', 'text')],
  ];
  const docs = [
    ...[...key, column('doc_name', 'text'), column('content', 'text')],
    column('create_time', 'timestamp(0) without time zone'),
  ];
  const tables = text(
    'kv/tables.jsonl',
    [
      table('lightrag_doc_full', docs),
      table('lightrag_doc_status', status),
      table('lightrag_vdb_chunks', key),
      '',
    ].join('\n'),
  );
  const rows = (name: string, ...lines: string[]) =>
    text(`kv/rows/${name}-00001.copy`, `${lines.join('\n')}\n`);

  test('have the fields that the system reads; other columns, workspaces and tables are listed', async () => {
    await archiveOf('postgres', [
      tables,
      rows(
        'lightrag_doc_full',
        'doc-1\talpha\ta.txt\tone\\ttwo\t2026-01-02 03:04:05',
        'doc-2\talpha\t\\N\t\\N\t1970-01-01 00:00:01.5',
        'doc-1\tbeta\tb.txt\ttext\t\\N',
      ),
      rows(
        'lightrag_doc_status',
        'doc-1\talpha\tprocessed\t3\t{"n": 1.50}\t2026-01-02 03:04:05.25\t\\N',
        'doc-2\talpha\tpending\t\\N\t{}\tinfinity\tnew',
      ),
      rows('lightrag_vdb_chunks', 'chunk-1\talpha'),
    ]);
    const { archive, losses, notes } = await convertHere('files');
    expect(await contentOf(archive, 'kv/files/kv_store_full_docs.json')).toBe(
      [
        '{\n  "doc-1": {"file_path": "a.txt", "content": "one\\ttwo", "create_time": 1767323045, "_id": "doc-1"}',
        '  "doc-2": {"create_time": 2, "_id": "doc-2"}\n}',
      ].join(',\n'),
    );
    expect(await contentOf(archive, 'kv/files/kv_store_doc_status.json')).toBe(
      [
        '{\n  "doc-1": {"status": "processed", "chunks_count": 3, "metadata": {"n": 1.50}, "created_at": "2026-01-02T03:04:05.250000+00:00"}',
        '  "doc-2": {"status": "pending", "metadata": {}}\n}',
      ].join(',\n'),
    );
    expect(losses.map(({ code, count, samples }) => [code, count, ...samples])).toEqual([
      ['columns', 2, 'lightrag_doc_status doc-2: created_at', 'lightrag_doc_status doc-2: added_later'],
      ['other-workspaces', 1, 'lightrag_doc_full doc-1'],
      ['other-tables', 1, 'lightrag_vdb_chunks'],
    ]);
    expect(notes).toEqual([expect.objectContaining({ code: 'seconds', count: 1 })]);
    expect(archive.manifest.converted?.from.kv).toBe('postgres');
  });

  test('that are damaged are refused', async () => {
    await archiveOf('postgres', [tables, rows('lightrag_doc_status', 'doc-1\talpha\ta\t3\t{"n"\t\\N\t\\N')]);
    await expect(convertHere('files')).rejects.toThrow(
      /row of table "lightrag_doc_status doc-1" .* not JSON/,
    );
  });

  test('are written for the tables of an archive of the target; what these cannot hold is listed', async () => {
    await archiveOf('postgres', [tables]);
    writeFileSync(at('target.ngbak'), readFileSync(at('x.ngbak')));
    await archiveOf('files', [
      text(
        'kv/files/kv_store_full_docs.json',
        '{"d": {"content": "a\\tb", "_id": "d", "weight": 1, "none": null}}',
      ),
      text(
        'kv/files/kv_store_doc_status.json',
        JSON.stringify({
          one: {
            status: 'ok',
            chunks_count: 1.5,
            created_at: '2026-01-02T04:04:05.250+01:00',
            metadata: { bb: 1, a: [] },
          },
          two: 'text',
          ['i'.repeat(256)]: {},
        }),
      ),
    ]);
    expect(await convert('postgres')).toMatchObject({ code: 2, stderr: expect.stringContaining('--tables') });
    const drop = ['--drop', 'fields,values,rows'];
    expect(await convert('postgres', '--tables', at('target.ngbak'), ...drop)).toMatchObject({ code: 0 });
    const archive = await converted();
    expect(await contentOf(archive, 'kv/rows/lightrag_doc_full-00001.copy')).toBe(
      'd\talpha\t\\N\ta\\tb\t\\N\n',
    );
    expect(await contentOf(archive, 'kv/rows/lightrag_doc_status-00001.copy')).toBe(
      'one\talpha\tok\t\\N\t{"a": [], "bb": 1}\t2026-01-02 03:04:05.25\t\\N\n',
    );
    expect(archive.manifest).toMatchObject({
      scope: { only: { namespaces: ['lightrag_doc_full', 'lightrag_doc_status'] } },
      converted: { lost: { fields: 1, values: 2, rows: 1 }, records: { full_docs: 1, doc_status: 1 } },
    });
  });
});

test.each([
  [
    'of another system',
    'redis',
    { profile: 'nano-graphrag', parameters: {}, scopes: {} },
    'files',
    /only lightrag can/,
  ],
  ['of an unknown system', 'redis', { profile: undefined }, 'files', /an unknown system/],
  ['in that form', 'redis', {}, 'redis', /is in the form "redis"/],
  ['without key-value data', 'redis', { stores: ['graph' as const] }, 'files', /no key-value data/],
  ['of keys with prefixes', 'redis', { only: { key_prefixes: ['alpha_full'] } }, 'files', /certain prefixes/],
])('an archive %s is refused', async (_, kind, scope, as, message) => {
  const contents = 'scopes' in scope ? [] : [text('kv/full_docs.json', '{}')];
  await archiveOf(kind, contents, scope);
  await expect(convertHere(as as FormName)).rejects.toThrow(message);
});
