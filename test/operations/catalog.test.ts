import { beforeEach, describe, expect, test } from '@jest/globals';
import { Bucket } from '../../shared/aws/bucket.ts';
import { ACKNOWLEDGED_KEY, archiveKey, CATALOG_CACHE_KEY, catalogKey } from '../../shared/aws/keys.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { DownloadInput, downloadBackup } from '../../shared/operations/download-backup.ts';
import { BackupFilters, ListBackupsInput, listBackups } from '../../shared/operations/list-backups.ts';
import { PruneInput, prune } from '../../shared/operations/prune.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { BackupChanges, updateBackup } from '../../shared/operations/update-backup.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

/** Fields that the catalog adds to the record of a good backup without warnings. */
const GOOD = { state: 'complete', open_warnings: 0, good: true, warnings: [] };
let context: OperationsContext;
const list = (input: object = {}) => listBackups(context, ListBackupsInput.parse(input));
const day = (number: number) => idAt(new Date(Date.UTC(2026, 0, number, 3)));

/** A bucket that lists the keys of the records that were read. */
function countReads(bucket: Bucket): { bucket: Bucket; read: string[] } {
  const read: string[] = [];
  const readRecord = (...args: Parameters<typeof bucket.readRecord>) => {
    read.push(args[0]);
    return bucket.readRecord(...args);
  };
  return { bucket: Object.create(bucket, { readRecord: { value: readRecord } }), read };
}

beforeEach(async () => {
  context = await freshContext();
});

