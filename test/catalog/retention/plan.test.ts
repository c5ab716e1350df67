import { describe, expect, test } from '@jest/globals';
import {
  endOfRetention,
  planRetention,
  type RetainedBackup,
} from '../../../shared/catalog/retention/plan.ts';
import { RetentionPolicy } from '../../../shared/core/retention-policy.ts';
import { fc } from '../../fast-check.ts';
import { idAt } from '../../support/backup-id.ts';

const DAY = 24 * 60 * 60 * 1000;
const START = Date.parse('2026-01-01T03:00:00Z');

function backup(day: number, changes: Partial<RetainedBackup> = {}): RetainedBackup {
  const time = new Date(START + day * DAY);
  return {
    backup_id: idAt(time),
    target: 'default',
    stores: ['graph', 'kv'],
    created_at: time.toISOString(),
    verified: true,
    good: changes.verified ?? true,
    ...changes,
  };
}
const days = (count: number, changes: Partial<RetainedBackup> = {}) =>
  Array.from({ length: count }, (_, day) => backup(day, changes));
const policy = (changes: Partial<RetentionPolicy> = {}) => RetentionPolicy.parse(changes);
const at = (day: number) => new Date(START + day * DAY);
const kept = (decisions: ReturnType<typeof planRetention>) =>
  decisions.filter(({ action }) => action === 'keep').map(({ backup_id }) => backup_id);

