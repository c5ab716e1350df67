/** How rows are named, found and compared. */
import { expect, test } from '@jest/globals';
import { postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import { tablesComparison } from '../../../shared/stores/postgres/comparison.ts';
import { MemoryArchive } from '../memory-archive.ts';

const SCOPE = postgresAdapter.Scope.parse({ workspace: { column: 'workspace', in: ['main'] } });
const TABLE = {
  name: 'docs',
  unlogged: false,
  columns: ['v', 'workspace', 'id'].map((name) => ({ name, type: 'text', not_null: name !== 'v' })),
  key: ['workspace', 'id'],
  constraints: [{ name: 'docs_pkey', definition: 'PRIMARY KEY (workspace, id)' }],
  foreign_keys: [],
  indexes: [],
  extensions: [],
};
const SEQUENCE = { table: 'docs', sequence: 'docs_seq', last_value: '7', is_called: true };
const ENTRIES = {
  'kv/tables.jsonl': `${JSON.stringify(TABLE)}\n`,
  'kv/rows/docs-00001.copy': 'a\\tb\tmain\tdoc:1\n\\N\tmain\tdoc 2\n',
  'kv/sequences.jsonl': `${JSON.stringify(SEQUENCE)}\n`,
};

/** Reads all records, with a new reader for each entry, as separate legs have. */
async function recordsIn(live: boolean) {
  const archive = new MemoryArchive();
  const probe = { kind: 'postgres', version: '18.6', counts: {}, estimatedBytes: 0, fence: {}, warnings: [] };
  const options = { mode: 'replace', onConflict: 'fail' } as const;
  const basis = await tablesComparison.prepare({
    archives: [archive],
    scope: SCOPE,
    ...(live ? { live: { probe, options } } : {}),
  });
  const records: unknown[] = [];
  let from: ReturnType<ReturnType<typeof tablesComparison.reader>['save']> | undefined;
  for (const [name, text] of Object.entries(ENTRIES)) {
    const reader = tablesComparison.reader(basis, { isLive: false, from: structuredClone(from) });
    const data = (async function* () {
      yield Buffer.from(text);
    })();
    const size = Buffer.byteLength(text);
    for await (const one of reader.read({ name, size, offset: 0, length: size, data }, archive)) {
      records.push([
        one.kind,
        one.name(),
        one.keys(),
        one.content === null ? null : 'compared',
        one.json?.(),
      ]);
    }
    from = reader.save();
  }
  return { records, limitations: basis.limitations };
}

test('a row is found by each column of its primary key but the workspace, and shown as the texts of its columns', async () => {
  const { records, limitations } = await recordsIn(false);
  expect(limitations).toEqual({});
  expect(records).toEqual([
    ['tables', 'table docs', ['docs'], 'compared', JSON.stringify(TABLE)],
    [
      'rows:docs',
      'table docs, row ["main","doc:1"]',
      ['doc:1'],
      'compared',
      '{"v":"a\\tb","workspace":"main","id":"doc:1"}',
    ],
    [
      'rows:docs',
      'table docs, row ["main","doc 2"]',
      ['doc 2'],
      'compared',
      '{"v":null,"workspace":"main","id":"doc 2"}',
    ],
    ['sequences', 'sequence docs_seq', ['docs_seq'], 'compared', JSON.stringify(SEQUENCE)],
  ]);
});

test('definitions and sequences that a restore of a workspace leaves as they are do not count as changes', async () => {
  const { records, limitations } = await recordsIn(true);
  expect(Object.keys(limitations)).toEqual(['tables', 'sequences']);
  expect(records.map((record) => (record as unknown[])[3])).toEqual([null, 'compared', 'compared', null]);
});
