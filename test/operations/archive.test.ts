import { execFile } from 'node:child_process';
import { crc32 } from 'node:zlib';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { ContentsInput, listContents } from '../../shared/operations/contents.ts';
import { DownloadInput, downloadBackup } from '../../shared/operations/download-backup.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { verifyBackup } from '../../shared/operations/verify-backup.ts';
import { buildArchive, DRAFT } from '../archive/build.ts';
import { ENTRIES, makeArchive } from '../support/archive.ts';
import { catalogRecord, catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';

let context: Awaited<ReturnType<typeof freshContext>>;

/** Adds an archive to the catalog; `stored` are the actual bytes in S3. */
async function put(made: { bytes: Buffer; checksum: string }, stored = made.bytes): Promise<void> {
  const record = catalogRecord({ backup_id: ID });
  await catalogue(
    context.bucket,
    {
      backup_id: ID,
      archive: {
        ...record.archive,
        bytes: made.bytes.length,
        crc32: crc32Base64(crc32(made.bytes)),
        checksum: made.checksum,
        entries: 3,
      },
    },
    stored,
  );
}

const archive = (backup_id: string) => makeArchive({ backup_id });
const verify = () => verifyBackup(context, ID, { cursor: null, timeLeft: () => 60_000 });

/** An archive of three keys, whose manifest states another count for a namespace. */
async function counted(documents: number): Promise<{ bytes: Buffer; checksum: string }> {
  const files = {
    'kv/full_docs.json': '{"p:full_docs:1": {"a": 1}, "p:full_docs:2": {"a": 2}}',
    'kv/text_chunks.json': '{"p:text_chunks:1": {}}',
  };
  const contents = Object.entries(files).map(([name, text]) => ({ name, data: Buffer.from(text) }));
  const tally = (count: number) => ({ count, digest: '0'.repeat(64) });
  const bytes = await buildArchive(contents, {
    draft: {
      ...DRAFT,
      backup_id: ID,
      // Its digests are not compared in that case.
      ngbak_version: '0.0.9',
      storage_backends: { kv: { kind: 'redis' } },
      scope: { type: 'full', stores: ['kv'], scopes: { kv: { prefix: 'p:', separator: ':' } } },
      tallies: { kv: { 'keys:full_docs': tally(documents), 'keys:text_chunks': tally(1) } },
    },
  });
  const { manifest } = await openArchive(bufferSource('made.ngbak', bytes));
  return { bytes, checksum: manifest.checksum };
}

beforeEach(async () => {
  context = await freshContext();
});

describe('the contents of a backup', () => {
  test('are listed from its index, page by page and by prefix', async () => {
    await put(await archive(ID));
    const names = async (input: object) =>
      (await listContents(context, ID, ContentsInput.parse(input))).entries.map(({ name }) => name);
    expect(await names({})).toEqual(Object.keys(ENTRIES));
    expect(await names({ prefix: 'kv/' })).toEqual(['kv/full_docs.json', 'kv/text_chunks.json']);
    const first = await listContents(context, ID, ContentsInput.parse({ limit: 2 }));
    expect(first).toMatchObject({ total: 3, next_offset: 2 });
    expect(await names({ limit: 2, offset: 2 })).toEqual(['kv/text_chunks.json']);
  });

  test('are downloaded one by one through a link that gives access to nothing else', async () => {
    await put(await archive(ID));
    const name = 'kv/full_docs.json';
    const link = await downloadBackup(context, ID, DownloadInput.parse({ entry: name }));
    const answer = await fetch(link.url, { headers: link.headers });
    expect(answer.status).toBe(206);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(bytes.length).toBe(link.bytes);
    expect(await untar(bytes, name)).toEqual(ENTRIES[name]);
    await expect(downloadBackup(context, ID, DownloadInput.parse({ entry: 'kv/none' }))).rejects.toThrow(
      /no entry "kv\/none"/,
    );
  });
});

describe('verifying a backup', () => {
  test('records that every byte is verified, and when', async () => {
    await put(await archive(ID));
    const before = await showBackup(context, ID);
    expect(await verify()).toMatchObject({ done: true, is_valid: true, errors: [] });
    const { verification } = await showBackup(context, ID);
    expect(verification.state).toBe('verified');
    expect(verification.at > before.verification.at).toBe(true);
  });

  test('continues where the previous leg ended', async () => {
    await put(await archive(ID));
    let legs = 0;
    let cursor: Awaited<ReturnType<typeof verify>>['cursor'] = null;
    for (;;) {
      const leg = await verifyBackup(context, ID, { cursor, timeLeft: () => 0 });
      legs++;
      if (leg.done) {
        expect(leg.is_valid).toBe(true);
        break;
      }
      cursor = leg.cursor;
    }
    expect(legs).toBeGreaterThan(1);
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['a flipped bit in an entry', (bytes) => flip(bytes, 30)],
    ['a flipped bit in the footer', (bytes) => flip(bytes, bytes.length - 20)],
    ['a missing end', (bytes) => bytes.subarray(0, bytes.length - 100)],
    ['no archive at all', () => Buffer.from('hello')],
  ])('finds %s, and the catalog states it from then on', async (_, damage) => {
    const made = await archive(ID);
    await put(made, damage(made.bytes));
    const { is_valid, errors } = await verify();
    expect(is_valid).toBe(false);
    expect(errors.length).toBeGreaterThan(0);
    expect((await showBackup(context, ID)).verification).toMatchObject({
      state: 'damaged',
      problems: errors,
    });
  });

  test('counts the records, in as many legs as needed, and leaves nothing in the bucket', async () => {
    await put(await counted(2));
    for (const timeLeft of [60_000, 0]) {
      let cursor: Awaited<ReturnType<typeof verify>>['cursor'] = null;
      for (let done = false; !done; ) {
        const leg = await verifyBackup(context, ID, { cursor, timeLeft: () => timeLeft });
        // Serialized, as through a client.
        cursor = JSON.parse(JSON.stringify(leg.cursor));
        done = leg.done;
        if (!done) expect(JSON.stringify(cursor).length).toBeLessThan(200);
        else
          expect(leg).toMatchObject({
            ...{ is_valid: true, errors: [] },
            warnings: [expect.objectContaining({ code: 'digests-of-another-version' })],
            records: { kv: { 'keys:full_docs': 2, 'keys:text_chunks': 1 } },
          });
      }
      for await (const { key } of context.bucket.keys('staging/')) throw new Error(`${key} is left.`);
    }
  });

  test('finds records that the manifest does not count, in an archive whose bytes are all correct', async () => {
    await put(await counted(3));
    for (const timeLeft of [60_000, 0]) {
      let leg = await verifyBackup(context, ID, { cursor: null, timeLeft: () => timeLeft });
      while (!leg.done)
        leg = await verifyBackup(context, ID, { cursor: leg.cursor, timeLeft: () => timeLeft });
      expect(leg).toMatchObject({ is_valid: false, records: {} });
      expect(leg.errors).toEqual(['kv: the manifest states 3 keys:full_docs, but the archive contains 2']);
      expect((await showBackup(context, ID)).verification.state).toBe('damaged');
    }
  });

  test('does not resume from the cursor of another backup, and records nothing in that case', async () => {
    await put(await counted(2));
    const { cursor } = await verifyBackup(context, ID, { cursor: null, timeLeft: () => 0 });
    const other = `${ID}_2`;
    const made = await makeArchive({ backup_id: other });
    const { archive: stored } = catalogRecord({ backup_id: other });
    await catalogue(
      context.bucket,
      { backup_id: other, archive: { ...stored, bytes: made.bytes.length, checksum: made.checksum } },
      made.bytes,
    );
    const before = await showBackup(context, other);
    await expect(verifyBackup(context, other, { cursor, timeLeft: () => 0 })).rejects.toThrow(
      /The check that is to continue is of s3:/,
    );
    for (const forged of [{ verification: '../jobs', check: { leg: 1 } }, 'x', { check: { leg: 1 } }]) {
      await expect(verifyBackup(context, ID, { cursor: forged, timeLeft: () => 0 })).rejects.toThrow(
        /cursor of the verification/,
      );
    }
    expect(await showBackup(context, other)).toEqual(before);
  });

  test('finds an intact archive that is not the catalogued one', async () => {
    await put(await archive(ID), (await archive('snapshot_other')).bytes);
    const { is_valid, errors } = await verify();
    expect([is_valid, errors.join()]).toEqual([false, expect.stringContaining('backup_id')]);
  });

  test('finds that the archive is missing', async () => {
    await put(await archive(ID));
    await context.bucket.removeAll(`backups/${ID}.ngbak`);
    expect(await verify()).toMatchObject({ is_valid: false, errors: [expect.stringContaining('is gone')] });
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

/** Unpacks one file as a user would, with the system's tar. */
function untar(bytes: Buffer, name: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'tar',
      ['--extract', '--gzip', '--to-stdout', '--file=-', name],
      { encoding: 'buffer' },
      (error, stdout) => (error && stdout.length === 0 ? reject(error) : resolve(stdout)),
    );
    child.stdin?.end(bytes);
  });
}