describe('retention', () => {
  test('keeps the last seven by default', () => {
    expect(kept(planRetention(days(20), policy(), at(20)))).toEqual(
      days(20)
        .slice(-7)
        .reverse()
        .map(({ backup_id }) => backup_id),
    );
  });

  test('keeps the newest of each day, week, month and year, as configured', () => {
    const hourly = Array.from({ length: 24 * 500 }, (_, hour) => backup(hour / 24));
    const decisions = planRetention(
      hourly,
      policy({ keep_last: 0, keep_daily: 3, keep_weekly: 2, keep_monthly: 2, keep_yearly: 2 }),
      at(500),
    );
    expect(kept(decisions)).toEqual(
      [
        '2027-05-16T02-00-00', // today, this week, this month, this year
        '2027-05-15T23-00-00',
        '2027-05-14T23-00-00',
        '2027-05-09T23-00-00', // the Sunday that ended last week
        '2027-04-30T23-00-00',
        '2026-12-31T23-00-00',
      ].map((time) => `snapshot_${time}Z`),
    );
  });

  test('keeps no backup of a self-test beyond its own retention, not even the newest one', () => {
    const target = 'ngbak-selftest';
    const leftovers = [backup(0, { target, retention: '1d' }), backup(1, { target, retention: '1d' })];
    expect(kept(planRetention([...leftovers, backup(2)], policy(), at(2.5)))).toEqual([backup(2).backup_id]);
    expect(kept(planRetention(leftovers, policy(), at(0.5)))).toHaveLength(2);
  });

  test('counts weeks by ISO 8601, also across the turn of the year', () => {
    // 2026-12-28 (Monday) to 2027-01-03 (Sunday) is one week.
    const week = ['2026-12-28', '2026-12-31', '2027-01-01', '2027-01-03'].map((date) => ({
      ...backup(0),
      backup_id: idAt(new Date(`${date}T03:00:00Z`)),
      created_at: `${date}T03:00:00Z`,
    }));
    const decisions = planRetention(week, policy({ keep_last: 0, keep_weekly: 5 }), new Date('2027-02-01'));
    expect(kept(decisions)).toEqual(['snapshot_2027-01-03T03-00-00Z']);
  });

  test.each([
    ['30d', 29.9, 'keep'],
    ['30d', 30, 'drop'],
    ['2026-03-31', 89.8, 'keep'],
    ['2026-03-31', 90, 'drop'],
    ['permanent', 100_000, 'keep'],
  ])('a retention of %s after %d days: %s', (retention, day, action) => {
    const old = backup(0, { retention });
    const newer = backup(0.5);
    const decisions = planRetention([old, newer], policy(), at(day));
    expect(decisions.find(({ backup_id }) => backup_id === old.backup_id)?.action).toBe(action);
  });

  test('counts backups with a retention of their own separately', () => {
    const regular = days(7);
    const safety = Array.from({ length: 10 }, (_, i) => backup(7 + i / 10, { retention: '14d' }));
    expect(kept(planRetention([...regular, ...safety], policy(), at(8)))).toHaveLength(17);
  });

  test('does not let partial backups, or those of another target, displace full ones', () => {
    const full = days(7);
    const partial = Array.from({ length: 20 }, (_, i) => backup(7 + i, { stores: ['kv'] }));
    const other = Array.from({ length: 20 }, (_, i) => backup(30 + i, { target: 'other' }));
    const left = kept(planRetention([...full, ...partial, ...other], policy(), at(60)));
    for (const { backup_id } of full) expect(left).toContain(backup_id);
    expect(left).toHaveLength(21);
  });

  test('counts each subset separately, regardless of the order of its names', () => {
    const whole = days(7);
    const part = (day: number, namespaces: string[]) => backup(day, { only: { namespaces } });
    const parts = Array.from({ length: 20 }, (_, i) => part(7 + i, i % 2 ? ['a', 'b'] : ['b', 'a']));
    const left = kept(planRetention([...whole, ...parts, part(30, ['a'])], policy(), at(60)));
    for (const { backup_id } of whole) expect(left).toContain(backup_id);
    expect(left).toHaveLength(7 + 7 + 1);
  });

  test('never deletes the newest good backup, even if its own retention has ended', () => {
    const expired = days(3, { retention: '1d' });
    expect(kept(planRetention(expired, policy({ keep_last: 0 }), at(400)))).toEqual([expired[2]?.backup_id]);
  });

  test('neither counts nor deletes damaged backups', () => {
    const good = days(3);
    const damaged = Array.from({ length: 10 }, (_, i) => backup(3 + i, { verified: false }));
    const left = kept(planRetention([...good, ...damaged], policy({ keep_last: 3 }), at(20)));
    expect(left).toHaveLength(13);
  });

  test('a series of bad backups displaces no good one, and does not accumulate either', () => {
    const good = days(7);
    const bad = Array.from({ length: 40 }, (_, i) => backup(7 + i, { good: false }));
    const decisions = planRetention([...good, ...bad], policy({ keep_last: 7 }), at(60));
    const left = kept(decisions);
    for (const { backup_id } of good) expect(left).toContain(backup_id);
    expect(left).toHaveLength(14);
    expect(decisions[0]?.reasons).toEqual(['number 1 of the last 7, of those with no or far fewer records']);
  });

  test('without a good backup, the newest verified one is kept', () => {
    const bad = days(3, { good: false, retention: '1d' });
    expect(kept(planRetention(bad, policy({ keep_last: 0 }), at(400)))).toEqual([bad[2]?.backup_id]);
  });

  test('states the reason for each backup', () => {
    const decisions = planRetention(
      [...days(3), backup(3, { retention: 'permanent' })],
      policy({ keep_last: 2 }),
      at(4),
      new Map([[backup(0).backup_id, 'restore r1 reads it']]),
    );
    expect(decisions.map(({ reasons }) => reasons)).toEqual([
      ['the newest good backup', 'permanent'],
      ['number 1 of the last 2'],
      ['number 2 of the last 2'],
      ['restore r1 reads it'],
    ]);
    expect(planRetention(days(3), policy({ keep_last: 2 }), at(4))[2]?.reasons).toEqual([
      'no rule of the policy keeps it',
    ]);
    expect(endOfRetention(backup(0).created_at, 'permanent').getTime()).toBeGreaterThan(at(1e6).getTime());
  });
});

