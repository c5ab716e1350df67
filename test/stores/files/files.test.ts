import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { openFolder } from '../../../shared/stores/files/connection.ts';
import { entryNamesOf, fileNameOf } from '../../../shared/stores/files/names.ts';
import { neededBytes } from '../../../shared/stores/files/restore.ts';
import type { SpaceEstimate } from '../../../shared/stores/room.ts';
import { testUnless } from '../../conditions.ts';
import { servers } from '../../servers.ts';
import { MemoryArchive } from '../memory-archive.ts';
import { exportAll, legContext, REPLACE, restoreAll } from '../redis/support.ts';
import { SmallDisk, smallDiskMissing } from '../small-disk.ts';
import { bucket, directory, OLD, OpenStores, PLACES, type Place } from './places.ts';

/** Files as nano-graphrag and LightRAG write them, including content that must not be parsed. */
const FILES: Record<string, Buffer> = {
  'kv_store_full_docs.json': Buffer.from(
    '{\n  "doc-1": {"content": "ä  ö"},\n  "doc-2": {"content": 1.0}\n}',
  ),
  'kv_store_text_chunks.json': Buffer.from('{"chunk-1": {}}'),
  'kv_store_broken.json': Buffer.from('{"cut off": '),
  'vdb_entities.json': Buffer.from('{"embedding_dim": 2, "data": [], "matrix": "AAAA"}'),
  'graph_chunk_entity_relation.graphml': Buffer.from('<?xml version="1.0"?><graphml/>'),
  'entities_hnsw_metadata.pkl': Buffer.from([0x80, 4, 0x95, 0, 255, 0x2e]),
  'empty.json': Buffer.alloc(0),
  'Ünïcode – name.json': Buffer.from('{}'),
  'A.json': Buffer.from('capital'),
  'a.json': Buffer.from('small'),
};

