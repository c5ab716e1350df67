/** Knowledge bases with folders: scopes, names, links. `ms-graphrag.test.ts` and `databases.test.ts` cover their contents. */
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { entryNamesOf, fileNameOf } from '../../../shared/stores/files/names.ts';
import { compareFiles } from '../../../shared/stores/files/order.ts';
import { selectionOf } from '../../../shared/stores/files/selection.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';
import { servers } from '../../servers.ts';
import { checkSealed } from '../checked.ts';
import { legContext, MemoryArchive } from '../memory-archive.ts';
import { exportAll, REPLACE, restoreAll } from '../redis/support.ts';
import { bucket, directory, OpenStores, PLACES, type Place } from './places.ts';

const FILES: Record<string, Buffer> = Object.fromEntries(
  [
    'settings.yaml',
    'cache/a/1',
    'cache/2',
    'output/entities.json',
    'output/deep/er/file with spaces ü.txt',
    'output/t.lance/_versions/2.manifest',
    'output/t.lance/_versions/hint.json',
    'output/t.lance/data/1.lance',
    'output/t.lance/_indices/i/index.idx',
    'output/Case.txt',
    'output/case.txt',
    'output/..hidden/...',
  ].map((name) => [name, Buffer.from(`content of ${name}`)]),
);
const ALL = { include: ['**'] };

