import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { backupWarningsKey } from '../../aws/keys.ts';
import { catalogEntries, readCatalog } from '../../catalog/read.ts';
import { countRecords, recordCounts } from '../../catalog/record-counts.ts';
import { summarize } from '../../catalog/summaries.ts';
import { BackupWarning, RECORDS_FELL, readAcknowledged, STORE_EMPTY } from '../../catalog/warnings.ts';
import { findTarget } from '../../core/config.ts';
import type { Tallies } from '../../core/digest.ts';
import { byStore } from '../../core/store-name.ts';
import type { ByStore, StoreName } from '../../core/store-names.ts';
import { withUsedStore } from '../../profiles/open.ts';
import { findProfile } from '../../profiles/profiles.ts';
import { talliesOf } from '../../stores/known-facts.ts';
import { mergeWarnings, StoreWarning, WARNING_SAMPLES_MAX } from '../../stores/warning.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { legContext } from '../job/leg-context.ts';
import type { BackupPlan } from './plan.ts';
import { readExportWarnings } from './warnings.ts';

/** Counts below this fluctuate, so a drop is not significant. */
const COUNT_MIN = 10;

/** `staging/<job>/warnings.json` */
const Found = z.object({
  warnings: z.array(BackupWarning),
  /** By store: only those of its measurement and its exports, which hold for its data in any later archive. */
  of_readings: byStore(z.array(StoreWarning)).default({}),
});
type Found = z.infer<typeof Found>;

/**
 * Collects the warnings of a backup after all exports: those of the stores, those of the exports, and those that result
 * from comparing its counts with the server and with the last good backup. Written once, before the archive is sealed.
 */
export async function findWarnings(
  environment: Environment,
  plan: BackupPlan,
  tallies: Readonly<Record<string, Tallies>>,
  leg: LegLimits,
): Promise<void> {
  const exported = await readExportWarnings(environment.bucket, plan.job_id);
  // A safety backup saves the current state, which may legitimately differ from earlier backups.
  const expected =
    plan.request.part_of === undefined ? await readExpected(environment.bucket, plan) : undefined;
  const warnings: BackupWarning[] = [];
  const of_readings: Found['of_readings'] = {};
  for (const { store, probe } of plan.stores) {
    const contents =
      expected === undefined || store === 'config'
        ? []
        : await compareContents(environment, plan, store, recordCounts(tallies[store]), expected[store], leg);
    const read = mergeWarnings([probe.warnings, exported[store] ?? []]);
    if (read.length > 0) of_readings[store] = read;
    for (const warning of mergeWarnings([contents, read])) warnings.push({ store, ...warning });
  }
  const found: Found = { warnings, of_readings };
  await environment.bucket.writeRecord(backupWarningsKey(plan.job_id), found);
}

/** The result of {@link findWarnings}. Empty for a job that an earlier version started and that is still running. */
export async function readWarnings(bucket: Bucket, jobId: string): Promise<BackupWarning[]> {
  return (await bucket.readRecord(backupWarningsKey(jobId), Found))?.value.warnings ?? [];
}

/** By store: the warnings of its measurement and its exports alone. */
export async function readReadingWarnings(bucket: Bucket, jobId: string): Promise<Found['of_readings']> {
  return (await bucket.readRecord(backupWarningsKey(jobId), Found))?.value.of_readings ?? {};
}

/** The counts of a store in the last good backup that holds it. */
interface Expected {
  readonly backupId: string;
  readonly counts: Record<string, number>;
}

/** By store: the newest good backup of the same target and the same subset. */
async function readExpected(bucket: Bucket, plan: BackupPlan): Promise<ByStore<Expected>> {
  const acknowledged = await readAcknowledged(bucket);
  const missing = new Set(plan.stores.map(({ store }) => store));
  missing.delete('config');
  const expected: ByStore<Expected> = {};
  const part = JSON.stringify(plan.request.only ?? null);
  const ids = (await catalogEntries(bucket)).map(({ id }) => id);
  for await (const { backupId, record } of readCatalog(bucket, ids)) {
    if (!record || record.target !== plan.target || JSON.stringify(record.only ?? null) !== part) continue;
    if (!summarize(record, acknowledged, bucket.place).good) continue;
    for (const store of record.stores) {
      if (missing.delete(store)) expected[store] = { backupId, counts: recordCounts(record.tallies[store]) };
    }
    // Normally the newest record covers every store.
    if (missing.size === 0) break;
  }
  return expected;
}

/** Warnings that result from the counts of one store. */
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
  // The planning step has already checked that the requested subset exists.
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
  // Caches may be empty at any time.
  const caches = talliesOf('kv', 'namespaces', findProfile(profile).counts.cache_entries ?? '');
  const fewer = Object.entries(before).filter(
    ([name, count]) =>
      !caches.includes(name) && count >= COUNT_MIN && (counts[name] ?? 0) < count * (1 - percent / 100),
  );
  if (fewer.length === 0) return [];
  return [
    {
      code: RECORDS_FELL,
      text: `There are fewer records than in the last good backup, ${backupId}, by more than ${percent} %.`,
      count: fewer.length,
      samples: fewer
        .slice(0, WARNING_SAMPLES_MAX)
        .map(([name, count]) => `${name}: ${counts[name] ?? 0} (before: ${count})`),
    },
  ];
}
