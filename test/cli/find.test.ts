/** `ngbak diff` and `ngbak find` with archives on this machine, without AWS. test/stack/compare.test.ts has the catalog. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { buildArchive, DRAFT } from '../archive/build.ts';
import { run } from './run.ts';

let folder: string;
/** Three states of one target: the oldest first. */
let files: string[];
const ngbak = (...args: string[]) => run(args, { TZ: 'UTC' });

const LARGE = 'x'.repeat(1024 ** 2);
const lines = (...values: readonly object[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const node = (id: number, key: string, n: number) => ({
  ...{ type: 'node', id: String(id), labels: ['base'], properties: { entity_id: key, n } },
});

async function write(
  number: number,
  values: Record<string, string>,
  nodes: readonly object[],
): Promise<string> {
  const contents = {
    'graph/nodes-00001.jsonl': lines(...nodes),
    'graph/schema.jsonl': '',
    'kv/docs.json': JSON.stringify(values),
    // A key of several parts, after parts of a reading that was started again.
    'kv/docs.typed.jsonl': lines(
      { key: 'docs:large', type: 'string', last: false, value: LARGE },
      { key: 'docs:large', type: 'string', last: false, value: LARGE },
      { key: 'docs:large', type: 'string', offset: 1, value: 'end' },
    ),
  };
  const draft = {
    ...DRAFT,
    backup_id: `snapshot_${number}`,
    created_at: `2026-01-0${number}T00:00:00.000Z`,
    storage_backends: { graph: { kind: 'neo4j' }, kv: { kind: 'redis' } },
    scope: {
      ...DRAFT.scope,
      scopes: { graph: { label: 'base', key_property: 'entity_id' }, kv: { prefix: '', separator: ':' } },
    },
  };
  const entries = Object.entries(contents).map(([name, text]) => ({ name, data: Buffer.from(text) }));
  const path = join(folder, `${number}.ngbak`);
  writeFileSync(path, await buildArchive(entries, { draft, level: 1 }));
  return path;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ngbak-find-'));
  files = [
    await write(1, { 'docs:a': '1', 'docs:b': '1' }, [node(1, 'Ada', 1), node(2, 'Bob', 1)]),
    await write(2, { 'docs:a': '2', 'docs:b': '1' }, [node(7, 'Ada', 1), node(8, 'Bob', 2)]),
    await write(3, { 'docs:b': '1', 'docs:c': '1' }, [node(9, 'Ada', 1)]),
  ];
});
afterAll(() => rmSync(folder, { recursive: true }));

test('find shows in which archives a key is, where it changed, and where it was last', async () => {
  const ran = await ngbak('find', 'docs:a', ...files, '--json');
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  const found = ran.lines().find(({ type }) => type === 'found');
  expect(found?.data).toEqual([
    {
      ...{ store: 'kv', kind: 'keys:docs', name: 'key docs:a' },
      ...{ first: 'snapshot_1', last: 'snapshot_2', changed: ['snapshot_2'] },
    },
  ]);
  // By its ID alone.
  const text = await ngbak('find', 'a', ...files);
  expect(text.stdout).toContain('key docs:a: first in snapshot_1, last in snapshot_2, changed in snapshot_2');
  expect(text.stdout).toMatch(/snapshot_3 +2026-01-03 00:00:00 +–/);
});

test('a node is found by its key, and has not changed only because its internal ID has', async () => {
  expect((await ngbak('find', 'Ada', ...files)).stdout).toContain(
    'node :base "Ada": first in snapshot_1, last in snapshot_3, never changed',
  );
  expect((await ngbak('find', 'Bob', ...files, '--store', 'graph')).stdout).toContain(
    'changed in snapshot_2',
  );
});

test('the record is extracted from the first archive that has it, to a new file only', async () => {
  const path = join(folder, 'record.json');
  expect((await ngbak('find', 'docs:a', ...files.toReversed(), '--extract', path)).code).toBe(0);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ key: 'docs:a', type: 'string', value: '"2"' });
  const again = await ngbak('find', 'docs:b', ...files, '--extract', path);
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('already exists')]);
  const printed = await ngbak('find', 'docs:large', files[0] ?? '', '--extract', '-', '--quiet');
  const parts = printed.stdout.trimEnd().split('\n');
  expect(parts.map((part) => (JSON.parse(part) as { value: string }).value)).toEqual([LARGE, 'end']);
  expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
});

test('a record that no archive has is reported by the exit code', async () => {
  const { code, stderr } = await ngbak('find', 'docs:nothing', ...files);
  expect([code, stderr]).toEqual([3, expect.stringContaining('None of the 3 backups searched has a record')]);
});

test('diff shows what changed between two files', async () => {
  const { code, stdout } = await ngbak('diff', files[0] ?? '', files[2] ?? '');
  expect(code).toBe(0);
  expect(stdout).toMatch(/graph nodes +2 +1 +0 +0 +1/);
  expect(stdout).toMatch(/kv keys:docs +3 +3 +1 +0 +1/);
  expect(stdout).toContain('- removed: key docs:a');
  expect((await ngbak('diff', files[0] ?? '', join(folder, 'nothing.ngbak'))).code).toBe(2);
});
