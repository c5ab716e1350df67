import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { OwnServer } from './own-server.ts';
import {
  closeStores,
  contentOf,
  exportAll,
  leftovers,
  legContext,
  type MemoryArchive,
  openStore,
  REPLACE,
  seedPlain,
  wipe,
} from './support.ts';

let server: OwnServer;
let archive: MemoryArchive;
/** The data that readers find in the collection that the archive would replace. */
let live: string;

const ENTRY = 'vectors/plain.snapshot';
const CONFIG = 'vectors/plain.config.json';

beforeAll(async () => {
  server = await OwnServer.start();
});
beforeEach(async () => {
  await seedPlain(server, 'plain', 300, { dimensions: 16 });
  ({ archive } = await exportAll(openStore(server, { method: 'snapshot' }), legContext()));
  await wipe(server, '');
  await seedPlain(server, 'plain', 200, { dimensions: 16 });
  live = await contentOf(server, 'plain');
});
afterEach(async () => {
  await closeStores();
  await wipe(server, '');
});
afterAll(() => server.stop());

/** Changes the files with this name in every segment of the snapshot; sizes and digests of the archive match. */
async function damage(name: string, change: (path: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ngbak-damaged-'));
  const unpacked = join(folder, 'snapshot');
  const segment = join(folder, 'segment');
  let changed = 0;
  try {
    writeFileSync(join(folder, 'in.tar'), archive.files.get(ENTRY) ?? '');
    execFileSync('mkdir', [unpacked]);
    execFileSync('tar', ['-x', '-C', unpacked, '-f', join(folder, 'in.tar')]);
    for (const found of readdirSync(unpacked, { recursive: true, encoding: 'utf8' })) {
      if (!/segments\/[^/]+\.tar$/.test(found)) continue;
      execFileSync('mkdir', [segment]);
      execFileSync('tar', ['-x', '-C', segment, '-f', join(unpacked, found)]);
      for (const file of readdirSync(segment, { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith(`/${name}`)) continue;
        change(join(segment, file));
        changed++;
      }
      execFileSync('tar', ['-C', segment, '-cf', join(unpacked, found), ...readdirSync(segment)]);
      rmSync(segment, { recursive: true });
    }
    const whole = execFileSync('tar', ['-C', unpacked, '-c', '.', '--transform', 's,^\\./,,'], {
      maxBuffer: 2 ** 29,
    });
    archive.files.set(ENTRY, whole);
  } finally {
    rmSync(folder, { recursive: true });
  }
  expect(changed).toBeGreaterThan(0);
  const config = JSON.parse(archive.text(CONFIG)) as { snapshot: object };
  const { size, sha256 } = (await archive.find(ENTRY)) ?? {};
  config.snapshot = { size, sha256 };
  archive.files.set(CONFIG, Buffer.from(JSON.stringify(config)));
}

const cut = (path: string) => truncateSync(path, Math.floor(statSync(path).size / 2));
const scribble = (path: string) => writeFileSync(path, Buffer.alloc(statSync(path).size, 0x5a));

/** A test load, its error, and its leftovers. */
async function testLoad(): Promise<unknown> {
  const store = openStore(server, {});
  const context = legContext();
  expect(await store.admits({ archive, options: REPLACE, context })).toEqual([]);
  try {
    return await store.testLoad?.({ archive, options: REPLACE, cursor: null, context });
  } catch (error) {
    return error;
  } finally {
    // Including leftovers that could not be removed, if any.
    expect([
      await leftovers(server, context.jobId, ['plain']),
      await server.strayFiles(),
      context.logged,
    ]).toEqual([[], [], []]);
  }
}

test('an intact snapshot passes, and readers notice nothing', async () => {
  await damage('segment.json', () => undefined);
  expect(await testLoad()).toEqual({ cursor: null, tallies: {} });
  expect(await contentOf(server, 'plain')).toBe(live);
});

test('damage that the server repairs by itself, from its log, passes: the content is compared, not the files', async () => {
  await damage('mutable_id_tracker.mappings', cut);
  expect(await testLoad()).toEqual({ cursor: null, tallies: {} });
  expect(await contentOf(server, 'plain')).toBe(live);
});

test.each<[string, (path: string) => void]>([
  ['segment.json', scribble],
  ['segment.json', cut],
  ['chunk_0.mmap', scribble],
  ['page_0.dat', scribble],
  ['tracker.dat', scribble],
])(
  'damage that only the server finds, in %s (%p), is found before anything is replaced',
  async (name, change) => {
    await damage(name, change);
    const found = await testLoad();
    // Regardless of the server's message, the error names the user's collection.
    expect((found as Error).message).toMatch(/^The snapshot of collection "plain" /);
    expect(await contentOf(server, 'plain')).toBe(live);
  },
);
