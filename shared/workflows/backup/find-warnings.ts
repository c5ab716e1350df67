import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { backupWarningsKey } from '../../aws/keys.ts';
import { catalogEntries, readCatalog } from '../../catalog/read.ts';
import { countRecords, recordCounts } from '../../catalog/record-counts.ts';
import { summarize } from '../../catalog/summaries.ts';
import { BackupWarning, RECORDS_FELL, readAcknowledged, STORE_EMPTY } from '../../catalog/warnings.ts';
import { findTarget } from '../../core/config.ts';
import type { Tallies } from '../../core/digest.ts';
import type { StoreName } from '../../core/store-names.ts';
import { withUsedStore } from '../../profiles/open.ts';
import { findProfile } from '../../profiles/profiles.ts';
import { talliesOf } from '../../stores/known-facts.ts';
import { mergeWarnings, type StoreWarning, WARNING_SAMPLES_MAX } from '../../stores/warning.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { legContext } from '../job/leg-context.ts';
import type { BackupPlan } from './plan.ts';
import { readExportWarnings } from './warnings.ts';

/** Counts below this come and go: that they fall says nothing. */
const COUNT_MIN = 10;

/** `staging/<job>/warnings.json` */
const Found = z.object({ warnings: z.array(BackupWarning) });

/**
 * Puts together the warnings of a backup whose exports have ended: those of the stores and of the exports, and what its
 * counts show beside the server and the last good backup. Written once, before the archive is sealed.
 */
export async function findWarnings(
  environment: Environment,
  plan: BackupPlan,
  tallies: Readonly<Record<string, Tallies>>,
  leg: LegLimits,
): Promise<void> {
  const exported = await readExportWarnings(environment.bucket, plan.job_id);
  // A safety backup saves whatever is there: nobody expects it to be like the backups before.
  const expected =
    plan.request.part_of === undefined ? await readExpected(environment.bucket, plan) : undefined;
  const warnings: BackupWarning[] = [];
  for (const { store, probe } of plan.stores) {
    const contents =
      expected === undefined || store === 'config'
        ? []
        : await compareContents(environment, plan, store, recordCounts(tallies[store]), expected[store], leg);
    for (const warning of mergeWarnings([contents, probe.warnings, exported[store] ?? []])) {
      warnings.push({ store, ...warning });
    }
  }
  await environment.bucket.writeRecord(backupWarningsKey(plan.job_id), { warnings });
}

/** What {@link findWarnings} found; empty for a job of an earlier version, which is still running. */
export async function readWarnings(bucket: Bucket, jobId: string): Promise<BackupWarning[]> {
  return (await bucket.readRecord(backupWarningsKey(jobId), Found))?.value.warnings ?? [];
}

/** The counts of a store in the last good backup that holds it. */
interface Expected {
  readonly backupId: string;
  readonly counts: Record<string, number>;
}

/** By store: the newest good backup of the same target and the same part of it. */
async function readExpected(bucket: Bucket, plan: BackupPlan): Promise<Partial<Record<StoreName, Expected>>> {
  const acknowledged = await readAcknowledged(bucket);
  const missing = new Set(plan.stores.map(({ store }) => store));
  missing.delete('config');
  const expected: Partial<Record<StoreName, Expected>> = {};
  const part = JSON.stringify(plan.request.only ?? null);
  const ids = (await catalogEntries(bucket)).map(({ id }) => id);
  for await (const { backupId, record } of readCatalog(bucket, ids)) {
    if (!record || record.target !== plan.target || JSON.stringify(record.only ?? null) !== part) continue;
    if (!summarize(record, acknowledged, bucket.place).good) continue;
    for (const store of record.stores) {
      if (missing.delete(store)) expected[store] = { backupId, counts: recordCounts(record.tallies[store]) };
    }
    // In the normal case the newest record has all of them.
    if (missing.size === 0) break;
  }
  return expected;
}

/** What the counts of one store show. */
async function compareContents(
  environment: Environment,
  plan: BackupPlan,
  store: StoreName,
  counts: Record<string, number>,
  expected: Expected | undefined,
  leg: LegLimits,
): Promise<StoreWarning[]> {
  if (countRecords(counts) > 0) return expected ? compareCounts(environment, plan, counts, expected) : [];
  const missing = expected ? Object.entries(expected.counts).filter(([, count]) => count > 0) : [];
  if (expected && missing.length > 0) {
    return [
      {
        code: STORE_EMPTY,
        text: `No records were saved, but the last good backup, ${expected.backupId}, has some.`,
        samples: missing
          .slice(0, WARNING_SAMPLES_MAX)
          .map(([name, count]) => `${name}: 0 (before: ${count})`),
      },
    ];
  }
  // What was requested by name was looked for when the backup was planned.
  if (plan.request.only) return [];
  const others = await withUsedStore(environment.config, plan.target, store, (opened) =>
    opened.names(legContext(environment, leg, plan.job_id)),
  );
  if (others.length === 0) return [];
  return [
    {
      code: STORE_EMPTY,
      text: 'The scope matches no records, although the server holds data. Check profile, parameters and scope of the target against the names on the server.',
      samples: others.slice(0, WARNING_SAMPLES_MAX),
    },
  ];
}

function compareCounts(
  { config }: Environment,
  { target }: BackupPlan,
  counts: Record<string, number>,
  { backupId, counts: before }: Expected,
): StoreWarning[] {
  const { profile, shrink_warning_percent: percent } = findTarget(config, target);
  // Caches are emptied as a matter of course.
  const caches = talliesOf('kv', 'namespaces', findProfile(profile).counts.cache_entries ?? '');
  const fallen = Object.entries(before).filter(
    ([name, count]) =>
      !caches.includes(name) && count >= COUNT_MIN && (counts[name] ?? 0) < count * (1 - percent / 100),
  );
  if (fallen.length === 0) return [];
  return [
    {
      code: RECORDS_FELL,
      text: `There are fewer records than in the last good backup, ${backupId}, by more than ${percent} %.`,
      count: fallen.length,
      samples: fallen
        .slice(0, WARNING_SAMPLES_MAX)
        .map(([name, count]) => `${name}: ${counts[name] ?? 0} (before: ${count})`),
    },
  ];
}