describe('the list of backups', () => {
  test('is empty without backups', async () => {
    expect(await list()).toEqual({ backups: [], total: 0, unreadable: [] });
  });

  test('has 1,000 backups, newest first, in pages without gap or overlap', async () => {
    const ids = Array.from({ length: 1000 }, (_, i) => idAt(new Date(Date.UTC(2024, 0, 1 + i, 3))));
    for (let start = 0; start < ids.length; start += 50) {
      await Promise.all(
        ids.slice(start, start + 50).map((backup_id) => catalogue(context.bucket, { backup_id })),
      );
    }
    const whole = await list({ limit: 1000 });
    expect(whole.backups.map(({ backup_id }) => backup_id)).toEqual([...ids].reverse());
    expect(whole).toMatchObject({ total: 1000, unreadable: [] });
    expect(whole.next_cursor).toBeUndefined();

    // From the second time on, a long list is read from a cache, which must change nothing.
    expect(await list({ limit: 1000 })).toEqual(whole);
    await updateBackup(context, ids[500] ?? '', BackupChanges.parse({ add_tags: ['changed'] }));
    const changed = await list({ tag: 'changed' });
    expect(changed.backups.map(({ backup_id }) => backup_id)).toEqual([ids[500]]);
    await updateBackup(context, ids[500] ?? '', BackupChanges.parse({ tags: [] }));
    expect(await list({ limit: 1000 })).toEqual(whole);
    await context.bucket.writeRecord(CATALOG_CACHE_KEY, { spoiled: true });
    // As another process, which remembers nothing.
    context = { ...context, bucket: new Bucket(context.bucket.name) };
    expect(await list({ limit: 1000 })).toEqual(whole);

    const paged: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await list({ limit: 300, ...(cursor === undefined ? {} : { cursor }) });
      expect(page.total).toBe(1000);
      paged.push(...page.backups.map(({ backup_id }) => backup_id));
      cursor = page.next_cursor;
    } while (cursor !== undefined);
    expect(paged).toEqual([...ids].reverse());
  });

  test('of a catalog that retention has processed reads none of its records again', async () => {
    const ids = Array.from({ length: 120 }, (_, i) => idAt(new Date(Date.UTC(2024, 0, 1 + i, 3))));
    await Promise.all(ids.map((backup_id) => catalogue(context.bucket, { backup_id })));
    const policy = { keep_last: 1000, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, keep_yearly: 0 };
    const retain = () => prune(context, PruneInput.parse({ dry_run: false, policy }));
    await retain();
    // One more, which is below the threshold for writing the cache.
    await catalogue(context.bucket, { backup_id: day(1) });
    await retain();
    const other = countReads(new Bucket(context.bucket.name));
    const { total } = await listBackups({ ...context, ...other }, ListBackupsInput.parse({ limit: 1000 }));
    expect({ total, read: other.read }).toEqual({ total: 121, read: [CATALOG_CACHE_KEY, ACKNOWLEDGED_KEY] });
  });

  test('in one process reads a record again only if it has changed', async () => {
    const ids = [1, 2, 3].map(day);
    for (const backup_id of ids) await catalogue(context.bucket, { backup_id });
    const { read, bucket } = countReads(context.bucket);
    context = { ...context, bucket };
    const first = await list();
    expect(read.splice(0).sort()).toEqual([ACKNOWLEDGED_KEY, ...ids.map(catalogKey)].sort());
    expect(await list()).toEqual(first);
    expect((await list({ target: 'default' })).total).toBe(3);
    expect(read.splice(0)).toEqual([ACKNOWLEDGED_KEY, ACKNOWLEDGED_KEY]);

    await updateBackup(context, day(2), BackupChanges.parse({ add_tags: ['changed'] }));
    await bucket.removeAll(catalogKey(day(1)));
    await catalogue(bucket, { backup_id: day(4), target: 'legal' });
    read.length = 0;
    const { backups, total } = await list();
    expect(total).toBe(3);
    expect(backups.map(({ backup_id, tags, target }) => [backup_id, tags, target])).toEqual([
      [day(4), [], 'legal'],
      [day(3), [], 'default'],
      [day(2), ['changed'], 'default'],
    ]);
    expect(read.sort()).toEqual([ACKNOWLEDGED_KEY, catalogKey(day(2)), catalogKey(day(4))].sort());
  });

  test.each([
    [{ target: 'legal' }, [2]],
    [{ type: 'partial' }, [3]],
    [{ store: 'vectors' }, [3]],
    [{ tag: 'weekly' }, [4, 1]],
    [{ namespace: 'full_docs' }, [2]],
    [{ collection: 'chunks' }, [3]],
    [{ since: '2026-01-03T03:00:00Z' }, [4, 3]],
    [{ until: '2026-01-03T04:00:00+01:00' }, [2, 1]],
    [{ tag: 'weekly', until: '2026-01-03T00:00:00Z' }, [1]],
    [{ tag: 'no such tag' }, []],
    [{ tag: 'env=prod' }, [4]],
    [{ tag: 'env' }, [4, 1]],
    [{ tag: ['env=', 'other'] }, [4]],
  ])('filtered by %j has exactly what matches', async (filters, days) => {
    const tally = { count: 1, digest: '0'.repeat(64) };
    const created = (number: number) => ({ created_at: `2026-01-0${number}T03:00:00.000Z` });
    await catalogue(context.bucket, { backup_id: day(1), ...created(1), tags: ['weekly', 'env=dev'] });
    await catalogue(context.bucket, {
      backup_id: day(2),
      ...created(2),
      target: 'legal',
      tallies: { kv: { 'keys:full_docs': tally } },
    });
    await catalogue(context.bucket, {
      backup_id: day(3),
      ...created(3),
      type: 'partial',
      stores: ['vectors'],
      tallies: { vectors: { 'points:chunks': tally } },
    });
    await catalogue(context.bucket, {
      backup_id: day(4),
      ...created(4),
      tags: ['other', 'weekly', 'env=prod'],
    });
    const found = await list(BackupFilters.parse(filters));
    expect(found.backups.map(({ backup_id }) => backup_id)).toEqual(days.map(day));
    expect(found.total).toBe(days.length);
  });

  test('pages through filtered results, and states the total on every page', async () => {
    for (let i = 1; i <= 9; i++) {
      await catalogue(context.bucket, { backup_id: day(i), tags: i % 2 === 0 ? ['even'] : [] });
    }
    const first = await list({ tag: 'even', limit: 3 });
    expect(first.backups.map(({ backup_id }) => backup_id)).toEqual([8, 6, 4].map(day));
    const second = await list({ tag: 'even', limit: 3, cursor: first.next_cursor });
    expect(second.backups.map(({ backup_id }) => backup_id)).toEqual([day(2)]);
    expect([first.total, second.total, second.next_cursor]).toEqual([4, 4, undefined]);
  });

  test('names an unreadable record, and shows the others', async () => {
    await catalogue(context.bucket, { backup_id: day(1) });
    await context.bucket.writeRecord(catalogKey(day(2)), { record_version: 1 });
    const found = await list();
    expect(found.backups.map(({ backup_id }) => backup_id)).toEqual([day(1)]);
    expect(found).toMatchObject({ total: 1, unreadable: [{ backup_id: day(2) }] });
  });
});

