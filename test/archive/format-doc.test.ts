import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { FOOTER_BYTES } from '../../shared/archive/format/footer.ts';
import { formatIndexLine, type IndexLine } from '../../shared/archive/format/lines.ts';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { LIMITS } from '../../shared/core/limits.ts';
import { buildArchive } from './build.ts';

const text = readFileSync(resolve(import.meta.dirname, '../../docs/format.md'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'ngbak-format-'));
afterAll(() => rmSync(folder, { recursive: true }));

function example(name: string): string {
  const block = new RegExp(`<!-- example:${name} -->\\n\`\`\`[a-z]*\\n(.*?)\`\`\``, 's').exec(text)?.[1];
  if (block === undefined) throw new Error(`docs/format.md has no example ${name}`);
  return block;
}

function hex(bytes: Buffer, from: number, to: number): string {
  let lines = '';
  for (let at = from; at < to; at += 16) {
    const row =
      bytes
        .subarray(at, Math.min(at + 16, to))
        .toString('hex')
        .match(/../g) ?? [];
    lines += `${at.toString(16).padStart(4, '0')}  ${row.join(' ')}\n`;
  }
  return lines;
}

test('the worked example of docs/format.md matches the output of the writer', async () => {
  const bytes = await buildArchive([{ name: 'kv/a.json', data: Buffer.from('{"k":"v"}\n') }]);
  const archive = await openArchive(bufferSource('example', bytes));
  expect(example('first')).toBe(hex(bytes, 0, archive.footer.offset));
  expect(example('footer')).toBe(hex(bytes, bytes.length - FOOTER_BYTES.gzip, bytes.length));
  const entry = (await archive.find('kv/a.json')) as IndexLine;
  expect(example('index')).toBe(formatIndexLine(entry));
});

test('the Python reader of docs/format.md lists an archive, reads an entry, and finds damage', async () => {
  const reader = example('reader');
  expect(reader.trimEnd().split('\n').length).toBeLessThanOrEqual(40);
  writeFileSync(join(folder, 'reader.py'), reader);
  const data = Buffer.alloc(3_000_000, 'some data ');
  const bytes = await buildArchive([
    { name: 'graph/nodes-00001.jsonl', data },
    { name: `kv/${'long'.repeat(50)}.json`, data: Buffer.from('{}') },
  ]);
  writeFileSync(join(folder, 'x.ngbak'), bytes);
  const run = (...args: string[]) =>
    execFileSync('python3', ['reader.py', ...args], { cwd: folder, maxBuffer: 1e8, stdio: 'pipe' });
  expect(run('x.ngbak').toString()).toBe(`3000000 graph/nodes-00001.jsonl\n2 kv/${'long'.repeat(50)}.json\n`);
  expect(run('x.ngbak', 'graph/nodes-00001.jsonl').equals(data)).toBe(true);
  bytes[bytes.length - 60] = (bytes[bytes.length - 60] ?? 0) ^ 1;
  writeFileSync(join(folder, 'x.ngbak'), bytes);
  expect(() => run('x.ngbak')).toThrow('no footer');
});

test('the limits in docs/format.md are those of the code', () => {
  const row = (what: string) => text.split('\n').find((line) => line.startsWith(`| ${what} |`)) ?? '';
  const number = (what: string) =>
    Number(/\| ([0-9,]+)/.exec(row(what).slice(what.length + 2))?.[1]?.replaceAll(',', ''));
  expect(number('data entries')).toBe(LIMITS.entries);
  expect(number('length of a name')).toBe(LIMITS.nameBytes);
  expect(number('names of all entries, folded for comparison') * 1024 ** 2).toBe(LIMITS.namesBytes);
  expect(number('ratio of uncompressed to compressed size, after the first GiB of output')).toBe(
    LIMITS.ratio,
  );
  expect(number('nesting of the manifest')).toBe(LIMITS.jsonDepth);
  expect(number('length of a line of index or sums')).toBe(LIMITS.lineBytes);
  expect(number('size of the manifest') * 1024 ** 2).toBe(LIMITS.manifestBytes);
  expect(number('body of a PAX or GNU long-name header') * 1024).toBe(LIMITS.extendedHeaderBytes);
});
