import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { beforeEach, expect, test } from '@jest/globals';
import { costsText, readCosts } from '../../cli/costs-text.ts';
import { directClient } from '../../cli/direct-client.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import { pricesOf } from '../../shared/core/prices.ts';
import { type Costs, priceCosts, storageCosts } from '../../shared/operations/costs.ts';
import { freshContext } from './context.ts';

const GIB = 1024 ** 3;
const DAY_MS = 24 * 60 * 60 * 1000;
let context: Awaited<ReturnType<typeof freshContext>>;

beforeEach(async () => {
  context = await freshContext();
});

const put = (Key: string, bytes: number, StorageClass: 'STANDARD' | 'GLACIER' | 'GLACIER_IR' = 'STANDARD') =>
  context.bucket.s3.send(
    new PutObjectCommand({ Bucket: context.bucket.name, Key, Body: Buffer.alloc(bytes), StorageClass }),
  );

/** Everything that a bucket can hold, with a size of its own each. */
async function fill(): Promise<void> {
  const { bucket } = context;
  await put('backups/a.ngbak', 1000);
  await put('backups/b.ngbak', 2000, 'GLACIER');
  await put('backups/c.ngbak', 3000, 'GLACIER_IR');
  for (const id of ['a', 'b', 'c']) await put(`backups/${id}.json`, 10);
  await put('backups/a.ngbak.sig', 1);
  await put('backups/gone.ngbak', 400);
  await bucket.s3.send(new DeleteObjectCommand({ Bucket: bucket.name, Key: 'backups/gone.ngbak' }));
  await put('staging/job/1.seg', 50);
  await put('jobs/job/job.json', 7);
  // Not an object of ngbak: buckets may be shared.
  await put('other/x', 99_999);
  const at = { Bucket: bucket.name, Key: 'backups/d.ngbak' };
  const { UploadId } = await bucket.s3.send(new CreateMultipartUploadCommand(at));
  await bucket.s3.send(new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: Buffer.alloc(600) }));
}

const EXPECTED = [
  ['archives', 'GLACIER', 1, 2000, 2000],
  ['archives', 'GLACIER_IR', 1, 3000, 128 * 1024],
  ['archives', 'STANDARD', 1, 1000, 1000],
  ['deleted backups', 'STANDARD', 1, 400, 400],
  ['jobs and settings', 'STANDARD', 1, 7, 7],
  ['records', 'STANDARD', 4, 31, 31],
  ['temporary objects', 'STANDARD', 1, 50, 50],
  ['unfinished uploads', 'STANDARD', 1, 600, 600],
];
const rows = ({ stored }: Pick<Costs, 'stored'>) =>
  stored
    .map(({ what, storage_class, objects, bytes, billed_bytes }) => [
      ...[what, storage_class, objects, bytes, billed_bytes],
    ])
    .sort((a, b) => (`${a[0]} ${a[1]}` < `${b[0]} ${b[1]}` ? -1 : 1));

test('everything of ngbak in the bucket is counted once, by purpose and class, whatever the time limit', async () => {
  await fill();
  const whole = await storageCosts(context, { cursor: null, timeLeft: () => 60_000 });
  expect(whole).toMatchObject({ done: true, cursor: null });
  expect(rows(whole)).toEqual(EXPECTED);
  // One page in each call: the result is passed on by the caller.
  let calls = 0;
  let found = await storageCosts(context, { cursor: null, timeLeft: () => 0 });
  for (; !found.done; calls++) {
    found = await storageCosts(context, {
      cursor: JSON.parse(JSON.stringify(found.cursor)),
      timeLeft: () => 0,
    });
  }
  expect(calls).toBeGreaterThan(5);
  expect(rows(found)).toEqual(EXPECTED);
  await expect(storageCosts(context, { cursor: { folders: -1 }, timeLeft: () => 0 })).rejects.toThrow(
    /cursor of the costs/,
  );
});

test('minimum durations are those of the archives that are not old enough, by the transitions', async () => {
  await fill();
  const config = NgbakConfig.parse({
    targets: {},
    storage_class: 'GLACIER_IR',
    transitions: [{ days: 10, storage_class: 'GLACIER' }],
  });
  const leg = { cursor: null, timeLeft: () => 60_000 };
  const found = await storageCosts({ ...context, config }, leg);
  const months = (id: string) => found.early_backups.find(({ backup_id }) => backup_id === id)?.gb_months;
  expect(months('c')).toBeCloseTo(((128 * 1024) / GIB) * 3, 9);
  expect(found.early_deletion.map(({ storage_class, archives }) => [storage_class, archives])).toEqual([
    ['GLACIER', 1],
    ['GLACIER_IR', 1],
  ]);
  // 90 days after its transition, which is at the first midnight after 10 days.
  const late = await storageCosts({ ...context, config }, leg, new Date(Date.now() + 95 * DAY_MS));
  expect(late.early_backups.map(({ backup_id }) => backup_id)).toEqual(['b']);
  const over = await storageCosts({ ...context, config }, leg, new Date(Date.now() + 102 * DAY_MS));
  expect(over.early_deletion).toEqual([]);
});

test('an operator sees an estimate with its date and region, or one by own prices', async () => {
  await fill();
  const client = directClient(context);
  const text = costsText(await readCosts(client, undefined));
  expect(text).toMatch(/^Estimated storage costs: .*a month \(list prices of us-east-1, 2025-10\)/);
  expect(text).toMatch(/archives +GLACIER_IR +1 /);
  expect(text).toMatch(/Thawing everything in GLACIER, bulk: /);
  expect(text).toMatch(/Not included: requests/);
  const path = join(tmpdir(), 'prices.json');
  await writeFile(path, JSON.stringify({ date: 'offer of May', storage: { STANDARD: 1e6 } }));
  const own = await readCosts(client, path);
  expect(own.prices).toEqual({ date: 'offer of May', of_region: true });
  expect(own.usd_per_month).toBeGreaterThan(1);
  await writeFile(path, JSON.stringify({ storage: { STANDRAD: 1 } }));
  await expect(readCosts(client, path)).rejects.toThrow(/prices in .*prices\.json/);
});

test('a terabyte in each class costs what its list prices state', () => {
  const of = (storage_class: string, what: 'archives' | 'deleted backups' = 'archives') => ({
    ...{ what, storage_class, objects: 1, bytes: 1024 * GIB, billed_bytes: 1024 * GIB },
  });
  const stored = [of('STANDARD'), of('DEEP_ARCHIVE'), of('STANDARD', 'deleted backups')];
  const found = priceCosts({ stored, early: [], early_backups: [] }, pricesOf('us-east-1'));
  expect(found.stored.map(({ usd_per_month }) => usd_per_month.toFixed(2))).toEqual([
    '23.55',
    '1.01',
    '23.55',
  ]);
  expect(found.usd_per_month).toBeCloseTo(48.12, 1);
  expect(found.thaw.map(({ tier, usd }) => [tier, usd.toFixed(2)])).toEqual([
    ['standard', '25.98'],
    ['bulk', '8.06'],
  ]);
});