describe('a catalogued backup', () => {
  test('is shown as it was recorded; an unknown or invalid ID is refused', async () => {
    const record = await catalogue(context.bucket, { backup_id: day(1), note: 'before the upgrade' });
    expect(await showBackup(context, day(1))).toEqual({
      ...record,
      ...GOOD,
      record_count: 1,
      file_count: 0,
      includes_files: false,
      storage_type: 's3',
      storage_class: 'STANDARD',
      storage_path: `s3://${context.bucket.name}/backups/${day(1)}.ngbak`,
      tag_pairs: {},
    });
    await expect(showBackup(context, day(2))).rejects.toThrow(/no backup/);
    await expect(showBackup(context, '../jobs/x')).rejects.toThrow(/backup id/);
  });

  test('changes in tags, note and retention only, also with two concurrent changes', async () => {
    const record = await catalogue(context.bucket, { backup_id: day(1), tags: ['a'], note: 'old' });
    await updateBackup(
      context,
      day(1),
      BackupChanges.parse({ add_tags: ['b'], note: null, retention: '30d' }),
    );
    const { note: _, ...rest } = record;
    expect(await showBackup(context, day(1))).toMatchObject({
      ...rest,
      ...GOOD,
      tags: ['a', 'b'],
      retention: '30d',
    });

    await Promise.all(
      ['c', 'd', 'e'].map((tag) => updateBackup(context, day(1), BackupChanges.parse({ add_tags: [tag] }))),
    );
    expect(new Set((await showBackup(context, day(1))).tags)).toEqual(new Set(['a', 'b', 'c', 'd', 'e']));

    await updateBackup(context, day(1), BackupChanges.parse({ remove_tags: ['a', 'c'], retention: null }));
    const changed = await showBackup(context, day(1));
    expect(new Set(changed.tags)).toEqual(new Set(['b', 'd', 'e']));
    expect(changed.retention).toBeUndefined();
  });

  test('is downloaded by a link that expires within an hour and names the file after its time', async () => {
    const bytes = Buffer.from('the bytes of an archive');
    await catalogue(context.bucket, { backup_id: day(1), created_at: '2026-01-01T03:00:00.000Z' }, bytes);
    const link = await downloadBackup(context, day(1), DownloadInput.parse({}));
    const answer = await fetch(link.url);
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(bytes);
    expect(answer.headers.get('content-disposition')).toBe(
      'attachment; filename="backup_20260101_030000.ngbak"',
    );
    expect(answer.headers.get('content-type')).toBe('application/gzip');
    expect(new URL(link.url).searchParams.get('X-Amz-Expires')).toBe('3600');
    expect(new URL(link.url).pathname).toContain(archiveKey(day(1)));
    expect(() => DownloadInput.parse({ expires_in: 3601 })).toThrow();
  });
});
