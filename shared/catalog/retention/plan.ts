import type { RetentionPolicy } from '../../core/retention-policy.ts';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import type { CatalogRecord } from '../record.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** The part of a catalog record that the planner uses. */
export type RetainedBackup = Pick<
  CatalogRecord,
  'backup_id' | 'target' | 'stores' | 'only' | 'created_at' | 'retention'
> & {
  readonly verified: boolean;
  /** Suitable for recovery: verified, neither empty nor suspiciously small, and not the safety backup of a restore. */
  readonly good: boolean;
};

/** The decision about one backup, and the rules behind it. */
export interface RetentionDecision {
  readonly backup_id: string;
  readonly target: string;
  readonly action: 'keep' | 'drop';
  /** Every rule that keeps it, or the one that drops it, as text. Never empty. */
  readonly reasons: readonly string[];
}

interface Period {
  readonly key: 'keep_daily' | 'keep_weekly' | 'keep_monthly' | 'keep_yearly';
  readonly name: string;
  of(time: Date): string;
}

const PERIODS: readonly Period[] = [
  { key: 'keep_daily', name: 'day', of: (time) => time.toISOString().slice(0, 10) },
  { key: 'keep_weekly', name: 'week', of: isoWeek },
  { key: 'keep_monthly', name: 'month', of: (time) => time.toISOString().slice(0, 7) },
  { key: 'keep_yearly', name: 'year', of: (time) => time.toISOString().slice(0, 4) },
];

/**
 * Decides which backups to keep. A pure and idempotent function: applied again to the remaining backups at the same
 * time, it drops no more.
 *
 * - A backup with an individual retention (`30d`, a date, `permanent`) follows that alone. The policy does not count
 *   it, so that safety backups with `14d` don't displace regular ones.
 * - All others of the same target, the same set of stores and the same subset are checked against the policy together:
 *   the backup of one store, or of a subset, must not displace a full backup.
 * - Only good backups count. Other verified ones (empty, or far smaller than the last good one) are checked against the
 *   policy separately: a series of them displaces no good backup, but does not accumulate either.
 * - The newest good backup of each such group is never dropped, whatever its retention, nor the newest verified one if
 *   none is good, nor any that `protectedBy` names (in use, under Object Lock).
 * - Backups of self-tests follow their individual retention alone: they are of no use after the test.
 * - Damaged backups are neither counted nor dropped: they must not displace a good one, and they are evidence.
 *
 * @param backups      in any order
 * @param protectedBy  by backup id: why it can't be deleted, as text
 * @returns one decision for each backup, newest first
 */
export function planRetention(
  backups: readonly RetainedBackup[],
  policy: RetentionPolicy,
  now: Date,
  protectedBy: ReadonlyMap<string, string> = new Map(),
): RetentionDecision[] {
  const newestFirst = [...backups].sort(
    (a, b) => Date.parse(b.created_at) - Date.parse(a.created_at) || (a.backup_id < b.backup_id ? 1 : -1),
  );
  const reasons = new Map<string, string[]>(newestFirst.map(({ backup_id }) => [backup_id, []]));
  const keep = ({ backup_id }: RetainedBackup, why: string) => reasons.get(backup_id)?.push(why);

  const groups = Map.groupBy(newestFirst, groupOf);
  for (const group of groups.values()) {
    if (group[0]?.target === SELFTEST_TARGET) continue;
    const newestGood = group.find(isGood);
    const newestVerified = group.find(({ verified }) => verified);
    if (newestGood) keep(newestGood, 'the newest good backup');
    else if (newestVerified) keep(newestVerified, 'the newest verified backup');
    const counted = group.filter(({ retention, verified }) => retention === undefined && verified);
    keepByPolicy(counted.filter(isGood), policy, keep);
    keepByPolicy(
      counted.filter((backup) => !isGood(backup)),
      policy,
      (backup, why) => keep(backup, `${why}, of those with no or far fewer records`),
    );
  }
  return newestFirst.map((backup) => {
    const { backup_id, target, retention } = backup;
    const end = retention === undefined ? undefined : endOfRetention(backup.created_at, retention);
    if (end !== undefined && now < end) {
      keep(backup, retention === 'permanent' ? 'permanent' : `kept until ${end.toISOString().slice(0, 10)}`);
    }
    if (!backup.verified) keep(backup, 'found damaged: kept for inspection');
    const protection = protectedBy.get(backup_id);
    if (protection !== undefined) keep(backup, protection);
    const why = reasons.get(backup_id) ?? [];
    if (why.length > 0) return { backup_id, target, action: 'keep', reasons: why };
    const rule =
      retention === undefined ? 'no rule of the policy keeps it' : `its retention ${retention} has ended`;
    return { backup_id, target, action: 'drop', reasons: [rule] };
  });
}

/** A damaged backup is never good, whatever it contains. */
function isGood({ verified, good }: RetainedBackup): boolean {
  return verified && good;
}

/**
 * Key of the group of backups with the same target, stores and subset, regardless of the order in which these are
 * named.
 */
function groupOf({ target, stores, only = {} }: RetainedBackup): string {
  const part = Object.entries(only).map(([name, value]) => [name, [value].flat().sort()]);
  return JSON.stringify([target, [...stores].sort(), part.sort()]);
}

function keepByPolicy(
  newestFirst: readonly RetainedBackup[],
  policy: RetentionPolicy,
  keep: (backup: RetainedBackup, why: string) => void,
): void {
  for (const [index, backup] of newestFirst.slice(0, policy.keep_last).entries()) {
    keep(backup, `number ${index + 1} of the last ${policy.keep_last}`);
  }
  for (const { key, name, of } of PERIODS) {
    const seen = new Set<string>();
    for (const backup of newestFirst) {
      if (seen.size >= policy[key]) break;
      const period = of(new Date(backup.created_at));
      if (seen.has(period)) continue;
      seen.add(period);
      keep(backup, `the newest of ${name} ${period}`);
    }
  }
}

/** The time at which a retention expires: never for `permanent`. Dates last until the end of the day in UTC. */
export function endOfRetention(createdAt: string, retention: string): Date {
  // The latest time that a Date can represent, per ECMAScript.
  if (retention === 'permanent') return new Date(8.64e15);
  if (retention.endsWith('d'))
    return new Date(Date.parse(createdAt) + Number(retention.slice(0, -1)) * DAY_MS);
  return new Date(Date.parse(`${retention}T00:00:00Z`) + DAY_MS);
}

/** `2026-W01`: weeks start on Monday and belong to the year that their Thursday is in (ISO 8601). */
function isoWeek(time: Date): string {
  const thursday = new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate()));
  thursday.setUTCDate(thursday.getUTCDate() + 4 - (thursday.getUTCDay() || 7));
  const week = Math.ceil(((thursday.getTime() - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / DAY_MS + 1) / 7);
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}