describe.each(PLACES)('files in %s', (_, create) => {
  let place: Place;
  const stores = new OpenStores();
  const open = (scope: object = {}) => stores.open(place.location, scope);

  beforeEach(async () => {
    place = await create();
    for (const [name, content] of Object.entries(FILES)) await place.put(name, content);
  });
  afterEach(async () => {
    await stores.close();
    await place.destroy();
  });

  test('are restored to the byte, regardless of their contents', async () => {
    const probe = await open().probe(legContext());
    const { archive, tallies } = await exportAll(() => open());
    expect(probe.counts).toEqual({ files: 10 });
    expect(tallies.files?.count).toBe(10);
    expect(tallies['keys:full_docs']?.count).toBe(2);
    expect(tallies['keys:broken']).toBeUndefined();
    expect(archive.files.get('kv/files/kv_store_full_docs.json')).toEqual(FILES['kv_store_full_docs.json']);
    await place.remove('vdb_entities.json');
    await place.put('kv_store_full_docs.json', Buffer.from('damaged'));
    await place.put('new.json', Buffer.from('{}'));
    const store = open();
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
    const { loaded, verified } = await restoreAll(store, archive);
    expect(verified).toMatchObject({ differences: 0, samples: [] });
    expect(await place.read()).toEqual(FILES);
    expect(loaded.files).toEqual(tallies.files);
    expect(verified.tallies.files).toEqual(tallies.files);
  });

  test('are saved and restored in legs of one file', async () => {
    const whole = await exportAll(() => open());
    const cut = await exportAll(() => open(), 1);
    expect(cut.legs).toBe(10);
    expect([...cut.archive.files]).toEqual([...whole.archive.files]);
    expect(cut.tallies).toEqual(whole.tallies);
    for (const name of Object.keys(FILES)) await place.remove(name);
    const { verified } = await restoreAll(open(), cut.archive, REPLACE, 0);
    expect(verified).toMatchObject({ differences: 0, tallies: { files: whole.tallies.files } });
    expect(await place.read()).toEqual(FILES);
  });

  test('differences are found: other content, a missing file, an additional file', async () => {
    const { archive } = await exportAll(() => open());
    await place.put('a.json', Buffer.from('smalL'));
    await place.remove('A.json');
    await place.put('extra', Buffer.from('1'));
    const verified = await open().verify({ archive, options: REPLACE, cursor: null, context: legContext() });
    expect(verified.differences).toBe(3);
    expect(verified.samples.map(({ thing, problem }) => `${thing} ${problem}`).sort()).toEqual([
      'file A.json is missing in the target',
      'file a.json has different content',
      'file extra is in the target, but not in the archive',
    ]);
  });

  test('merging keeps, overwrites or refuses existing files with different content', async () => {
    const { archive } = await exportAll(() => open());
    await place.put('a.json', Buffer.from('other'));
    await place.remove('A.json');
    const refused = await open().admits({
      archive,
      options: { mode: 'merge', onConflict: 'fail' },
      context: legContext(),
    });
    expect(refused.join()).toContain('has the file "a.json" with different content');
    await expect(
      open().load({
        archive,
        options: { mode: 'merge', onConflict: 'fail' },
        cursor: null,
        context: legContext(),
      }),
    ).rejects.toThrow('has the file "a.json" with different content');
    const keep = await restoreAll(open(), archive, { mode: 'merge', onConflict: 'keep' });
    expect(keep.loaded.files?.count ?? 0).toBeLessThanOrEqual(1);
    expect((await place.read())['a.json']?.toString()).toBe('other');
    expect((await place.read())['A.json']?.toString()).toBe('capital');
    const overwrite = await restoreAll(open(), archive, { mode: 'merge', onConflict: 'overwrite' });
    expect(overwrite.verified.differences).toBe(0);
    expect(await place.read()).toEqual(FILES);
  });

  test('the origin of the files is written next to them, and never counts as one of them', async () => {
    const { archive } = await exportAll(() => open());
    const labels = { restored_from_backup: 'snapshot_1' };
    const route = { scope: {}, names: {}, origin: labels, changes: [] };
    const folder = openFolder({ location: place.location }, { folder: '' }, 'test');
    const written = async () => {
      const file = await folder.stat('.ngbak-origin.json');
      if (!file) return undefined;
      const parts: Uint8Array[] = [];
      for await (const chunk of folder.read(file, 0, file.size)) parts.push(chunk);
      return JSON.parse(Buffer.concat(parts).toString());
    };
    await open().label?.({ archive, route, cursor: null, context: legContext() });
    await open().finish(legContext());
    expect(await written()).toEqual(labels);
    expect((await open().probe(legContext())).counts.files).toBe(Object.keys(FILES).length);
    expect(
      (await open().verify({ archive, options: REPLACE, cursor: null, context: legContext() })).differences,
    ).toBe(0);
    // Other files replace them, for which the origin is wrong.
    await restoreAll(open(), archive);
    expect(await written()).toBeUndefined();
    await folder.close();
  });

  test('only what the scope includes is saved, cleared and restored', async () => {
    const scope = { include: ['kv_store_*.json'] };
    const probe = await open(scope).probe(legContext());
    expect(probe.counts.files).toBe(3);
    expect(probe.warnings).toEqual([expect.objectContaining({ code: 'files-left-out', count: 7 })]);
    const { archive } = await exportAll(() => open(scope));
    await place.put('kv_store_late.json', Buffer.from('{}'));
    await restoreAll(open(scope), archive);
    expect(await place.read()).toEqual(FILES);
    expect(
      await open({ include: ['vdb_*'] }).admits({ archive, options: REPLACE, context: legContext() }),
    ).toEqual([expect.stringContaining('not part of the target')]);
  });

  test('an entry that is truncated in the archive leaves the old file unchanged', async () => {
    const { archive } = await exportAll(() => open());
    const broken = new (class extends MemoryArchive {
      override async *open(entry: Parameters<MemoryArchive['open']>[0]): AsyncGenerator<Uint8Array> {
        yield* super.open(entry);
        if (entry.name.endsWith('/a.json')) throw new Error('the archive ends here');
      }
    })();
    for (const [name, content] of archive.files) broken.files.set(name, content);
    await place.put('a.json', Buffer.from('old'));
    await expect(
      open().load({ archive: broken, options: REPLACE, cursor: null, context: legContext() }),
    ).rejects.toThrow();
    expect((await place.read())['a.json']?.toString()).toBe('old');
    expect(Object.keys(await place.read()).filter((name) => name.startsWith('.ngbak'))).toEqual([]);
  });
});

