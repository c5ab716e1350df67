import { CATALOG_CACHE_KEY } from '../shared/bucket/layout.ts';
import { catalogIds, readCatalog } from '../shared/catalog/read.ts';
import { ListBackupsInput, listBackups } from '../shared/operations/list-backups.ts';
import { freshContext } from '../test/operations/context.ts';
import { idAt } from '../test/support/backup-id.ts';
import { catalogue } from '../test/support/catalog.ts';

/**
 * Lists 1,000 backups: record by record, and with the cache that S3's ETags check. Needs an S3 endpoint in the
 * environment (`npm run local:up` prints one). Prints milliseconds and their ratio, of one run.
 */
const BACKUPS = 1000;

const context = await freshContext();
const ids = Array.from({ length: BACKUPS }, (_, i) => idAt(new Date(Date.UTC(2024, 0, 1 + i, 3))));
for (let start = 0; start < BACKUPS; start += 50) {
  await Promise.all(
    ids.slice(start, start + 50).map((backup_id) => catalogue(context.bucket, { backup_id })),
  );
}

async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const list = (limit: number) => listBackups(context, ListBackupsInput.parse({ limit }));
const records = await time(async () => {
  for await (const item of readCatalog(context.bucket, await catalogIds(context.bucket))) {
    if (!item.record) throw new Error(item.problem);
  }
});
const first = await time(() => list(BACKUPS));
// What a list meets in a deployment: retention, which runs after each backup, has left the cache, and one is new.
await catalogue(context.bucket, { backup_id: idAt(new Date(Date.UTC(2024, 0, 1 + BACKUPS, 3))) });
const oneNew = await time(() => list(BACKUPS));
const cached = await time(() => list(BACKUPS));
const page = await time(() => list(50));
await context.bucket.removeAll(CATALOG_CACHE_KEY);

const ms = (value: number) => `${Math.round(value)} ms`;
console.log(`every record        ${ms(records)}`);
console.log(`first long list     ${ms(first)}`);
console.log(`after a new backup  ${ms(oneNew)}`);
console.log(
  `the same again      ${ms(cached)}  (${(records / cached).toFixed(1)} times as fast as every record)`,
);
console.log(`a page of 50        ${ms(page)}`);
console.log(`resident memory     ${Math.round(process.memoryUsage().rss / 1e6)} MB`);