describe('retention over any year', () => {
  const anyPolicy = fc.record({
    keep_last: fc.nat(10),
    keep_daily: fc.nat(10),
    keep_weekly: fc.nat(6),
    keep_monthly: fc.nat(6),
    keep_yearly: fc.nat(3),
  });
  const anyBackup = fc.record({
    minute: fc.integer({ min: 0, max: 365 * 24 * 60 }),
    target: fc.constantFrom('default', 'other'),
    stores: fc.constantFrom<RetainedBackup['stores']>(['graph', 'kv'], ['kv']),
    retention: fc.option(fc.constantFrom('1d', '30d', '2026-06-30', 'permanent'), { nil: undefined }),
    verified: fc.boolean(),
    good: fc.boolean(),
  });
  const anyYear = fc
    .uniqueArray(anyBackup, { maxLength: 60, selector: ({ minute }) => minute })
    .map((year) =>
      year.map(({ minute, retention, ...rest }) =>
        backup(minute / 24 / 60, { ...rest, ...(retention === undefined ? {} : { retention }) }),
      ),
    );
  const groupOf = ({ target, stores }: RetainedBackup) => `${target} ${stores.join()}`;

  test('a second run deletes nothing more, and the order of the list does not matter', () => {
    fc.assert(
      fc.property(anyYear, anyPolicy, fc.nat(800), (year, wanted, day) => {
        const left = new Set(kept(planRetention(year, wanted, at(day))));
        const again = planRetention(
          year.filter(({ backup_id }) => left.has(backup_id)),
          wanted,
          at(day),
        );
        expect(again.filter(({ action }) => action === 'drop')).toEqual([]);
        expect(kept(planRetention([...year].reverse(), wanted, at(day)))).toEqual([...left]);
      }),
      { numRuns: 500 },
    );
  });

  test('the newest good, permanent, protected and unexpired backups are always kept', () => {
    fc.assert(
      fc.property(anyYear, anyPolicy, fc.nat(800), fc.nat(59), (year, wanted, day, pick) => {
        const protectedOne = year[pick % Math.max(1, year.length)];
        const protectedBy = new Map(protectedOne ? [[protectedOne.backup_id, 'in use']] : []);
        const left = new Set(kept(planRetention(year, wanted, at(day), protectedBy)));
        if (protectedOne) expect(left).toContain(protectedOne.backup_id);
        for (const one of year) {
          const { retention, created_at, backup_id } = one;
          if (retention !== undefined && at(day) < endOfRetention(created_at, retention)) {
            expect(left).toContain(backup_id);
          }
          const isNewest = (which: (other: RetainedBackup) => boolean) =>
            which(one) &&
            !year.some(
              (other) => which(other) && groupOf(other) === groupOf(one) && other.created_at > one.created_at,
            );
          const isGood = ({ verified, good }: RetainedBackup) => verified && good;
          const anyGood = year.some((other) => isGood(other) && groupOf(other) === groupOf(one));
          if (isNewest(isGood)) expect(left).toContain(backup_id);
          if (!anyGood && isNewest(({ verified }) => verified)) expect(left).toContain(backup_id);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('bad backups at any point of the year do not change which good ones are kept', () => {
    fc.assert(
      fc.property(anyYear, anyPolicy, (year, wanted) => {
        // Retention runs after every backup: once including the bad ones, once without them.
        const run = (backups: readonly RetainedBackup[]) => {
          let store: RetainedBackup[] = [];
          for (const one of backups) {
            store.push(one);
            const left = new Set(kept(planRetention(store, wanted, new Date(one.created_at))));
            store = store.filter(({ backup_id }) => left.has(backup_id));
          }
          return store.filter(({ verified, good }) => verified && good).map(({ backup_id }) => backup_id);
        };
        const inOrder = year
          .filter(({ retention }) => retention === undefined)
          .sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
        expect(run(inOrder)).toEqual(run(inOrder.filter(({ verified, good }) => verified && good)));
      }),
      { numRuns: 200 },
    );
  });

  test('daily runs through a whole year keep what a single run at its end would keep of the last days', () => {
    const wanted = policy({ keep_last: 3, keep_daily: 7, keep_weekly: 4, keep_monthly: 12 });
    let store: RetainedBackup[] = [];
    for (let day = 0; day < 365; day++) {
      store.push(backup(day), backup(day + 0.5));
      const left = new Set(kept(planRetention(store, wanted, at(day + 0.6))));
      store = store.filter(({ backup_id }) => left.has(backup_id));
      // 3 newest, 7 days, 4 weeks, 12 months, minus overlaps.
      expect(store.length).toBeLessThanOrEqual(26);
    }
    const all = Array.from({ length: 730 }, (_, half) => backup(half / 2));
    expect(store.map(({ backup_id }) => backup_id)).toEqual(
      kept(planRetention(all, wanted, at(364.6))).reverse(),
    );
    expect(store.filter(({ created_at }) => created_at.endsWith('T15:00:00.000Z')).length).toBeGreaterThan(
      11,
    );
  });
});