describe('S3 uploads of a restore that was killed', () => {
  /** Uploads of a user with the key of the restored file, and with a key that begins with it. */
  async function withUploads(
    work: (found: {
      location: string;
      Bucket: string;
      Key: string;
      own: string[];
      begin(Key: string): Promise<string>;
      unfinished(): Promise<(string | undefined)[]>;
    }) => Promise<void>,
  ): Promise<void> {
    const place = await bucket();
    const s3 = new S3Client({ endpoint: servers.aws.endpoint });
    const [, , Bucket = '', ...folders] = place.location.split('/');
    const Key = `${folders.join('/')}/large.json`;
    const begin = async (key: string) => {
      const { UploadId = '' } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: key }));
      return UploadId;
    };
    const unfinished = async () => {
      const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
      return Uploads.map(({ UploadId }) => UploadId).sort();
    };
    try {
      const own = [await begin(Key), await begin(`${Key}.2`)].sort();
      await work({ location: place.location, Bucket, Key, own, begin, unfinished });
    } finally {
      const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
      for (const { Key: key, UploadId } of Uploads)
        await s3.send(new AbortMultipartUploadCommand({ Bucket, Key: key, UploadId }));
      await place.destroy();
      s3.destroy();
    }
  }

  const cleanUp = async (location: string, remembered: readonly unknown[]) => {
    const store = filesAdapter.create({ location }, filesAdapter.Scope.parse({}), { target: 'test' });
    const leftovers = {
      add: () => Promise.resolve(),
      async *all() {
        yield* remembered;
      },
    };
    // The cleanup may be repeated.
    for (let time = 0; time < 2; time++) await store.cleanup({ ...legContext(), leftovers });
    await store.close();
  };

  test.each([
    ['before it began', 1, 0],
    ['between the answer of S3 and the record of its id', 2, 1],
    ['in the middle of it', 3, 1],
  ])('are aborted if it was killed %s; those of users stay', async (_, killedAt, left) => {
    await withUploads(async ({ location, Bucket, Key, own, begin, unfinished }) => {
      const { signal, records } = await killedRestore(location, killedAt);
      expect([signal, records.length]).toEqual(['SIGKILL', killedAt === 3 ? 2 : 1]);
      expect(await unfinished()).toHaveLength(own.length + left);
      // The latest record of each ID, as stored.
      const latest = [...new Map(records.map(({ id, value }) => [id, value])).values()];
      // Of another bucket: never touched.
      const foreign = { bucket: 'of-somebody-else', key: Key, upload_id: own[0] };
      await cleanUp(location, [...latest, foreign]);
      expect(await unfinished()).toEqual(own);
      if (killedAt < 3) return;
      // The record has the ID: a later upload of a user with the same key does not belong to the restore.
      const later = await begin(Key);
      await cleanUp(location, latest);
      expect(await unfinished()).toEqual([...own, later].sort());
      expect(latest).toEqual([{ bucket: Bucket, key: Key, upload_id: expect.any(String) }]);
    });
  });

  test('are recognized by their initiator, and uploads that users begin later stay', async () => {
    const aborted: string[] = [];
    // The emulator returns the same initiator for every upload.
    const upload = (id: string, initiator: string) =>
      `<Upload><Key>kb/a.json</Key><UploadId>${id}</UploadId><Initiator><ID>${initiator}</ID></Initiator></Upload>`;
    const s3 = createServer((request, response) => {
      const { searchParams } = new URL(request.url ?? '', 'http://localhost');
      if (request.method === 'DELETE') {
        aborted.push(searchParams.get('uploadId') ?? '');
        response.writeHead(204).end();
        return;
      }
      response
        .writeHead(200, { 'content-type': 'application/xml' })
        .end(
          `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${[
            upload('earlier', 'arn:aws:sts::111122223333:assumed-role/role/Ngbak-restore-kv'),
            upload('ours', 'arn:aws:sts::111122223333:assumed-role/role/Ngbak-restore-kv'),
            upload('by-role', 'arn:aws:sts::111122223333:assumed-role/role/indexer'),
            upload('by-user', 'arn:aws:iam::111122223333:user/indexer'),
            upload('by-account', '111122223333'),
          ].join('')}</ListMultipartUploadsResult>`,
        );
    });
    await new Promise<void>((done) => s3.listen(0, '127.0.0.1', done));
    const { AWS_ENDPOINT_URL } = process.env;
    process.env.AWS_ENDPOINT_URL = `http://127.0.0.1:${(s3.address() as AddressInfo).port}`;
    try {
      const begun = { bucket: 'user', key: 'kb/a.json', others: ['earlier'], by: 'Ngbak-restore-kv' };
      await cleanUp('s3://user/kb', [begun]);
      expect([...new Set(aborted)]).toEqual(['ours', 'by-account']);
    } finally {
      if (AWS_ENDPOINT_URL === undefined) delete process.env.AWS_ENDPOINT_URL;
      else process.env.AWS_ENDPOINT_URL = AWS_ENDPOINT_URL;
      s3.closeAllConnections();
      await new Promise((done) => s3.close(done));
    }
  });
});

