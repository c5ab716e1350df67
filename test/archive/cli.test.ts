import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { run } from '../cli/run.ts';
import { buildArchive, type Content, DRAFT } from './build.ts';

const nodes = Array.from(
  { length: 750 },
  (_, i) => `${JSON.stringify({ type: 'node', id: String(i), labels: ['A'], properties: {} })}\n`,
);
const contents: Content[] = [
  { name: 'graph/nodes-00001.jsonl', data: Buffer.from(nodes.join('')) },
  { name: 'kv/text_chunks.json', data: Buffer.from('{"a":1}') },
];
let folder: string;
const ngbak = (...args: string[]) => run(['archive', ...args.map((arg) => arg.replace('@', folder))], {});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ngbak-cli-archive-'));
  const bytes = await buildArchive(contents);
  writeFileSync(join(folder, 'x.ngbak'), bytes);
  const damaged = Buffer.from(bytes);
  damaged[60] = (damaged[60] ?? 0) ^ 1;
  writeFileSync(join(folder, 'damaged.ngbak'), damaged);
  mkdirSync(join(folder, 'tree'));
  execFileSync('tar', ['-xzf', '../x.ngbak'], { cwd: join(folder, 'tree') });
  execFileSync('tar', ['-czf', '../packed.ngbak', '.'], { cwd: join(folder, 'tree') });
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each(['@/x.ngbak', '@/packed.ngbak'])('list %s shows its contents', async (file) => {
  const { code, stdout } = await ngbak('list', file);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /snapshot_2025-10-06T14-30-00Z.*graph\/nodes-00001.jsonl +43\.4 kB.*kv\/text_chunks.json/s,
  );
  const json = (await ngbak('list', '--json', '--prefix', 'kv/', file)).lines();
  // A busy machine may also report the progress of reading the archive.
  const results = json.filter(({ type }) => type !== 'transfer');
  expect(results.map(({ type }) => type)).toEqual(['archive', 'entry']);
  expect(results[1]?.data).toMatchObject({ name: 'kv/text_chunks.json', size: 7 });
});

test.each(['@/x.ngbak', '@/packed.ngbak'])('cat %s prints an entry, and the manifest', async (file) => {
  expect((await ngbak('cat', file, 'kv/text_chunks.json')).stdout).toBe('{"a":1}');
  expect(JSON.parse((await ngbak('cat', file, 'manifest.json')).stdout).index.entries).toBe(2);
  expect((await ngbak('cat', file, 'kv/nothing.json')).code).toBe(3);
});

test('extract writes files, overwrites none without -f, and follows no links', async () => {
  expect(await ngbak('extract', '@/x.ngbak', '-C', '@/out')).toMatchObject({ code: 0 });
  for (const { name, data } of contents) expect(readFileSync(join(folder, 'out', name))).toEqual(data);
  const again = await ngbak('extract', '@/x.ngbak', 'kv/', '-C', '@/out');
  expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('already exists') });
  expect(await ngbak('extract', '@/x.ngbak', 'kv/', '-f', '-C', '@/out')).toMatchObject({ code: 0 });
  mkdirSync(join(folder, 'trap'));
  symlinkSync(join(folder, 'out'), join(folder, 'trap/kv'));
  expect(await ngbak('extract', '@/x.ngbak', 'kv/', '-f', '-C', '@/trap')).toMatchObject({ code: 2 });
  expect(await ngbak('extract', '@/x.ngbak', 'vectors/', '-C', '@/out')).toMatchObject({ code: 3 });
});

test('extract leaves no file of an entry that is damaged', async () => {
  expect(await ngbak('extract', '@/damaged.ngbak', '-C', '@/hurt')).toMatchObject({
    code: 7,
    stderr: expect.stringContaining('graph/nodes-00001.jsonl'),
  });
  expect(execFileSync('find', [join(folder, 'hurt'), '-type', 'f']).toString()).toBe('');
});

test('verify finds content that is not what it claims to be, and counts that differ from the manifest', async () => {
  const named = { name: 'graph/nodes-00001.jsonl', data: Buffer.from('{"type":"node"}\n') };
  writeFileSync(join(folder, 'strange.ngbak'), await buildArchive([named]));
  expect(await ngbak('verify', '@/strange.ngbak')).toMatchObject({
    code: 7,
    stdout: expect.stringContaining('graph/nodes-00001.jsonl, line 1'),
  });
  const tallies = { graph: { nodes: { count: 749, digest: '0'.repeat(64) } } };
  writeFileSync(join(folder, 'short.ngbak'), await buildArchive(contents, { draft: { ...DRAFT, tallies } }));
  expect(await ngbak('verify', '@/short.ngbak')).toMatchObject({
    code: 7,
    stdout: expect.stringContaining('the manifest states 749 nodes, but the archive contains 750'),
  });
});

test('verify distinguishes intact from damaged archives, entry by entry, and by its exit code', async () => {
  expect(await ngbak('verify', '@/x.ngbak')).toMatchObject({ code: 0 });
  expect(await ngbak('verify', '@/packed.ngbak')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('repack'),
  });
  const damaged = await ngbak('verify', '--json', '@/damaged.ngbak');
  expect(damaged.code).toBe(7);
  expect(damaged.lines()).toMatchObject([
    { type: 'entry', data: { name: 'graph/nodes-00001.jsonl', is_valid: false } },
    { type: 'entry', data: { name: 'kv/text_chunks.json', is_valid: true } },
    { type: 'verification', data: { is_valid: false, errors: [expect.stringContaining('graph/nodes')] } },
  ]);
  writeFileSync(join(folder, 'cut.ngbak'), readFileSync(join(folder, 'x.ngbak')).subarray(0, 400));
  expect(await ngbak('verify', '@/cut.ngbak')).toMatchObject({ code: 7 });
  expect(await ngbak('verify', '@/tree/manifest.json')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('not an ngbak archive'),
  });
  expect(await ngbak('verify', '@/missing.ngbak')).toMatchObject({ code: 2 });
});

test('repack writes a seekable archive with the same content, in the requested codec', async () => {
  expect(await ngbak('repack', '@/packed.ngbak', '@/new.ngbak', '--codec', 'zstd')).toMatchObject({
    code: 0,
  });
  const [about] = (await ngbak('list', '--json', '@/new.ngbak')).lines();
  const [original] = (await ngbak('list', '--json', '@/x.ngbak')).lines();
  expect(about?.data).toMatchObject({ codec: 'zstd', seekable: true, checksum: original?.data.checksum });
  expect(await ngbak('repack', '@/packed.ngbak', '@/new.ngbak')).toMatchObject({ code: 2 });
  expect(await ngbak('repack', '@/damaged.ngbak', '@/none.ngbak')).toMatchObject({ code: 7 });
  expect(existsSync(join(folder, 'none.ngbak'))).toBe(false);
  expect(existsSync(join(folder, 'none.ngbak.part'))).toBe(false);
});

test('an unknown command or option exits with 2, help with 0', async () => {
  expect((await ngbak('list')).code).toBe(2);
  expect((await ngbak('list', '--help')).code).toBe(0);
  expect((await ngbak('repack', 'a', 'b', '--codec', 'lzma')).code).toBe(2);
});
