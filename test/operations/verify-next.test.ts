/** Verification of archives and copies on a schedule, and of copies by hand. */
import { crc32 } from 'node:zlib';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { Bucket } from '../../shared/aws/bucket.ts';
import { archiveKey, catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import type { BackupCopy } from '../../shared/core/copies.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { verifyBackup } from '../../shared/operations/verify-backup.ts';
import { oldestVerification, verifyNext } from '../../shared/operations/verify-next.ts';
import { makeArchive } from '../support/archive.ts';
import { catalogRecord, catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

const day = (number: number) => `2026-03-0${number}T00:00:00.000Z`;
const copy = (changes: Partial<BackupCopy> = {}): BackupCopy => ({
  ...{ name: 'vault', bucket: 'vault-bucket', state: 'complete' as const, at: day(3) },
  ...changes,
});

describe('the next one to verify', () => {
  const backup = (backup_id: string, at: string, changes: object = {}) => ({
    ...{ backup_id, verification: { state: 'verified' as const, at }, storage_class: 'STANDARD' },
    ...changes,
  });

  test.each([
    ['the oldest', [backup('b', day(2)), backup('a', day(1))], {}, { backup_id: 'a' }],
    [
      'a copy that is older than the verification of any original',
      [backup('b', day(5), { copies: [copy()] }), backup('a', day(4))],
      {},
      { backup_id: 'b', copy: 'vault' },
    ],
    [
      'an original, if the copy was verified later',
      [backup('a', day(4), { copies: [copy({ verified_at: day(6) })] })],
      {},
      { backup_id: 'a' },
    ],
    [
      'one that can be read, is complete, and not known to be damaged',
      [
        backup('cold', day(1), { storage_class: 'DEEP_ARCHIVE' }),
        backup('damaged', day(1), { verification: { state: 'damaged' as const, at: day(1) } }),
        backup('b', day(5), {
          copies: [
            copy({ storage_class: 'GLACIER' }),
            copy({ state: 'pending' }),
            copy({ state: 'failed' }),
            copy({ state: 'damaged' }),
          ],
        }),
      ],
      {},
      { backup_id: 'b' },
    ],
    [
      'one that was not tried in vain more recently',
      [backup('a', day(1)), backup('b', day(2))],
      { a: day(3) },
      { backup_id: 'b' },
    ],
    ['nothing without backups', [], {}, undefined],
  ])('is %s', (_, backups, attempts, expected) => {
    expect(oldestVerification(backups, attempts as Record<string, string>)).toEqual(expected);
  });
});

describe('in a bucket', () => {
  let context: OperationsContext;
  let copies: Bucket;
  let archive: Awaited<ReturnType<typeof makeArchive>>;
  const [OLD, NEW] = ['snapshot_2026-01-02T03-04-05Z', 'snapshot_2026-01-03T03-04-05Z'] as const;
  const noon = () => new Date('2026-03-10T12:00:00.000Z');
  const leg = { timeLeft: () => 60_000, signal: new AbortController().signal, log: () => undefined };
  const recordOf = (id: string) => context.bucket.requireRecord(catalogKey(id), CatalogRecord, '');

  async function put(backup_id: string, at: string, made: BackupCopy[] = []): Promise<void> {
    const { bytes, checksum } = await makeArchive({ backup_id });
    const { archive: fields } = catalogRecord({ backup_id });
    const facts = { bytes: bytes.length, crc32: crc32Base64(crc32(bytes)), checksum, entries: 3 };
    const record = await catalogue(
      context.bucket,
      {
        backup_id,
        archive: { ...fields, ...facts },
        verification: { state: 'verified', at },
        ...(made.length === 0 ? {} : { copies: made }),
      },
      bytes,
    );
    if (made.length === 0) return;
    await copies.writeRecord(catalogKey(backup_id), record);
    const object = { Bucket: copies.name, Key: archiveKey(backup_id), Body: bytes };
    await copies.s3.send(new PutObjectCommand(object));
  }

  beforeEach(async () => {
    context = await freshContext();
    copies = new Bucket(`copies-of-${context.bucket.name}`.slice(0, 63));
    await copies.s3.send(new CreateBucketCommand({ Bucket: copies.name }));
    archive = await makeArchive({ backup_id: NEW });
    await put(OLD, day(1));
    await put(NEW, day(5), [copy({ bucket: copies.name })]);
  });

  test('as many are verified each day as are configured, the oldest first', async () => {
    const run = (now = noon) => verifyNext(context, 2, leg, now);
    expect(await run()).toEqual({ verified: [{ backup_id: OLD }, { backup_id: NEW, copy: 'vault' }] });
    expect((await recordOf(OLD)).verification.at > day(9)).toBe(true);
    expect((await recordOf(NEW)).copies?.[0]?.verified_at).toBeDefined();
    expect((await recordOf(NEW)).verification.at).toBe(day(5));
    expect(await run()).toEqual({ verified: [] });
    const tomorrow = () => new Date('2026-03-11T00:30:00.000Z');
    expect((await run(tomorrow)).verified[0]).toEqual({ backup_id: NEW });
  });

  test('one that takes longer continues in the next call', async () => {
    let calls = 0;
    // Time for the first look only.
    const short = { ...leg, timeLeft: () => (calls++ === 0 ? 60_000 : 0) };
    const first = await verifyNext(context, 1, short, noon);
    expect(first).toEqual({ verified: [], unfinished: { backup_id: OLD } });
    expect(await verifyNext(context, 1, leg, noon)).toEqual({ verified: [{ backup_id: OLD }] });
  });

  test('one that cannot be read does not prevent the next, and errors are found and reported', async () => {
    await put('snapshot_2026-01-01T03-04-05Z', day(2), [
      copy({ bucket: 'no-such-bucket-of-anyone', at: day(1) }),
    ]);
    const altered = Buffer.from(archive.bytes);
    altered[100] = (altered[100] ?? 0) ^ 1;
    const object = { Bucket: copies.name, Key: archiveKey(NEW), Body: altered };
    await copies.s3.send(new PutObjectCommand(object));
    await expect(verifyNext(context, 4, leg, noon)).rejects.toThrow(`${NEW} vault: `);
    expect((await recordOf(NEW)).copies?.[0]?.state).toBe('damaged');
    expect((await recordOf(NEW)).verification.state).toBe('verified');
    expect((await recordOf(OLD)).verification.state).toBe('verified');
  });

  const verifyCopy = () =>
    verifyBackup(context, NEW, { cursor: null, timeLeft: () => 60_000 }, { copy: 'vault' });

  test.each([
    ['archive', archiveKey(NEW), / is gone$/],
    ['record', catalogKey(NEW), /^the record of the copy, .* does not exist$/],
  ])('a copy without its %s is damaged, until it is there again', async (_, Key, problem) => {
    const before = await copies.requireRecord(catalogKey(NEW), CatalogRecord, '');
    await copies.s3.send(new DeleteObjectCommand({ Bucket: copies.name, Key }));
    const found = await verifyCopy();
    expect(found).toMatchObject({ is_valid: false, copy: 'vault', errors: [expect.stringMatching(problem)] });
    expect((await recordOf(NEW)).copies?.[0]).toMatchObject({
      state: 'damaged',
      problem: expect.stringMatching(problem),
    });
    await copies.writeRecord(catalogKey(NEW), before);
    const object = { Bucket: copies.name, Key: archiveKey(NEW), Body: archive.bytes };
    await copies.s3.send(new PutObjectCommand(object));
    expect((await verifyCopy()).is_valid).toBe(true);
    const repaired = (await recordOf(NEW)).copies?.[0];
    expect(repaired?.state).toBe('complete');
    expect(repaired?.problem).toBeUndefined();
  });

  test('a copy that was not made, or does not exist, is refused by its name and state', async () => {
    await put('snapshot_2026-01-04T03-04-05Z', day(1), [copy({ state: 'pending', bucket: copies.name })]);
    const verify = (name: string) =>
      verifyBackup(
        context,
        'snapshot_2026-01-04T03-04-05Z',
        { cursor: null, timeLeft: () => 60_000 },
        { copy: name },
      );
    await expect(verify('vault')).rejects.toThrow('is not complete (pending)');
    await expect(verify('typo')).rejects.toThrow('has no copy "typo"');
  });
});
