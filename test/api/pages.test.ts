import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { OpenAPIHono } from '@hono/zod-openapi';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Api } from '../../shared/api/api.ts';
import { pageRoutes } from '../../shared/api/pages.ts';

let folder: string;
let api: Api;
let requests = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-pages-'));
  await mkdir(join(folder, 'dashboard/assets'), { recursive: true });
  const write = (path: string, content: string | Buffer) => writeFile(join(folder, path), content);
  await write('secret.txt', 'secret');
  await write('dashboard/index.html', '<!doctype html>');
  await write('dashboard/assets/main-abc.js', 'code()');
  await write('dashboard/assets/main-abc.js.br', brotliCompressSync('code()'));
  await write('dashboard/assets/key.pem', 'secret');
  api = new OpenAPIHono();
  pageRoutes(api, {
    folder: join(folder, 'dashboard'),
    connectTo: async () => {
      requests++;
      return ['https://bucket.example'];
    },
  });
  api.onError((error, c) => c.text(error.message, 404));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the files of the dashboard', () => {
  test('the index is revalidated on each request, and its policy allows the bucket and nothing else', async () => {
    const answer = await api.request('/');
    expect(await answer.text()).toBe('<!doctype html>');
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('no-cache');
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("connect-src 'self' https://bucket.example;");
    expect(policy).not.toMatch(/unsafe|data:|\*/);
    await api.request('/');
    expect(requests).toBe(1);
  });

  test.each([
    ['br, gzip', 'br'],
    ['gzip', null],
    [undefined, null],
  ])('are sent to a browser that accepts %s in %s', async (accepts, encoding) => {
    const answer = await api.request('/assets/main-abc.js', {
      headers: accepts === undefined ? {} : { 'accept-encoding': accepts },
    });
    expect(answer.headers.get('content-encoding')).toBe(encoding);
    expect(answer.headers.get('vary')).toBe('Accept-Encoding');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(bytes).toEqual(encoding === null ? Buffer.from('code()') : brotliCompressSync('code()'));
  });

  test.each([
    '/secret.txt',
    '/../secret.txt',
    '/assets/%2e%2e/%2e%2e/secret.txt',
    '/assets/key.pem',
    '/assets',
    '/main-abc.js.br',
  ])('nothing else is sent: %s', async (path) => {
    const answer = await api.request(path);
    expect(answer.status).toBe(404);
    expect(await answer.text()).not.toContain('secret');
  });
});