/**
 * Restores a large file in a process that kills itself: instead of writing the first or second record, or, with 3, in
 * the middle of the file. Returns the records that it wrote.
 */
async function killedRestore(
  location: string,
  killedAt: number,
): Promise<{ signal: NodeJS.Signals | null; records: { id: string; value: unknown }[] }> {
  const script = join(import.meta.dirname, 'killed-restore.ts');
  const child = spawn(process.execPath, [script, location, String(killedAt)], {
    // The servers of this test's lane are in Jest's copy of the environment.
    env: process.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  const signal = await new Promise<NodeJS.Signals | null>((done) => child.on('close', (_, by) => done(by)));
  const lines = output.split('\n').filter((line) => line !== '');
  return { signal, records: lines.map((line) => JSON.parse(line)) };
}

describe('a mounted folder', () => {
  let place: Place;
  beforeEach(async () => {
    place = await directory();
  });
  afterEach(async () => {
    await place.destroy();
  });
  const open = () =>
    filesAdapter.create({ location: place.location }, filesAdapter.Scope.parse({}), { target: 'test' });

  test('files of many pieces are restored, and their digests do not depend on legs', async () => {
    const path = join(place.location, 'vdb_chunks.json');
    await writeFile(path, 'x');
    await truncate(path, 66 * 1024 ** 2);
    await utimes(path, OLD, OLD);
    const { archive, tallies, legs } = await exportAll(open, 1);
    expect(legs).toBe(2);
    expect(tallies.files?.count).toBe(1);
    const { verified } = await restoreAll(open(), archive);
    expect(verified.tallies.files).toEqual(tallies.files);
    expect(verified.differences).toBe(0);
  });

  test('a file that is being written is waited for, and then saved', async () => {
    const path = join(place.location, 'kv_store_full_docs.json');
    await writeFile(path, '{"doc-1": ');
    // It does not count as still before it is finished, however slow the machine is.
    const ahead = new Date(Date.now() + 3_600_000);
    await utimes(path, ahead, ahead);
    const finish = setTimeout(() => {
      finished = writeFile(path, '{"doc-1": 1}');
    }, 300);
    let finished: Promise<void> = Promise.resolve();
    const { archive, tallies } = await exportAll(open);
    clearTimeout(finish);
    await finished;
    expect(archive.text('kv/files/kv_store_full_docs.json')).toBe('{"doc-1": 1}');
    expect(tallies['keys:full_docs']?.count).toBe(1);
  });

  test('a large file that changes between two legs stops the backup with its name', async () => {
    const path = join(place.location, 'vdb_chunks.json');
    await writeFile(path, '');
    await truncate(path, 70 * 1024 ** 2);
    await utimes(path, OLD, OLD);
    const shard = { id: 'files', params: {}, estimatedBytes: 0 };
    for await (const step of open().export(shard, null, legContext())) {
      for await (const chunk of step.piece.data) expect(chunk.length).toBeGreaterThan(0);
      await truncate(path, 71 * 1024 ** 2);
      const rest = open().export(shard, step.next, legContext());
      await expect((rest as AsyncGenerator).next()).rejects.toMatchObject({
        message: expect.stringContaining('"vdb_chunks.json" changed after its first part was archived'),
        retryable: false,
      });
      return;
    }
    throw new Error('nothing was exported');
  });

  test('a large file that changes between two pieces is read again by the repeated step', async () => {
    const path = join(place.location, 'vdb_chunks.json');
    const write = async (mebibytes: number) => {
      await writeFile(path, '');
      await truncate(path, mebibytes * 1024 ** 2);
      await utimes(path, OLD, OLD);
    };
    await write(66);
    const shard = { id: 'files', params: {}, estimatedBytes: 0 };
    const steps = open().export(shard, null, legContext());
    const read = async () => {
      let pieces = 0;
      for await (const step of steps) {
        for await (const chunk of step.piece.data) expect(chunk.length).toBeGreaterThan(0);
        if (++pieces === 1) await write(65);
      }
    };
    await expect(read()).rejects.toMatchObject({
      message: expect.stringContaining('"vdb_chunks.json" changed while it was read'),
      retryable: true,
    });
    const { archive, tallies } = await exportAll(open);
    expect((await restoreAll(open(), archive)).verified).toMatchObject({ differences: 0, tallies });
  });

  test('a large file that was replaced after it was listed is saved in its current version', async () => {
    const path = join(place.location, 'vdb_chunks.json');
    await writeFile(join(place.location, 'a.json'), '{}');
    await utimes(join(place.location, 'a.json'), OLD, OLD);
    await writeFile(path, '');
    await truncate(path, 9 * 1024 ** 2);
    await utimes(path, OLD, OLD);
    const shard = { id: 'files', params: {}, estimatedBytes: 0 };
    const sizes: number[] = [];
    for await (const step of open().export(shard, null, legContext())) {
      sizes.push(step.piece.size);
      for await (const chunk of step.piece.data) expect(chunk.length).toBeGreaterThan(0);
      if (sizes.length === 1) await truncate(path, 10 * 1024 ** 2);
    }
    expect(sizes).toEqual([2, 10 * 1024 ** 2]);
  });

  test('links and folders are not followed', async () => {
    await mkdir(join(place.location, 'inner'));
    await writeFile(join(place.location, 'inner', 'x'), '1');
    await symlink('/etc/passwd', join(place.location, 'link'));
    expect((await open().probe(legContext())).counts.files).toBe(0);
    expect((await open().probe(legContext())).warnings).toEqual([
      expect.objectContaining({ code: 'subfolders-left-out', count: 1, samples: [expect.any(String)] }),
      expect.objectContaining({ code: 'links-left-out', count: 1, samples: ['link'] }),
    ]);
  });

  test('a missing folder is named, with what to do', async () => {
    const store = filesAdapter.create({ location: '/not/there' }, filesAdapter.Scope.parse({}), {
      target: 'test',
    });
    await expect(store.probe(legContext())).rejects.toThrow(
      'Folder /not/there of target "test": listing it failed (ENOENT)',
    );
  });
});

describe('names', () => {
  test('every name is restored, and no two collide on case-insensitive file systems', () => {
    const names = [
      'a',
      'A',
      'ä',
      'Ä',
      'a b',
      '%41',
      '..a',
      '...',
      'x\\y',
      '\n',
      'kv_store_x.json',
      'AA',
      'aA',
      'Aa',
    ];
    const entries = entryNamesOf(names);
    for (const name of names) expect(fileNameOf(entries.get(name) ?? '')).toBe(name);
    expect(new Set([...entries.values()].map((entry) => entry.toLowerCase())).size).toBe(names.length);
  });

  test.each([
    'kv/files/..',
    'kv/files/%2E%2E',
    'kv/files/a%2Fb',
    'kv/files/%00',
    'kv/files/.ngbak-x',
    'kv/files/a//b',
    'kv/files/a/',
    'kv/files/a/../b',
    'kv/files/a/%2E%2E/b',
    'kv/files/a/%2E/b',
    'kv/files//a',
    'kv/files/',
    'kv/other',
    'kv/files/%C3',
    `kv/files/${'x'.repeat(256)}`,
  ])('%s is refused: it points elsewhere, or is not a name', (entry) =>
    expect(fileNameOf(entry)).toBeUndefined(),
  );

  test.each(['relative/path', '/a/../b', 's3://', 's3://UPPER/x', 'https://x/y', '/'])(
    'location %s is refused',
    (location) => {
      expect(filesAdapter.Connection.safeParse({ location }).success).toBe(false);
    },
  );
});

describe('free disk space', () => {
  const file = (name: string, size: number) => ({ name, size, version: '1', changedAt: 0 });
  async function* archived(sizes: Record<string, number>) {
    for (const [name, size] of Object.entries(sizes)) {
      yield { file: name, entry: { name, size, sha256: '', offset: 0, length: 0 } };
    }
  }
  test.each([
    ['an empty folder needs space for all files', { a: 3, b: 4 }, [], 'replace', 7],
    ['a file is written next to the one that it replaces', { a: 5 }, [file('a', 5)], 'replace', 5],
    ['replaced files free space', { a: 1, b: 5 }, [file('a', 5)], 'replace', 1],
    ['files that are deleted first free space', { a: 5 }, [file('b', 4)], 'replace', 1],
    ['a merge deletes nothing', { a: 5 }, [file('b', 4)], 'merge', 5],
    ['files that a merge keeps need no space', { a: 5 }, [file('a', 4)], 'merge', 0],
  ] as const)('%s', async (_, sizes, present, mode, needed) => {
    expect(await neededBytes(archived(sizes), present, { mode, onConflict: 'keep' })).toBe(needed);
  });

  testUnless(
    smallDiskMissing(),
    'that is too small refuses a restore before anything is written',
    async () => {
      const from = await directory();
      const folder = await mkdtemp(join(tmpdir(), 'ngbak-small-'));
      const disk = await SmallDisk.over(folder, 2);
      const store = (location: string) =>
        filesAdapter.create({ location }, filesAdapter.Scope.parse({}), { target: 'test' });
      try {
        await from.put('large.json', randomBytes(1024 ** 2));
        const { archive } = await exportAll(() => store(from.location));
        const rooms: SpaceEstimate[] = [];
        const context = { ...legContext(), room: (room: SpaceEstimate) => void rooms.push(room) };
        expect(await store(disk.root).admits({ archive, options: REPLACE, context })).toEqual([]);
        await writeFile(join(disk.root, 'used.bin'), randomBytes(1.5 * 1024 ** 2));
        const merge = { mode: 'merge', onConflict: 'keep' } as const;
        expect(await store(disk.root).admits({ archive, options: merge, context })).toEqual([
          expect.stringMatching(/need 1048576 bytes more than now, and Folder .* has \d+ bytes free/),
        ]);
        // Files that a restore deletes first free space.
        expect(await store(disk.root).admits({ archive, options: REPLACE, context })).toEqual([]);
        expect(rooms.map(({ of, needed }) => [of, needed])).toEqual([
          ['disk', 1024 ** 2],
          ['disk', 1024 ** 2],
          ['disk', 0],
        ]);
      } finally {
        disk.remove();
        await rm(folder, { recursive: true });
        await from.destroy();
      }
    },
  );
});
