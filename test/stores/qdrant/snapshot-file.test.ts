import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { readSnapshot } from '../../../shared/stores/qdrant/snapshot-file.ts';
import { OwnServer, startInterceptor } from './own-server.ts';
import {
  closeStores,
  exportAll,
  legContext,
  type MemoryArchive,
  openStore,
  REPLACE,
  seedEverything,
  seedPlain,
  wipe,
} from './support.ts';

let server: OwnServer;

beforeAll(async () => {
  server = await OwnServer.start();
});
afterEach(async () => {
  await closeStores();
  await wipe(server, '');
});
afterAll(() => server.stop());

const ENTRY = 'vectors/plain.snapshot';

async function saved(): Promise<MemoryArchive> {
  await seedPlain(server, 'plain', 300, { dimensions: 16 });
  return (await exportAll(openStore(server, { method: 'snapshot' }), legContext())).archive;
}

async function look(archive: MemoryArchive, name = ENTRY) {
  const entry = await archive.find(name);
  if (!entry) throw new Error('no entry');
  return readSnapshot(archive, entry, 'plain', legContext());
}

/** The snapshot with a segment replaced by a tar of these files. */
function withSegment(snapshot: Buffer, files: readonly string[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'ngbak-segment-'));
  try {
    execFileSync('tar', ['-x', '-C', folder], { input: snapshot });
    mkdirSync(join(folder, 'segment'));
    for (const file of files) writeFileSync(join(folder, 'segment', file), 'x'.repeat(700));
    execFileSync('tar', [
      '-C',
      join(folder, 'segment'),
      '-cf',
      join(folder, '0/segments/made.tar'),
      ...files,
    ]);
    rmSync(join(folder, 'segment'), { recursive: true });
    return execFileSync('tar', ['-C', folder, '-c', '.', '--transform', 's,^\\./,,'], { maxBuffer: 2 ** 28 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a snapshot of a server is inspected to its end', async () => {
  const archive = await saved();
  expect(await look(archive)).toMatchObject({
    rocksDb: false,
    segments: expect.any(Number),
    view: { params: { vectors: { size: 16 } } },
  });
  expect((await look(archive))?.segments).toBeGreaterThan(0);
  await seedEverything(server, 'everything');
  const all = await exportAll(openStore(server, { method: 'snapshot' }), legContext());
  expect((await look(all.archive, 'vectors/everything.snapshot'))?.view).toBeDefined();
});

test('a snapshot is refused before anything is written, wherever it is truncated', async () => {
  const archive = await saved();
  const whole = archive.files.get(ENTRY) ?? Buffer.alloc(0);
  const store = openStore(server, {});
  for (const share of [0.1, 0.5, 0.9]) {
    archive.files.set(ENTRY, whole.subarray(0, Math.floor(whole.length * share)));
    const problems = await store
      .admits({ archive, options: REPLACE, context: legContext() })
      .catch((error: Error) => [error.name]);
    expect(problems).toHaveLength(1);
  }
});

test('segments in RocksDB are refused for servers that can no longer read them', async () => {
  const archive = await saved();
  const whole = archive.files.get(ENTRY) ?? Buffer.alloc(0);
  archive.files.set(ENTRY, withSegment(whole, ['CURRENT', 'MANIFEST-000004', '000012.sst']));
  expect((await look(archive))?.rocksDb).toBe(true);
  expect(await openStore(server, {}).admits({ archive, options: REPLACE, context: legContext() })).toEqual(
    [],
  );
  // No server of that version is available: this one claims the version.
  const interceptor = await startInterceptor(
    server,
    async () => undefined,
    (_method, path, answer) =>
      path === '/' ? answer.replace(/"version":"1\.\d+/, '"version":"1.17') : answer,
  );
  try {
    const newer = openStore({ url: interceptor.url, apiKey: server.apiKey }, {});
    expect(await newer.admits({ archive, options: REPLACE, context: legContext() })).toEqual([
      expect.stringContaining('RocksDB'),
    ]);
    archive.files.set(ENTRY, withSegment(whole, ['segment.json']));
    expect(await newer.admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
  } finally {
    await interceptor.stop();
  }
});

test('a snapshot with other vectors than the archive states is refused', async () => {
  const archive = await saved();
  const config = archive.text('vectors/plain.config.json').replace('"size":16', '"size":17');
  archive.files.set('vectors/plain.config.json', Buffer.from(config));
  await wipe(server, '');
  expect(await openStore(server, {}).admits({ archive, options: REPLACE, context: legContext() })).toEqual([
    expect.stringContaining('differ in its own snapshot'),
  ]);
});
