import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { isSeekable, openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { normalizeArchive } from '../../shared/archive/write/normalize.ts';
import { missing, testUnless } from '../conditions.ts';
import { buildArchive, type Content, collect, readAll } from './build.ts';

const contents: Content[] = [
  { name: 'graph/nodes-00001.jsonl', data: Buffer.from('{"id":1}\n'.repeat(10_000)) },
  { name: `kv/${'long-'.repeat(40)}/${'name-'.repeat(10)}.json`, data: Buffer.from('{}') },
  { name: 'kv/empty.json', data: Buffer.alloc(0) },
  { name: 'kv/ünï😀.json', data: Buffer.from('{"ü":1}') },
];

const python = (format: string) => [
  'python3',
  '-c',
  `import tarfile
with tarfile.open('out.ngbak', 'w:gz', format=tarfile.${format}) as t:
    t.add('.', arcname='')`,
];
const PACKERS: Record<string, string[]> = {
  'GNU tar, with ./': ['tar', '-czf', 'out.ngbak', '.'],
  'GNU tar, names': ['sh', '-c', 'tar -czf out.ngbak manifest.json SHA256SUMS index.jsonl graph kv'],
  'GNU tar, PAX': ['tar', '--format=posix', '-czf', 'out.ngbak', '.'],
  'GNU tar, GNU long names': ['tar', '--format=gnu', '-czf', 'out.ngbak', '.'],
  'GNU tar, zstd': ['tar', '--zstd', '-cf', 'out.ngbak', '.'],
  'GNU tar, several members': ['sh', '-c', 'tar -cf - . | split -b 9000 --filter="gzip -c" > out.ngbak'],
  "Python's tarfile, GNU": python('GNU_FORMAT'),
  "Python's tarfile, PAX": python('PAX_FORMAT'),
  bsdtar: ['bsdtar', '-czf', 'out.ngbak', '.'],
  'bsdtar, zstd': ['bsdtar', '--zstd', '-cf', 'out.ngbak', '.'],
};

const MISSING = { bsdtar: missing('bsdtar'), zstd: missing('zstd') };
/** Why that packer cannot run here. GNU tar starts zstd; bsdtar has it as a library. */
function packerMissing(name: string): string | undefined {
  if (name.startsWith('bsdtar')) return MISSING.bsdtar;
  return name === 'GNU tar, zstd' ? MISSING.zstd : undefined;
}

describe('a backup that was unpacked and packed again', () => {
  let folder: string;
  let original: Buffer;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ngbak-repacked-'));
    original = await buildArchive(contents);
    unpack(original);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function unpack(archive: Buffer) {
    rmSync(join(folder, 'tree'), { recursive: true, force: true });
    mkdirSync(join(folder, 'tree'));
    writeFileSync(join(folder, 'x.ngbak'), archive);
    execFileSync('tar', ['-xzf', '../x.ngbak'], { cwd: join(folder, 'tree') });
  }
  function pack(command: readonly string[]): Buffer {
    const [tool = '', ...args] = command.map((word) => word.replaceAll('out.ngbak', '../out.ngbak'));
    execFileSync(tool, args, { cwd: join(folder, 'tree') });
    return readFileSync(join(folder, 'out.ngbak'));
  }

  for (const [name, command] of Object.entries(PACKERS)) {
    testUnless(packerMissing(name), `by ${name} is read with the same checks`, async () => {
      const packed = bufferSource('packed.ngbak', pack(command));
      expect(await isSeekable(packed)).toBe(false);
      const { bytes, result } = await collect(normalizeArchive(packed));
      const archive = await openArchive(bufferSource('new.ngbak', bytes));
      for (const { name, data } of contents) expect(await readAll(archive, name)).toEqual(data);
      expect(result.checksum).toBe((await openArchive(bufferSource('x', original))).manifest.checksum);
      expect(
        (await verifyArchive(bufferSource('new', bytes), { cursor: null, timeLeft: () => 1 })).problems,
      ).toEqual([]);
    });
  }

  const change: [string, () => void, RegExp][] = [
    [
      'a changed entry',
      () => write('graph/nodes-00001.jsonl', '{"id":2}\n'),
      /SHA-256 of entry "graph\/nodes-00001.jsonl"/,
    ],
    [
      'a missing entry',
      () => rmSync(join(folder, 'tree/kv/empty.json')),
      /entry "kv\/empty.json" is missing/,
    ],
    [
      'an added entry',
      () => write('graph/more.jsonl', '{}'),
      /entry "graph\/more.jsonl" is not in SHA256SUMS/,
    ],
    [
      'other sums',
      () => write('SHA256SUMS', `${'0'.repeat(64)}  x\n`),
      /SHA256SUMS does not match the checksum/,
    ],
    ['no sums', () => rmSync(join(folder, 'tree/SHA256SUMS')), /SHA256SUMS is missing/],
    ['no manifest', () => rmSync(join(folder, 'tree/manifest.json')), /no manifest.json/],
    [
      'a link',
      () => execFileSync('ln', ['-s', '/etc/passwd', 'tree/kv/a.json'], { cwd: folder }),
      /symbolic link/,
    ],
    [
      'a hard link',
      () => execFileSync('ln', ['tree/manifest.json', 'tree/n.json'], { cwd: folder }),
      /hard link/,
    ],
    ['a named pipe', () => execFileSync('mkfifo', ['tree/kv/p.json'], { cwd: folder }), /named pipe/],
    ['names that differ in case', () => write('kv/EMPTY.json', ''), /is there twice/],
    [
      'a manifest of the future',
      () =>
        edit((m) => {
          m.format_version = '2.0';
        }),
      /format version 2.0; this ngbak .* reads version 1/,
    ],
    ['a manifest that is too deep', () => write('manifest.json', '['.repeat(5000)), /nested deeper/],
  ];
  function write(name: string, text: string) {
    mkdirSync(dirname(join(folder, 'tree', name)), { recursive: true });
    writeFileSync(join(folder, 'tree', name), text);
  }
  function edit(by: (manifest: Record<string, unknown>) => void) {
    const manifest = JSON.parse(readFileSync(join(folder, 'tree/manifest.json'), 'utf8'));
    by(manifest);
    write('manifest.json', JSON.stringify(manifest));
  }
  test.each(change)('with %s is refused', async (_name, make, message) => {
    unpack(original);
    make();
    const packed = pack(['tar', '-czf', 'out.ngbak', '.']);
    await expect(collect(normalizeArchive(bufferSource('packed', packed)))).rejects.toThrow(message);
  });

  test('with unknown manifest fields retains them', async () => {
    unpack(original);
    edit((m) => {
      m.format_version = '1.7';
      m.later = { x: [1] };
    });
    const { result } = await collect(
      normalizeArchive(bufferSource('p', pack(['tar', '-czf', 'out.ngbak', '.']))),
    );
    expect(result).toMatchObject({ later: { x: [1] } });
  });

  for (const packer of ['GNU tar, with ./', 'GNU tar, zstd']) {
    const skipped = packerMissing(packer);
    const command = PACKERS[packer] ?? [];
    for (const bytes of [[0], [0, 0, 0, 0], [1, 2, 3], [0x1f, 0x8b], [...Buffer.from('PK')]]) {
      testUnless(
        skipped,
        `by ${packer} with bytes ${JSON.stringify(bytes)} after its end is refused`,
        async () => {
          unpack(original);
          const packed = Buffer.concat([pack(command), Buffer.from(bytes)]);
          await expect(collect(normalizeArchive(bufferSource('packed', packed)))).rejects.toThrow(/damaged/);
        },
      );
    }
    testUnless(skipped, `by ${packer} and truncated anywhere is refused`, async () => {
      unpack(original);
      const packed = pack(command);
      for (let cut = 1; cut < packed.length; cut += Math.max(1, Math.floor(packed.length / 97))) {
        await expect(
          collect(normalizeArchive(bufferSource('cut', packed.subarray(0, packed.length - cut)))),
        ).rejects.toThrow();
      }
    });
  }

  test('and concatenated with another one is refused', async () => {
    unpack(original);
    const packed = pack(['tar', '-czf', 'out.ngbak', '.']);
    await expect(
      collect(normalizeArchive(bufferSource('two', Buffer.concat([packed, packed])))),
    ).rejects.toThrow(/after the end of the tar/);
  });
});
