import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import { afterEach, expect, test } from '@jest/globals';
import { Crc32 } from '../../../dashboard/download/crc32.ts';
import { crc32Base64 } from '../../../shared/core/crc32.ts';
import { fc } from '../../fast-check.ts';

// The environment of the page; its modules read the address when they are loaded.
Object.assign(globalThis, { document: { baseURI: 'http://127.0.0.1/' } });
const { fetchArchive } = await import('../../../dashboard/download/fetch-archive.ts');

const BYTES = randomBytes(300_000);
const servers: (() => void)[] = [];
afterEach(() => {
  for (const close of servers.splice(0)) close();
});

/** Downloads from a server with an arbitrary response for each request number. */
async function download(
  answer: (
    range: { from: number; ranges: string | undefined },
    response: ServerResponse,
    call: number,
  ) => void,
  crc = crc32Base64(crc32(BYTES)),
) {
  let calls = 0;
  let links = 0;
  const server = createServer((request, response) => {
    const ranges = request.headers.range;
    answer(
      { from: Number(/^bytes=(\d+)-$/.exec(ranges ?? '')?.[1] ?? 0), ranges: ranges },
      response,
      ++calls,
    );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  servers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const written: Uint8Array[] = [];
  const seen: number[] = [];
  const result = fetchArchive({
    link: async () => {
      links++;
      return {
        backup_id: 'b',
        url,
        headers: {},
        file_name: 'backup_20260102_030405.ngbak',
        bytes: BYTES.length,
        crc32: crc,
        expires_at: '2026-01-02T03:04:05.000Z',
      };
    },
    sink: {
      write: async (piece) => {
        written.push(Uint8Array.from(piece));
      },
    },
    signal: new AbortController().signal,
    progress: (done) => seen.push(done),
    wait: async () => undefined,
  });
  return { result, bytes: () => Buffer.concat(written), seen, links: () => links, calls: () => calls };
}

const rest = ({ from }: { from: number }, response: ServerResponse) => {
  response.writeHead(from === 0 ? 200 : 206);
  response.end(BYTES.subarray(from));
};

test('CRC-32 equals that of zlib, regardless of how the bytes are split', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.nat(500), (bytes, cut) => {
      const crc = new Crc32();
      crc.update(bytes.subarray(0, cut));
      crc.update(bytes.subarray(cut));
      expect(crc.base64()).toBe(crc32Base64(crc32(bytes)));
    }),
  );
});

test('an archive is fetched, checked, and its progress reported to the last byte', async () => {
  const { result, bytes, seen } = await download(rest);
  expect((await result).file_name).toBe('backup_20260102_030405.ngbak');
  expect(bytes().equals(BYTES)).toBe(true);
  expect([seen[0], seen.at(-1)]).toEqual([0, BYTES.length]);
});

test('a broken connection is resumed after the last byte', async () => {
  const ranges: (string | undefined)[] = [];
  const { result, bytes, calls } = await download((range, response, call) => {
    ranges.push(range.ranges);
    if (call > 2) return rest(range, response);
    response.writeHead(range.from === 0 ? 200 : 206, { 'content-length': BYTES.length - range.from });
    response.write(BYTES.subarray(range.from, range.from + 70_000), () => response.destroy());
  });
  await result;
  expect(bytes().equals(BYTES)).toBe(true);
  expect(calls()).toBe(3);
  expect(ranges[0]).toBeUndefined();
  expect(ranges[2]).toMatch(/^bytes=[1-9]\d*-$/);
});

test('an expired link is replaced by a new one', async () => {
  const { result, links } = await download((range, response, call) => {
    if (call === 1) response.writeHead(403).end();
    else rest(range, response);
  });
  await result;
  expect(links()).toBe(2);
});

test('bytes other than those of the archive are refused', async () => {
  const { result } = await download(rest, 'AAAAAA==');
  await expect(result).rejects.toMatchObject({ title: 'Damaged data', status: 422 });
});

test('a server that never sends the rest is given up on, with the reason', async () => {
  const { result, calls } = await download((_, response) => response.writeHead(500).end());
  await expect(result).rejects.toMatchObject({ message: 'S3 answered 500.' });
  expect(calls()).toBe(8);
});
