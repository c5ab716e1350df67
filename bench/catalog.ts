import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Bucket } from '../shared/aws/bucket.ts';
import { CATALOG_CACHE_KEY } from '../shared/aws/keys.ts';
import { catalogIds, readCatalog } from '../shared/catalog/read.ts';
import { ListBackupsInput, listBackups } from '../shared/operations/list-backups.ts';
import { PruneInput, prune } from '../shared/operations/prune.ts';
import { freshContext } from '../test/operations/context.ts';
import { idAt } from '../test/support/backup-id.ts';
import { catalogue } from '../test/support/catalog.ts';

/**
 * Lists 1,000 backups: record by record, and with the cache, which is validated by S3's ETags and maintained by
 * retention. Needs an S3 endpoint in the environment (`npm run local:up` prints one). A "cold" list runs in a
 * separate process, without connections or compiled code; the start of Node is not included. Prints milliseconds and
 * ratios of one run.
 */
const BACKUPS = 1000;

const [, , bucketOfList] = process.argv;
if (bucketOfList !== undefined) await listInThisProcess(bucketOfList);
else await compare();

async function listInThisProcess(name: string): Promise<void> {
  const before = process.memoryUsage().rss;
  const begun = process.cpuUsage();
  const listing = { bucket: new Bucket(name) } as unknown as Parameters<typeof listBackups>[0];
  const ms = await time(() => listBackups(listing, ListBackupsInput.parse({ limit: BACKUPS })));
  const { user, system } = process.cpuUsage(begun);
  console.log(JSON.stringify({ ms, cpu: (user + system) / 1000, grown: process.memoryUsage().rss - before }));
}

async function compare(): Promise<void> {
  const context = await freshContext();
  const day = (number: number) => idAt(new Date(Date.UTC(2024, 0, 1 + number, 3)));
  const ids = Array.from({ length: BACKUPS }, (_, i) => day(i));
  for (let start = 0; start < BACKUPS; start += 50) {
    await Promise.all(
      ids.slice(start, start + 50).map((backup_id) => catalogue(context.bucket, { backup_id })),
    );
  }
  const records = await time(async () => {
    for await (const item of readCatalog(context.bucket, await catalogIds(context.bucket))) {
      if (!item.record) throw new Error(item.problem);
    }
  });
  const without = await cold(context.bucket.name);
  await context.bucket.removeAll(CATALOG_CACHE_KEY);
  // As in a deployment: retention runs after each backup, before the next list.
  const policy = { keep_last: 2 * BACKUPS, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, keep_yearly: 0 };
  await prune(context, PruneInput.parse({ dry_run: false, policy }));
  const kept = await cold(context.bucket.name);
  await catalogue(context.bucket, { backup_id: day(BACKUPS) });
  const withNewBackup = await cold(context.bucket.name);
  const list = (limit: number) => listBackups(context, ListBackupsInput.parse({ limit }));
  await list(BACKUPS);
  const warm = await time(() => list(BACKUPS));
  const page = await time(() => list(50));

  const ms = (value: number) => `${Math.round(value)} ms`.padStart(8);
  const times = (value: number) => `${(records / value).toFixed(1)} times as fast as every record`;
  console.log(`every record, one by one      ${ms(records)}`);
  console.log(`cold, no cache                ${ms(without.ms)}`);
  console.log(
    `cold, after retention         ${ms(kept.ms)}  (${times(kept.ms)}; ${Math.round(kept.cpu)} ms of CPU)`,
  );
  console.log(`cold, with one new backup     ${ms(withNewBackup.ms)}`);
  console.log(`again in the same process     ${ms(warm)}  (${times(warm)})`);
  console.log(`a page of 50                  ${ms(page)}`);
  console.log(`memory that the cold list took ${Math.round(kept.grown / 1e6)} MB`);
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** The list in a separate process. */
async function cold(bucket: string): Promise<{ ms: number; cpu: number; grown: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, bucket]);
  return JSON.parse(stdout) as { ms: number; cpu: number; grown: number };
}