describe.each(PLACES)('folders within %s', (_, create) => {
  let place: Place;
  const stores = new OpenStores();
  const open = (scope: object) => stores.open(place.location, scope);
  const probe = (scope: object) => open(scope).probe(legContext());

  beforeEach(async () => {
    place = await create();
    for (const [name, content] of Object.entries(FILES)) await place.put(name, content);
  });
  afterEach(async () => {
    await stores.close();
    await place.destroy();
  });

  test('are saved and restored to the byte, in legs, in an order that does not depend on the system', async () => {
    const { counts, warnings, estimatedBytes, fence } = await probe(ALL);
    const bytes = Object.values(FILES).reduce((sum, { length }) => sum + length, 0);
    expect([counts, warnings, estimatedBytes]).toEqual([{ files: 12 }, [], bytes]);
    expect(fence.files).toContain(`12 files, ${bytes} bytes`);
    const { archive, tallies } = await exportAll(() => open(ALL), 1);
    expect(archive.names().map(fileNameOf)).toEqual(Object.keys(FILES).sort(compareFiles));
    const checked = await checkSealed(archive, { store: 'kv', kind: 'files', tallies });
    // The manifest of this test is not one.
    expect([checked.problems, checked.warnings.map(({ code }) => code)]).toEqual([
      [],
      ['lance-manifests-not-checked'],
    ]);
    for (const name of Object.keys(FILES)) if (name !== 'cache/2') await place.remove(name);
    await place.put('cache/2', Buffer.from('changed'));
    await place.put('output/left/over.json', Buffer.from('{}'));
    const { loaded, verified } = await restoreAll(open(ALL), archive, REPLACE, 0);
    expect([verified.differences, loaded.files]).toEqual([0, tallies.files]);
    expect(await place.read()).toEqual(FILES);
  });

  test('are selected by patterns; what no pattern names is left out with a warning, what "exclude" names without', async () => {
    await place.put('.env', Buffer.from('API_KEY=secret'));
    await place.put('output/.env', Buffer.from('API_KEY=secret'));
    const scope = {
      include: ['settings.*', 'output/**', 'cache/*'],
      exclude: ['**/.env', 'output/t.lance/**', 'output/?ase.txt'],
    };
    const { counts, warnings } = await probe(scope);
    expect(counts.files).toBe(5);
    expect(warnings).toMatchObject([{ code: 'subfolders-left-out', count: 1, samples: ['cache/a'] }]);
    const { archive } = await exportAll(() => open(scope));
    expect(archive.names().map(fileNameOf).sort()).toEqual(
      [
        'cache/2',
        'output/..hidden/...',
        'output/deep/er/file with spaces ü.txt',
        'output/entities.json',
        'settings.yaml',
      ].sort(),
    );
    // What does not belong to the scope is neither deleted nor accepted.
    await place.put('cache/a/late', Buffer.from('stays'));
    const before = await place.read();
    await restoreAll(open(scope), archive);
    expect(await place.read()).toEqual(before);
    const refused = await open({ include: ['output/**'] }).admits({
      archive,
      options: REPLACE,
      context: legContext(),
    });
    expect(refused).toEqual([expect.stringContaining('is not part of the target')]);
    // The default leaves out subfolders, and files with credentials.
    const direct = await probe({});
    expect([direct.counts.files, direct.warnings]).toMatchObject([
      1,
      [{ code: 'subfolders-left-out', count: 2, samples: ['cache', 'output'] }],
    ]);
  });

  test('a merge does not combine the versions of two Lance datasets', async () => {
    const { archive } = await exportAll(() => open(ALL));
    await place.put('output/t.lance/_versions/3.manifest', Buffer.from('newer'));
    const options = { mode: 'merge', onConflict: 'overwrite' } as const;
    expect(await open(ALL).admits({ archive, options, context: legContext() })).toEqual([
      expect.stringContaining('versions of the Lance datasets "output/t.lance"'),
    ]);
    expect(await open(ALL).admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
  });

  test('names that are too long for an archive are reported before anything is saved', async () => {
    await place.put(`output/${'ü'.repeat(90)}`, Buffer.from('1'));
    await expect(probe(ALL)).rejects.toThrow('1 files whose names are too long for an archive: "output/üüü');
    expect((await probe({ ...ALL, exclude: ['output/ü*'] })).counts.files).toBe(12);
  });

  test('the names by which a system is recognized include those of folders', async () => {
    expect(await open({}).names(legContext())).toEqual(
      expect.arrayContaining(['settings.yaml', 'output/', 'output/entities.json', 'output/t.lance/']),
    );
  });
});

describe('a mounted folder', () => {
  let place: Place;
  beforeEach(async () => {
    place = await directory();
  });
  afterEach(() => place.destroy());
  const open = () =>
    filesAdapter.create({ location: place.location }, filesAdapter.Scope.parse(ALL), { target: 'test' });

  test('links, pipes and sockets are named and never followed', async () => {
    await mkdir(join(place.location, 'a'));
    await writeFile(join(place.location, 'a/file'), '1');
    await symlink('/etc', join(place.location, 'a/folder-link'));
    await symlink('/etc/passwd', join(place.location, 'a/link'));
    execFileSync('mkfifo', [join(place.location, 'a/pipe')]);
    const server = createServer().listen(join(place.location, 'a/socket'));
    await new Promise((done) => server.once('listening', done));
    const { counts, warnings } = await open().probe(legContext());
    await new Promise((done) => server.close(done));
    expect([counts.files, warnings]).toMatchObject([
      1,
      [{ code: 'links-left-out', count: 4, samples: ['a/folder-link', 'a/link', 'a/pipe', 'a/socket'] }],
    ]);
  });

  test('a name that is not valid UTF-8 is named, not lost', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${place.location}/x`), Buffer.from([0xff])]), '1');
    const { counts, warnings } = await open().probe(legContext());
    expect([counts.files, warnings]).toMatchObject([0, [{ code: 'links-left-out', count: 1 }]]);
  });

  test('a restore never writes through a link out of the folder', async () => {
    const outside = await directory();
    try {
      await place.put('a/b/file', Buffer.from('1'));
      const { archive } = await exportAll(open);
      await rm(join(place.location, 'a/b'), { recursive: true });
      await symlink(outside.location, join(place.location, 'a/b'));
      expect(await open().admits({ archive, options: REPLACE, context: legContext() })).toEqual([
        expect.stringContaining('"a/b" in Folder'),
      ]);
      const leg = { archive, options: REPLACE, cursor: null, context: legContext() };
      await expect(open().load(leg)).rejects.toThrow('"a/b" is not a folder. Links are not followed.');
      expect((await open().verify(leg)).differences).toBe(1);
      expect(await outside.read()).toEqual({});
    } finally {
      await outside.destroy();
    }
  });

  test('folders that a restore leaves empty are removed', async () => {
    await place.put('keep', Buffer.from('1'));
    const { archive } = await exportAll(open);
    await place.put('old.lance/_versions/1.manifest', Buffer.from('1'));
    await restoreAll(open(), archive);
    expect(await readdir(place.location)).toEqual(['keep']);
  });

  test('an archive with a name that is a file and a folder is refused; names that differ in case are a warning', async () => {
    const archive = new MemoryArchive();
    for (const name of ['a', 'a/b', 'B', 'b']) archive.set(`kv/files/${name}`, name);
    const warnings: StoreWarning[] = [];
    const context = legContext({ warn: (warning) => void warnings.push(warning) });
    expect(await open().admits({ archive, options: REPLACE, context })).toEqual([
      expect.stringContaining('"a" are files and folders'),
    ]);
    expect(warnings).toMatchObject([{ code: 'names-alike', count: 1, samples: ['B and b'] }]);
  });
});

test('in S3, keys that cannot be file names are named, and a key may be a file and a folder', async () => {
  const place = await bucket();
  const s3 = new S3Client({ endpoint: servers.aws.endpoint });
  const [, , Bucket = '', ...folders] = place.location.split('/');
  const keys = ['a', 'a/b', 'a//c', 'marker/', 'full/'].map((key) => `${folders.join('/')}/${key}`);
  const open = () =>
    filesAdapter.create({ location: place.location }, filesAdapter.Scope.parse(ALL), { target: 'test' });
  try {
    for (const Key of keys)
      await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key.endsWith('marker/') ? '' : Key }));
    const { counts, warnings } = await open().probe(legContext());
    expect([counts.files, warnings]).toMatchObject([2, [{ code: 'links-left-out', count: 2 }]]);
    const { archive } = await exportAll(open);
    expect(archive.names()).toEqual(['kv/files/%61', 'kv/files/a/b']);
    const before = await place.read();
    expect((await restoreAll(open(), archive)).verified.differences).toBe(0);
    expect(await place.read()).toEqual(before);
  } finally {
    for (const Key of keys) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
    await place.destroy();
    s3.destroy();
  }
});

describe('names and patterns', () => {
  test('files whose names differ only in case have entries that differ in more, whatever their order', () => {
    for (const names of [
      ['A/x', 'a/x'],
      ['a.json', 'A.json'],
      ['A.json', 'a.json'],
    ]) {
      const entries = entryNamesOf(names);
      expect(names.map((name) => fileNameOf(entries.get(name) ?? ''))).toEqual(names);
      expect(new Set([...entries.values()].map((entry) => entry.toLowerCase())).size).toBe(2);
    }
  });

  test.each([
    ['*', 'a', true],
    ['*', 'a/b', false],
    ['*', '\n.x', true],
    ['**', 'a/.b/c', true],
    ['a/**', 'a', false],
    ['a/**', 'ab/c', false],
    ['**/x', 'x', true],
    ['**/x', 'a/b/x', true],
    ['{a,b}', 'a', false],
    ['!a', 'b', false],
    ['#a', '#a', true],
    ['a(1).json', 'a(1).json', true],
    ['[ab]', 'b', true],
    ['\\[ab\\]', '[ab]', true],
    ['a?', 'aä', true],
  ])('pattern %s and file %s: %s', (pattern, file, expected) => {
    expect(selectionOf({ include: [pattern], exclude: [] }).includes(file)).toBe(expected);
  });

  test.each(['/a', 'a/', 'a//b', '../a', 'a/./b', 'a/..', ''])('pattern %s is refused', (pattern) => {
    expect(filesAdapter.Scope.safeParse({ include: [pattern] }).success).toBe(false);
  });

  test('places overlap if the scope of one reaches into the other', () => {
    const placeOf = (location: string, scope: object) => ({
      connection: { location },
      scope: filesAdapter.Scope.parse(scope),
    });
    const inner = placeOf('s3://bucket/kb/output', {});
    expect(filesAdapter.overlaps(placeOf('s3://bucket/kb', ALL), inner)).toBe(true);
    expect(filesAdapter.overlaps(inner, placeOf('s3://bucket/kb', ALL))).toBe(true);
    expect(filesAdapter.overlaps(placeOf('s3://bucket/kb', {}), inner)).toBe(false);
    expect(filesAdapter.overlaps(placeOf('s3://bucket/kb', { ...ALL, exclude: ['output/**'] }), inner)).toBe(
      false,
    );
  });
});
