/** Downloads that are encrypted while they arrive, from a test server with arbitrary responses. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { downloadEncrypted } from '../../cli/transfer/download-encrypted.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import type { Download } from '../../shared/operations/download-backup.ts';
import { NIGHTLY } from '../nightly.ts';

const MIB = 1024 ** 2;
const LARGE_MIB = NIGHTLY ? 1024 : 192;
/** More than two ranges of a download, and text that would be found on the disk. */
const MARKER = 'the text of a confidential document; ';
const BYTES = Buffer.concat([randomBytes(5 * MIB), Buffer.alloc(13 * MIB + 1, MARKER)]);

let folder: string;
let path: string;
let secret: string;
let recipients: string[];
let server: Server;
/** Sends the bytes from `first` up to and including `last`. */
let answer: (first: number, last: number, response: ServerResponse) => void;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-encrypted-'));
  path = join(folder, 'a.ngbak.age');
  secret = await generateX25519Identity();
  recipients = [await identityToRecipient(secret)];
  answer = (first, last, response) => response.end(BYTES.subarray(first, last + 1));
  server = createServer(({ headers: { range = '' } }, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
    response.writeHead(206);
    answer(Number(first), Number(last), response);
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
const link =
  (changes: Partial<Download> = {}) =>
  async () => ({
    ...{ backup_id: 'x', url: url(), headers: {}, file_name: 'x', bytes: BYTES.length },
    ...{ crc32: crc32Base64(crc32(BYTES)), expires_at: '2026-01-02T03:04:05.000Z', ...changes },
  });

function download(changes: Partial<Parameters<typeof downloadEncrypted>[0]> = {}) {
  const signal = new AbortController().signal;
  return downloadEncrypted({ link: link(), path, recipients, signal, progress: () => undefined, ...changes });
}

async function plain(): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(secret);
  return decrypter.decrypt(await readFile(path));
}

describe('an encrypted download', () => {
  test('decrypts to exactly the same bytes, is readable by its owner only, and its plain bytes are nowhere', async () => {
    // Left by a process that was killed.
    await writeFile(`${path}.encrypting`, 'of another download');
    const done: number[] = [];
    const downloaded = await download({ progress: (now) => void done.push(now) });
    expect([done.at(0), done.at(-1)]).toEqual([0, BYTES.length]);
    expect(BYTES.equals(await plain())).toBe(true);
    const file = await readFile(path);
    expect(file.length).toBe(downloaded.bytes);
    expect(file.includes(MARKER)).toBe(false);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['a.ngbak.age']);
  });

  test('of no bytes, of one, and of exactly one range is complete', async () => {
    for (const bytes of [0, 1, 8 * MIB]) {
      const crc = crc32Base64(crc32(BYTES.subarray(0, bytes)));
      await download({ link: link({ bytes, crc32: crc }), force: true });
      expect(BYTES.subarray(0, bytes).equals(await plain())).toBe(true);
    }
  });

  test('whose bytes were corrupted in transit is not kept', async () => {
    answer = (first, last, response) => {
      const part = Buffer.from(BYTES.subarray(first, last + 1));
      part[5] = (part[5] ?? 0) ^ 1;
      response.end(part);
    };
    await expect(download()).rejects.toMatchObject({
      name: 'IntegrityError',
      message: expect.stringMatching(/has CRC-32 .*, but S3 reports/),
    });
    expect(await readdir(folder)).toEqual([]);
  });

  test('whose bytes were corrupted on the disk is not kept', async () => {
    const partial = `${path}.encrypting`;
    const verifying = () => {
      const bytes = readFileSync(partial);
      const at = bytes.length - MIB;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(partial, bytes);
    };
    await expect(download({ verifying })).rejects.toMatchObject({
      name: 'IntegrityError',
      message: expect.stringContaining('not authentic'),
    });
    expect(await readdir(folder)).toEqual([]);
  });

  test('that is stopped leaves nothing, and the next one starts over', async () => {
    const abort = new AbortController();
    await expect(
      download({
        signal: abort.signal,
        // Once the first range has been encrypted.
        progress: (done) => {
          if (done > 9 * MIB) abort.abort();
        },
      }),
    ).rejects.toThrow(/abort/i);
    expect(await readdir(folder)).toEqual([]);
    expect((await download()).resumed).toBe(0);
    expect(BYTES.equals(await plain())).toBe(true);
  });

  test('resumes within itself when connections break', async () => {
    let broken = 0;
    answer = (first, last, response) => {
      const part = BYTES.subarray(first, last + 1);
      if (part.length <= MIB || broken >= 12) return void response.end(part);
      broken++;
      response.write(part.subarray(0, MIB), () => response.destroy());
    };
    await download();
    expect(broken).toBeGreaterThan(2);
    expect(BYTES.equals(await plain())).toBe(true);
  });

  test('replaces no other file without --force, and none while it is incomplete', async () => {
    await writeFile(path, 'my own');
    await expect(download()).rejects.toThrow(/already exists/);
    await expect(download({ force: true, link: link({ crc32: 'AAAAAA==' }) })).rejects.toThrow(/CRC-32/);
    expect(await readFile(path, 'utf8')).toBe('my own');
    await download({ force: true });
    expect(BYTES.equals(await plain())).toBe(true);
  });

  test(`of ${LARGE_MIB} MiB takes no more memory than of a quarter, and neither does reading it`, async () => {
    const block = randomBytes(MIB);
    answer = async (first, last, response) => {
      for (let at = first; at <= last; ) {
        const part = block.subarray(at % MIB, Math.min(MIB, (at % MIB) + last + 1 - at));
        at += part.length;
        if (!response.write(part)) await once(response, 'drain');
      }
      response.end();
    };
    let crc = 0;
    for (let count = 0; count < LARGE_MIB; count++) crc = crc32(block, crc);
    const keyFile = join(folder, 'key.txt');
    await writeFile(keyFile, secret);
    const bytes = LARGE_MIB * MIB;
    const program = resolve(import.meta.dirname, 'encrypted-stream.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--disable-warning=ExperimentalWarning',
      ...[program, url(), String(bytes), crc32Base64(crc), path, recipients[0] ?? '', keyFile],
    ]);
    const { peaks, read } = JSON.parse(stdout);
    process.stderr.write(`peaks of memory in MiB: ${JSON.stringify(peaks)}\n`);
    expect(read).toBe(bytes);
    expect(peaks.downloaded).toBeLessThan(peaks.quarter * 1.25);
    expect(peaks.read).toBeLessThan(peaks.quarter * 1.25);
  });
});
