import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGunzip } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { extract } from 'tar-stream';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { missing, testUnless } from '../conditions.ts';
import { buildArchive, type Content } from './build.ts';

const contents: Content[] = [
  { name: 'graph/nodes-00001.jsonl', data: Buffer.from('{"id":1}\n'.repeat(10_000)) },
  { name: 'kv/empty.json', data: Buffer.alloc(0) },
  { name: `vectors/${'x'.repeat(120)}.snapshot`, data: Buffer.alloc(512 * 3, 7) },
  { name: 'vectors/ünï😀.jsonl', data: Buffer.from('ü') },
];

for (const codec of ['gzip', 'zstd'] as const) {
  const skipped = codec === 'zstd' ? missing('zstd') : undefined;
  testUnless(
    skipped,
    `an archive written as ${codec} is read back exactly, and tar and sha256sum agree`,
    async () => {
      const bytes = await buildArchive(contents, { codec, pieceBytes: 1000, memberBytes: 4096 });
      const archive = await openArchive(bufferSource('x.ngbak', bytes));
      const names: string[] = [];
      for await (const entry of archive.entries('')) {
        names.push(entry.name);
        const parts: Uint8Array[] = [];
        for await (const chunk of archive.open(entry)) parts.push(chunk);
        expect(Buffer.concat(parts)).toEqual(contents.find(({ name }) => name === entry.name)?.data);
      }
      expect(names).toEqual(contents.map(({ name }) => name));
      const folder = mkdtempSync(join(tmpdir(), 'ngbak-archive-'));
      try {
        writeFileSync(join(folder, 'x.ngbak'), bytes);
        execFileSync(
          'tar',
          [codec === 'gzip' ? '-xzf' : '--zstd', ...(codec === 'gzip' ? [] : ['-xf']), 'x.ngbak'],
          { cwd: folder },
        );
        execFileSync('sha256sum', ['-c', '--quiet', 'SHA256SUMS'], { cwd: folder });
        for (const { name, data } of contents) expect(readFileSync(join(folder, name))).toEqual(data);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
}

// Node's zstd ends after one frame, so this is gzip only.
test("npm's tar-stream reads what the writer wrote: names, sizes and contents", async () => {
  const entries = extract();
  Readable.from([await buildArchive(contents)])
    .pipe(createGunzip())
    .pipe(entries);
  const found: { name: string; type: unknown; data: Buffer }[] = [];
  for await (const entry of entries) {
    const { name, type, size } = entry.header;
    const data = await buffer(entry);
    expect(size).toBe(data.length);
    found.push({ name, type, data });
  }
  const own = new Set(['manifest.json', 'SHA256SUMS', 'index.jsonl']);
  const names = found.map(({ name }) => name);
  expect(found.filter(({ name }) => !own.has(name))).toEqual(
    contents.map((content) => ({ ...content, type: 'file' })),
  );
  expect(new Set(names.filter((name) => own.has(name)))).toEqual(own);
});
