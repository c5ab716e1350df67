import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { downloadArchive } from '../../cli/transfer/download.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { DownloadInput, downloadBackup } from '../../shared/operations/download-backup.ts';
import { testUnless } from '../conditions.ts';
import { freshContext } from '../operations/context.ts';
import { SmallDisk, smallDiskMissing } from '../stores/small-disk.ts';
import { catalogRecord, catalogue } from '../support/catalog.ts';
import { until } from '../support/until.ts';
import { environmentOf, run } from './run.ts';

/** More than two chunks of a download. */
const BYTES = randomBytes(20 * 1024 ** 2);
const ID = 'snapshot_2026-01-02T03-04-05Z';

let context: Awaited<ReturnType<typeof freshContext>>;
let environment: NodeJS.ProcessEnv;
let folder: string;
const signal = () => new AbortController().signal;
const link = (id = ID) => downloadBackup(context, id, DownloadInput.parse({}));
const put = (backup_id: string, bytes: Uint8Array, crc = crc32(bytes)) => {
  const { archive } = catalogRecord({ backup_id });
  return catalogue(
    context.bucket,
    { backup_id, archive: { ...archive, bytes: bytes.length, crc32: crc32Base64(crc) } },
    bytes,
  );
};

beforeEach(async () => {
  context = await freshContext();
  environment = environmentOf(context);
  folder = await mkdtemp(join(tmpdir(), 'ngbak-download-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a download', () => {
  test('has exactly the same bytes, is named after the time of the backup, and is readable by its owner only', async () => {
    await put(ID, BYTES);
    const ran = await run(['download', ID, '--to', folder], environment);
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    expect(await readdir(folder)).toEqual(['backup_20260102_030405.ngbak']);
    const path = join(folder, 'backup_20260102_030405.ngbak');
    expect(ran.stdout).toBe(`${path}\n`);
    expect(BYTES.equals(await readFile(path))).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const again = await run(['download', ID, '--to', folder], environment);
    expect(again.stderr).toMatch(/Already downloaded/);
  });

  testUnless(smallDiskMissing(), 'that does not fit on the disk is refused before it begins', async () => {
    await put(ID, BYTES);
    const disk = await SmallDisk.over(folder, 10);
    try {
      const ran = await run(['download', ID, '--to', disk.root], environment);
      expect(ran.code).not.toBe(0);
      expect(ran.stderr).toMatch(/has 10\.5 MB free \(10485760 bytes\); 21 MB \(20971520 bytes\) are needed/);
      expect(ran.stderr).toContain('choose another folder with --to');
      expect(await readdir(disk.root)).toEqual([]);
    } finally {
      disk.remove();
    }
  });

  test('of one byte, and of exactly one chunk, is complete', async () => {
    for (const [id, length] of [
      ['snapshot_1', 1],
      ['snapshot_2', 8 * 1024 ** 2],
    ] as const) {
      await put(id, BYTES.subarray(0, length));
      const path = join(folder, id);
      await downloadArchive({ link: () => link(id), path, signal: signal(), progress: () => undefined });
      expect(BYTES.subarray(0, length).equals(await readFile(path))).toBe(true);
    }
  });

  test('that was interrupted resumes where it stopped', async () => {
    await put(ID, BYTES);
    const path = join(folder, 'a.ngbak');
    const abort = new AbortController();
    await expect(
      downloadArchive({
        link,
        path,
        signal: abort.signal,
        // Once a whole range is on disk.
        progress: () => {
          if (existsSync(`${path}.part.json`)) setImmediate(() => abort.abort());
        },
      }),
    ).rejects.toThrow();
    expect(await readdir(folder)).toEqual(['a.ngbak.part', 'a.ngbak.part.json']);
    const done = await downloadArchive({ link, path, signal: signal(), progress: () => undefined });
    expect(done.resumed).toBeGreaterThan(0);
    expect(BYTES.equals(await readFile(path))).toBe(true);
    expect(await readdir(folder)).toEqual(['a.ngbak']);
  });

  test('that resumes after the backup was replaced starts over', async () => {
    await put(ID, BYTES);
    const path = join(folder, 'a.ngbak');
    await writeFile(`${path}.part`, Buffer.alloc(BYTES.length));
    const state = {
      backup_id: ID,
      bytes: BYTES.length,
      crc32: 'AAAAAA==',
      chunk_bytes: 8 * 1024 ** 2,
      done: [0, 1, 2],
    };
    await writeFile(`${path}.part.json`, JSON.stringify(state));
    const done = await downloadArchive({ link, path, signal: signal(), progress: () => undefined });
    expect(done.resumed).toBe(0);
    expect(BYTES.equals(await readFile(path))).toBe(true);
  });

  test('whose bytes were corrupted in transit, or on disk, is not kept', async () => {
    await put(ID, BYTES);
    const path = join(folder, 'a.ngbak');
    await writeFile(`${path}.part`, Buffer.alloc(BYTES.length));
    const { crc32: crc } = await link();
    const state = { backup_id: ID, bytes: BYTES.length, crc32: crc, chunk_bytes: 8 * 1024 ** 2, done: [1] };
    await writeFile(`${path}.part.json`, JSON.stringify(state));
    await expect(
      downloadArchive({ link, path, signal: signal(), progress: () => undefined }),
    ).rejects.toThrow(/has CRC-32 .*, but S3 reports/);
    expect(await readdir(folder)).toEqual([]);

    await put('snapshot_wrong', BYTES.subarray(0, 100), 1);
    const ran = await run(['download', 'snapshot_wrong', '--to', folder], environment);
    expect(ran.code).toBe(7);
    expect(await readdir(folder)).toEqual([]);
  });

  test('does not replace another file of that name without --force', async () => {
    await put(ID, BYTES.subarray(0, 100));
    const path = join(folder, 'mine.txt');
    await writeFile(path, 'my own');
    const refused = await run(['download', ID, '--output', path], environment);
    expect(refused.code).toBe(4);
    expect(await readFile(path, 'utf8')).toBe('my own');
    expect((await run(['download', ID, '--output', path, '--force'], environment)).code).toBe(0);
    expect(BYTES.subarray(0, 100).equals(await readFile(path))).toBe(true);
  });

  test('is encrypted on request, named accordingly, and listed as what it is', async () => {
    await put(ID, BYTES);
    const secret = await generateX25519Identity();
    const to = ['--to', folder, '--encrypt-to', await identityToRecipient(secret)];
    const ran = await run(['download', ID, ...to], environment);
    const path = join(folder, 'backup_20260102_030405.ngbak.age');
    expect([ran.code, ran.stdout]).toEqual([0, `${path}\n`]);
    expect(ran.stderr).toContain('Without its secret key, nobody can read the file');
    const decrypter = new Decrypter();
    decrypter.addIdentity(secret);
    expect(BYTES.equals(await decrypter.decrypt(await readFile(path)))).toBe(true);
    expect((await run(['download', ID, ...to], environment)).code).toBe(4);
    const listed = await run(['list', '--local'], { ...environment, NGBAK_DOWNLOAD_FOLDER: folder });
    expect(listed.stderr).toMatch(/030405\.ngbak\.age cannot be read: It is encrypted with age/);
    const wrong = await run(['download', ID, '--encrypt-to', secret], environment);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('A secret key was given')]);
    expect(wrong.stderr).not.toContain(secret.slice(20, 40));
  });

  describe('over an unreliable connection', () => {
    const KIB = 1024;
    /** The requested `Range` headers. */
    const ranges: string[] = [];
    /** Downloads from a test server with arbitrary responses. */
    async function from(
      bytes: Buffer,
      stallMs: number,
      answer: (range: Buffer, response: ServerResponse) => Promise<void>,
    ) {
      ranges.length = 0;
      const server = createServer((request: IncomingMessage, response) => {
        const { range = '' } = request.headers;
        ranges.push(range);
        const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
        response.writeHead(206);
        answer(bytes.subarray(Number(first), Number(last) + 1), response).catch(() => response.destroy());
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      const made = { ...(await link()), url, bytes: bytes.length, crc32: crc32Base64(crc32(bytes)) };
      const path = join(folder, 'slow.ngbak');
      let done = 0;
      try {
        await downloadArchive({
          link: async () => made,
          path,
          signal: signal(),
          stallMs,
          progress: (now) => {
            done = now;
          },
        });
      } finally {
        server.closeAllConnections();
        server.close();
      }
      expect(done).toBe(bytes.length);
      expect(bytes.equals(await readFile(path))).toBe(true);
    }
    const bytes = BYTES.subarray(0, 256 * KIB);
    beforeEach(() => put(ID, BYTES.subarray(0, 1)));

    test('that is slow takes as long as it needs, and fetches no byte twice', async () => {
      const stallMs = 1000;
      // If this process itself stood still, that was a stall: again.
      await until('a slow download without a stall', async () => {
        const times = [performance.now()];
        await from(bytes, stallMs, async (range, response) => {
          // 1.6 s in total, longer than a connection may receive no byte.
          for (let at = 0; at < range.length; at += 16 * KIB) {
            times.push(performance.now());
            response.write(range.subarray(at, at + 16 * KIB));
            await sleep(100);
          }
          response.end();
        });
        times.push(performance.now());
        if (times.some((time, at) => time - (times[at - 1] ?? time) > stallMs / 2)) return false;
        expect(ranges).toEqual([`bytes=0-${bytes.length - 1}`]);
        return true;
      });
    });

    test('that stalls repeatedly resumes after the last byte received', async () => {
      // More often than a range is attempted without a byte.
      await from(bytes, 200, async (range, response) => {
        if (range.length <= 32 * KIB) response.end(range);
        else response.write(range.subarray(0, 32 * KIB), () => undefined);
      });
      expect(ranges.length).toBeGreaterThanOrEqual(8);
      expect(ranges.at(-1)).toBe(`bytes=${224 * KIB}-${bytes.length - 1}`);
    });
  });

  test('requests one new link for all its ranges when the first one has expired', async () => {
    await put(ID, BYTES);
    // S3 refuses an expired link with 403; the emulator does not, so a test server does.
    const refusing = createServer((_request, response) => response.writeHead(403).end());
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
    const { port } = refusing.address() as AddressInfo;
    let links = 0;
    const path = join(folder, 'a.ngbak');
    try {
      await downloadArchive({
        link: async () => {
          const made = await link();
          return ++links === 1 ? { ...made, url: `http://127.0.0.1:${port}/` } : made;
        },
        path,
        signal: signal(),
        progress: () => undefined,
      });
    } finally {
      refusing.closeAllConnections();
      refusing.close();
    }
    expect(links).toBe(2);
    expect(BYTES.equals(await readFile(path))).toBe(true);
  });
});
