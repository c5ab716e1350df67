import { beforeEach, describe, expect, test } from '@jest/globals';
import { archiveKey, lockKey } from '../../shared/aws/keys.ts';
import { SAFETY_TAG } from '../../shared/catalog/request.ts';
import { planRetention } from '../../shared/catalog/retention/plan.ts';
import { type BackupSummary, summarize } from '../../shared/catalog/summaries.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { metricsText } from '../../shared/operations/metrics.ts';
import { DecisiveJobs, type Facts, judge, recoverability } from '../../shared/operations/recoverability.ts';
import { type AgeSchedule, allowedAgeMs, type DrillLimit, drillLimits } from '../../shared/schedules/age.ts';
import type { LastDrills } from '../../shared/workflows/drill/last.ts';
import { createJob, SKIPPED } from '../../shared/workflows/job/record.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import { fc } from '../fast-check.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogRecord, catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

const NOW = Date.parse('2026-03-10T12:00:00Z');
const HOUR_MS = 3_600_000;
const at = (hoursAgo: number) => new Date(NOW - hoursAgo * HOUR_MS).toISOString();

/** A good backup from this number of hours ago, with changes. */
const backup = (hoursAgo: number, changes: Partial<BackupSummary> = {}): BackupSummary => ({
  ...summarize(
    catalogRecord({ backup_id: idAt(new Date(NOW - hoursAgo * HOUR_MS)), created_at: at(hoursAgo) }),
    { find: () => undefined },
    'bucket',
  ),
  ...changes,
});
const target = (
  backups: readonly BackupSummary[],
  changes: Partial<Facts['target']> = {},
): Facts['target'] => {
  const [newest] = backups;
  const newest_full = backups.find(({ type, tags }) => type === 'full' && !tags.includes(SAFETY_TAG));
  const newest_good = backups.find(({ good, type }) => good && type === 'full');
  return {
    target: 'default',
    backups: backups.length,
    bytes: 1,
    damaged: backups.filter(({ verification }) => verification.state === 'damaged').length,
    with_warnings: 0,
    allowed_age_hours: 48,
    ...(newest && { newest }),
    ...(newest_full && { newest_full }),
    ...(newest_good && { newest_good }),
    ...changes,
  };
};
const facts = (changes: Partial<Facts> = {}): Facts => ({
  target: target([backup(5)]),
  stores: ['graph', 'kv'],
  unreadable: 0,
  jobs: [],
  ...changes,
});
const job = (changes: Partial<JobSummary>): JobSummary => ({
  job_id: 'job',
  kind: 'backup',
  target: 'default',
  state: 'completed',
  created_at: at(1),
  updated_at: at(1),
  finished_at: at(1),
  ...changes,
});
const proof = {
  backup_id: backup(5).backup_id,
  backup_of: 'default',
  stores: ['graph', 'kv'],
  all_of_stores: true,
};
const drill = (changes: Partial<NonNullable<JobSummary['proved']>> = {}, more: Partial<JobSummary> = {}) =>
  job({ job_id: 'drill', kind: 'restore', target: 'staging', proved: { ...proof, ...changes }, ...more });
const codes = ({ reasons }: ReturnType<typeof judge>) =>
  reasons.filter(({ severity }) => severity !== 'note').map(({ code }) => code);

const damaged = (hoursAgo: number) =>
  backup(hoursAgo, {
    good: false,
    state: 'damaged',
    verification: { state: 'damaged', at: at(hoursAgo), problems: ['x'] },
  });
const suspicious = (hoursAgo: number) =>
  backup(hoursAgo, { good: false, state: 'complete_with_warnings', open_warnings: 1 });

describe('a copy of the latest good backup', () => {
  type Copy = NonNullable<BackupSummary['copies']>[number];
  const copy = (changes: Partial<Copy>): Copy => ({
    ...{ name: 'vault', bucket: 'vault-bucket', state: 'complete' as const, at: at(1) },
    ...changes,
  });
  const judged = (copies: Copy[] | undefined, configured?: string[]) =>
    judge(facts({ target: target([backup(5, copies ? { copies } : {})]), copies: configured }), NOW);

  test.each<[string, Copy[] | undefined, string[]]>([
    ['complete', [copy({})], []],
    ['not yet due', [copy({ state: 'pending', at: at(23) })], []],
    ['missing', undefined, ['copy-missing']],
    ['missing among others', [copy({ name: 'other' })], ['copy-missing']],
    ['failed', [copy({ state: 'failed', problem: 'denied' })], ['copy-failed']],
    ['overdue', [copy({ state: 'pending', at: at(25) })], ['copy-overdue']],
    ['damaged', [copy({ state: 'damaged', problem: 'sha256' })], ['copy-damaged']],
  ])('that is %s restricts the verdict accordingly', (_, copies, expected) => {
    const verdict = judged(copies, ['vault']);
    expect(codes(verdict)).toEqual(expected);
    // The original can still be restored.
    expect(verdict.recoverable).toBe(expected.length === 0 ? 'yes' : 'yes_with_warnings');
  });

  test('is listed with its state, as far as the configuration is known', () => {
    const made = [copy({ verified_at: at(2) }), copy({ name: 'removed', state: 'failed' })];
    expect(judged(made, ['vault', 'new']).copies).toEqual([
      { name: 'vault', state: 'complete', verified_at: at(2) },
      { name: 'new', state: 'missing' },
    ]);
    expect(judged(made).copies?.map(({ name }) => name)).toEqual(['vault', 'removed']);
    expect(judged(undefined, []).copies).toBeUndefined();
    expect(judged(undefined).copies).toBeUndefined();
  });

  test('that is missing, late or failed never makes a target unrecoverable, nor a recoverable one of an old backup', () => {
    const failed = [copy({ state: 'failed', problem: 'denied' })];
    expect(judge(facts({ target: target([]), copies: ['vault'] }), NOW).recoverable).toBe('no');
    const old = judge(facts({ target: target([backup(49, { copies: failed })]), copies: ['vault'] }), NOW);
    expect(codes(old)).toEqual(['backup-too-old', 'copy-failed']);
  });
});

describe('the verdict', () => {
  test('is yes with a good backup that is recent enough, and states what a restore would lose', () => {
    expect(judge(facts({ jobs: [drill()] }), NOW)).toMatchObject({
      recoverable: 'yes',
      reasons: [],
      backup: { backup_id: backup(5).backup_id, records: 1 },
      rpo_seconds: 5 * 3600,
      rpo_allowed_seconds: 48 * 3600,
      proof: { job_id: 'drill', kind: 'restore', newest: true },
    });
  });

  const failed = {
    state: 'failed',
    error: { name: 'UnavailableError', message: 'Qdrant did not answer.' },
  } as const;
  const restore = { job_id: 'restore', kind: 'restore' } as const;
  test.each<[string, string, string[], Partial<Facts>]>([
    ['without any backup', 'no', ['no-backup'], { target: target([]) }],
    [
      'with backups that are damaged or suspicious only',
      'no',
      ['no-good-backup', 'backups-damaged'],
      { target: target([suspicious(1), damaged(2)]) },
    ],
    [
      'where the archive is gone or its key disabled',
      'no',
      ['archive-unreadable'],
      { unreadableArchive: { text: 'The key is disabled.', thaws: false } },
    ],
    ['without the signature that the deployment requires', 'no', ['signature-missing'], { unsigned: true }],
    [
      'where the archive is in cold storage',
      'yes_with_warnings',
      ['archive-in-cold-storage'],
      { unreadableArchive: { text: 'It is in GLACIER.', thaws: true } },
    ],
    [
      'where the archive is being thawed',
      'yes_with_warnings',
      ['archive-in-cold-storage'],
      { unreadableArchive: { text: 'It is being thawed.', thaws: true, thawSeconds: 3600 } },
    ],
    ['with an old backup', 'yes_with_warnings', ['backup-too-old'], { target: target([backup(49)]) }],
    [
      'with an old backup whose schedules allow that',
      'yes',
      [],
      { target: target([backup(49)], { allowed_age_hours: 400 }) },
    ],
    [
      'where a newer backup is empty or has shrunk',
      'yes_with_warnings',
      ['newer-backup-suspicious'],
      { target: target([suspicious(1), backup(5)]) },
    ],
    [
      'where a newer one is damaged',
      'yes_with_warnings',
      ['backups-damaged'],
      { target: target([damaged(1), backup(5)]) },
    ],
    [
      'where newer ones are partial, or safety backups',
      'yes',
      [],
      {
        target: target([
          backup(1, { type: 'partial', good: false }),
          backup(2, { tags: [SAFETY_TAG], good: false }),
          backup(5),
        ]),
      },
    ],
    [
      'with unacknowledged warnings',
      'yes_with_warnings',
      ['open-warnings'],
      { target: target([backup(5, { open_warnings: 2, state: 'complete_with_warnings' })]) },
    ],
    [
      'where the target got a store since',
      'yes_with_warnings',
      ['store-missing'],
      { stores: ['graph', 'kv', 'vectors'] },
    ],
    ['where the configuration is not known', 'yes', [], { stores: undefined }],
    ['where a catalog record cannot be read', 'yes_with_warnings', ['records-unreadable'], { unreadable: 1 }],
    [
      'where a failed restore keeps the lock',
      'yes_with_warnings',
      ['target-locked'],
      { locked: 'It holds a part.' },
    ],
    ['where the last backup failed', 'yes_with_warnings', ['last-backup-failed'], { jobs: [job(failed)] }],
    [
      'where a later backup went well',
      'yes',
      [],
      { jobs: [job({ ...failed, created_at: at(9) }), job({ created_at: at(1) })] },
    ],
    [
      'where the last backup was skipped or cancelled',
      'yes',
      [],
      {
        jobs: [
          job({ state: 'cancelled', error: { name: SKIPPED, message: 'x' } }),
          job({ state: 'cancelled' }),
        ],
      },
    ],
    [
      'where the last restore was rolled back',
      'yes_with_warnings',
      ['last-restore-failed'],
      { jobs: [job({ ...failed, ...restore, state: 'rolled_back' })] },
    ],
    ['where a backup of another target failed', 'yes', [], { jobs: [job({ ...failed, target: 'other' })] }],
  ])('%s is %s', (_, recoverable, expected, changes) => {
    const verdict = judge(facts(changes), NOW);
    expect([verdict.recoverable, codes(verdict)]).toEqual([recoverable, expected]);
    for (const { text, remedy } of verdict.reasons)
      expect([text, remedy]).toEqual([expect.stringMatching(/\.$/), expect.stringMatching(/\.$/)]);
  });

  test('lists the most severe reasons first, and notes that no restore was rehearsed', () => {
    const verdict = judge(
      facts({
        target: target([backup(60)]),
        unreadableArchive: { text: 'The key is disabled.', thaws: false },
      }),
      NOW,
    );
    expect(verdict.reasons.map(({ severity, code }) => `${severity} ${code}`)).toEqual([
      'no archive-unreadable',
      'warning backup-too-old',
      'note not-rehearsed',
    ]);
  });
});

describe('the last proof of a restore', () => {
  test('is the newest restore of the newest good backup before any other, regardless of its destination', () => {
    const older = drill({ backup_id: 'b0' }, { job_id: 'older', finished_at: at(1) });
    const own = drill({}, { job_id: 'own', finished_at: at(3) });
    expect(judge(facts({ jobs: [older, own] }), NOW).proof).toMatchObject({ job_id: 'own', newest: true });
    expect(judge(facts({ jobs: [older] }), NOW).proof).toMatchObject({ job_id: 'older', newest: false });
  });

  test.each([
    ['a dry run or a rollback', { proved: undefined }],
    ['a part of the stores', { proved: { ...proof, stores: ['graph'] } }],
    ['a part of each store', { proved: { ...proof, all_of_stores: false } }],
    ['a backup of another target', { proved: { ...proof, backup_of: 'staging' } }],
  ])('is not %s', (_, changes) => {
    expect(judge(facts({ jobs: [{ ...drill(), ...changes } as JobSummary] }), NOW).proof).toBeUndefined();
  });

  test('estimates the duration of a restore of today’s size, and never less than was measured', () => {
    const rto = (bytes: number) => judge(facts({ jobs: [drill({ seconds: 60, bytes })] }), NOW).rto_seconds;
    expect(backup(5).uncompressed_bytes).toBe(5000);
    expect([rto(5000), rto(1000), rto(50_000)]).toEqual([60, 300, 60]);
    expect(judge(facts({ jobs: [drill()] }), NOW).rto_seconds).toBeUndefined();
    const unreadableArchive = { text: 'It is in GLACIER.', thaws: true, thawSeconds: 3600 };
    const cold = judge(facts({ jobs: [drill({ seconds: 60, bytes: 5000 })], unreadableArchive }), NOW);
    expect(cold).toMatchObject({ rto_seconds: 3660, thaw_seconds: 3600 });
  });
});

describe('the last drill', () => {
  const passed = (daysAgo: number, changes: Partial<NonNullable<LastDrills['drill']>> = {}) => ({
    job_id: `drill_${daysAgo}`,
    backup_id: backup(5).backup_id,
    finished_at: at(daysAgo * 24),
    stores: ['graph', 'kv'],
    ...changes,
  });
  const limit = (maxAgeDays: number, changes: Partial<DrillLimit> = {}): DrillLimit => ({
    maxAgeMs: maxAgeDays * 24 * HOUR_MS,
    since: Date.parse(at(365 * 24)),
    rehearsals: true,
    ...changes,
  });
  const noted = (changes: Partial<Facts>) => {
    const { recoverable, reasons } = judge(facts(changes), NOW);
    return [recoverable, ...reasons.map(({ code }) => code)];
  };

  test('is overdue if it is older than its schedules allow, whatever its job records say', () => {
    const drills = { drill: passed(15) };
    expect(noted({ drills })).toEqual(['yes']);
    expect(noted({ drills, drillLimits: [limit(16)] })).toEqual(['yes']);
    expect(noted({ drills, drillLimits: [limit(14)] })).toEqual(['yes_with_warnings', 'drill-overdue']);
    expect(noted({ drills, drillLimits: [limit(16), limit(14)] })).toEqual([
      'yes_with_warnings',
      'drill-overdue',
    ]);
    // The job of a passed drill states the same as its record.
    const kept = job({ job_id: 'drill_2', kind: 'drill', proved: proof, finished_at: at(48) });
    expect(noted({ drills, jobs: [kept], drillLimits: [limit(14)] })).toEqual(['yes']);
    const { reasons } = judge(facts({ drills, drillLimits: [limit(14)] }), NOW);
    expect(reasons[0]?.text).toBe('The last drill that passed is 15 days old; its schedules allow 14 days.');
  });

  test('is not overdue before its first schedule is as old as that', () => {
    const since = (days: number) => [limit(14, { since: Date.parse(at(days * 24)) })];
    expect(noted({ drillLimits: since(13) })).toEqual(['yes', 'not-rehearsed']);
    expect(noted({ drillLimits: since(15) })).toEqual([
      'yes_with_warnings',
      'drill-overdue',
      'not-rehearsed',
    ]);
    expect(noted({ drills: { drill: passed(300) }, drillLimits: since(13) })).toEqual(['yes']);
  });

  test('may be a rehearsal, which proves less, unless its schedule requires drills', () => {
    const drills = { rehearsal: passed(3) };
    expect(noted({ drills, drillLimits: [limit(14)] })).toEqual(['yes', 'rehearsed-only']);
    expect(noted({ drills, drillLimits: [limit(14, { rehearsals: false })] })).toEqual([
      'yes_with_warnings',
      'drill-overdue',
      'rehearsed-only',
    ]);
    const verdict = judge(facts({ drills }), NOW);
    expect(verdict).toMatchObject({ rehearsal: { job_id: 'drill_3', newest: true } });
    expect(verdict).not.toHaveProperty('proof');
    expect(verdict).not.toHaveProperty('rto_seconds');
  });

  test('that failed is a warning, however young the one that passed before', () => {
    const failed = job({ job_id: 'drill_1', kind: 'drill', state: 'failed', created_at: at(24) });
    expect(noted({ drills: { drill: passed(2) }, drillLimits: [limit(14)], jobs: [failed] })).toEqual([
      'yes_with_warnings',
      'last-drill-failed',
    ]);
  });

  test('that failed is not redeemed by a rehearsal, and a rehearsal that failed is by a drill', () => {
    const drilled = (state: 'failed' | 'completed', hours: number, rehearsal?: true) =>
      job({
        job_id: `drill_${hours}`,
        kind: 'drill',
        state,
        created_at: at(hours),
        ...(rehearsal && { rehearsal }),
      });
    const decisive = (...jobs: JobSummary[]) => {
      const found = new DecisiveJobs();
      for (const one of jobs) found.add(one);
      return { drills: { drill: passed(9) }, jobs: found.all() };
    };
    const [failed, warning] = ['failed', 'yes_with_warnings'] as const;
    expect(noted(decisive(drilled(failed, 5), drilled('completed', 2, true)))).toEqual([
      warning,
      'last-drill-failed',
    ]);
    expect(noted(decisive(drilled('completed', 5), drilled(failed, 2, true)))).toEqual([
      warning,
      'last-rehearsal-failed',
    ]);
    expect(noted(decisive(drilled(failed, 5, true), drilled('completed', 2)))).toEqual(['yes']);
    expect(noted(decisive(drilled(failed, 5, true), drilled('completed', 2, true)))).toEqual(['yes']);
    // Its record outlives its job.
    const last = { job_id: 'drill_200', verdict: failed, finished_at: at(200 * 24) };
    expect(noted({ drills: { drill: passed(300), last } })).toEqual([warning, 'last-drill-failed']);
    expect(noted({ drills: { drill: passed(300), last }, jobs: [drilled('completed', 2)] })).toEqual(['yes']);
  });

  test('measures the duration of a restore, also after its job record has expired', () => {
    const drills = { drill: passed(120, { seconds: 60, bytes: 1000 }) };
    expect(judge(facts({ drills }), NOW)).toMatchObject({
      rto_seconds: 300,
      proof: { kind: 'drill', job_id: 'drill_120' },
      drill: { job_id: 'drill_120' },
    });
  });

  test('has the limits of the schedules that start drills of this target repeatedly', () => {
    const schedule = (changes: Partial<AgeSchedule>): AgeSchedule => ({
      expression: 'rate(7 days)',
      time_zone: 'UTC',
      flexible_minutes: 0,
      enabled: true,
      created_at: at(240),
      changed_at: at(1),
      drill: { target: 'default' },
      ...changes,
    });
    const limits = (...changes: Partial<AgeSchedule>[]) =>
      drillLimits('default', changes.map(schedule), new Date(NOW));
    const days = (count: number) => count * 24 * HOUR_MS;
    expect(limits({})).toEqual([{ maxAgeMs: days(14), since: Date.parse(at(240)), rehearsals: true }]);
    expect(limits({ expression: 'rate(1 hour)' })[0]?.maxAgeMs).toBe(days(2));
    expect(limits({ expression: 'cron(0 4 1 */3 ? *)' })[0]?.maxAgeMs).toBe(days(184));
    expect(limits({ drill: { target: 'default', rehearsal: 'never' } })[0]?.rehearsals).toBe(false);
    expect(
      limits(
        { enabled: false },
        { drill: { target: 'other' } },
        { expression: 'at(2030-01-01T00:00:00)' },
        { drill: undefined, backup: { target: 'default' } },
      ),
    ).toEqual([]);
    // Drills and partial backups do not determine how old full backups may be.
    const weekly = schedule({ drill: undefined, backup: { target: 'default' } });
    const daily = { expression: 'rate(1 day)' };
    const part = schedule({ ...daily, drill: undefined, backup: { target: 'default', stores: ['graph'] } });
    const all = schedule({ ...daily, drill: undefined, backup: { stores: ['graph', 'config'] } });
    const age = (...schedules: AgeSchedule[]) =>
      allowedAgeMs('default', schedules, { stores: ['graph', 'config'], now: new Date(NOW) });
    expect(age(weekly, schedule(daily), part)).toBe(days(14));
    expect(age(weekly, part, all)).toBe(days(2));
  });
});

describe('over a simulated year of backups, drills, retention and warnings', () => {
  type Run = 'passed' | 'failed' | 'rehearsed' | 'none' | 'cancelled';
  const DAY_MS = 24 * HOUR_MS;

  /** Simulates a year; calls `check` at noon of each day, with what happened so far. */
  function simulate(
    days: readonly ('good' | 'warned' | 'acknowledged' | 'failed' | 'none')[],
    runs: readonly Run[],
    interval: number,
    rehearsals: boolean,
    check: (day: number, verdict: ReturnType<typeof judge>, kept: readonly BackupSummary[]) => void,
  ): void {
    const start = NOW - days.length * DAY_MS;
    let backups: BackupSummary[] = [];
    let jobs: JobSummary[] = [];
    const drills: { -readonly [Name in keyof LastDrills]: LastDrills[Name] } = {};
    for (const [day, outcome] of days.entries()) {
      const now = start + day * DAY_MS;
      const hours = (NOW - now) / HOUR_MS;
      if (outcome === 'acknowledged') backups = backups.map((one) => ({ ...one, open_warnings: 0 }));
      else if (outcome === 'failed') jobs.push(job({ state: 'failed', created_at: at(hours) }));
      else if (outcome !== 'none') {
        backups.unshift(backup(hours, outcome === 'warned' ? { open_warnings: 1 } : {}));
        jobs.push(job({ created_at: at(hours) }));
      }
      const run = day % interval === 0 ? runs[day / interval] : undefined;
      const newest = backups[0];
      if (run !== undefined && run !== 'none' && newest) {
        const state = run === 'failed' || run === 'cancelled' ? run : 'completed';
        const id = { job_id: `drill_${day}`, backup_id: newest.backup_id, finished_at: at(hours) };
        const proved = run === 'passed' ? { ...proof, backup_id: newest.backup_id } : undefined;
        jobs.push(job({ ...id, kind: 'drill', state, created_at: at(hours), ...(proved && { proved }) }));
        if (run === 'passed') drills.drill = { ...id, stores: ['graph', 'kv'] };
        if (run !== 'cancelled') {
          drills.last = { ...id, verdict: run === 'failed' ? 'failed' : 'passed' };
        }
        if (run === 'rehearsed') drills.rehearsal = { ...id, stores: ['graph', 'kv'] };
      }
      // Records of jobs expire, and the retention policy removes backups.
      jobs = jobs.filter(({ created_at }) => now - Date.parse(created_at) < 90 * DAY_MS);
      const dropped = new Set(
        planRetention(
          backups.map((one) => ({ ...one, verified: true })),
          { keep_last: 3, keep_daily: 0, keep_weekly: 2, keep_monthly: 2, keep_yearly: 0 },
          new Date(now),
        )
          .filter(({ action }) => action === 'drop')
          .map(({ backup_id }) => backup_id),
      );
      backups = backups.filter(({ backup_id }) => !dropped.has(backup_id));
      const decisive = new DecisiveJobs();
      for (const one of jobs) decisive.add(one);
      const drillLimitsNow = [{ maxAgeMs: 2 * interval * DAY_MS, since: start, rehearsals }];
      const found = { target: target(backups), jobs: decisive.all(), drills, drillLimits: drillLimitsNow };
      check(day, judge(facts(found), now), backups);
    }
  }

  /** The index of the last day before or on `day` for which something holds; -1 if there is none. */
  const lastDay = (day: number, holds: (day: number) => boolean) => {
    for (let one = day; one >= 0; one--) if (holds(one)) return one;
    return -1;
  };

  test.each([7, 30, 91])('with a drill every %d days, the verdict is right on every day', (interval) => {
    const length = 365;
    const outcomes = fc.array(
      fc.constantFrom('good', 'good', 'good', 'good', 'warned', 'acknowledged', 'failed', 'none'),
      { minLength: length, maxLength: length },
    );
    const drillRuns = fc.array(
      fc.constantFrom<Run>('passed', 'passed', 'failed', 'rehearsed', 'none', 'cancelled'),
      { minLength: Math.ceil(length / interval), maxLength: Math.ceil(length / interval) },
    );
    fc.assert(
      fc.property(outcomes, drillRuns, fc.boolean(), (days, runs, rehearsals) => {
        const isBackup = (day: number) => days[day] === 'good' || days[day] === 'warned';
        simulate(days, runs, interval, rehearsals, (day, verdict, kept) => {
          const newest = lastDay(day, isBackup);
          // A run without any backup does not begin.
          const ran = (one: number) => {
            const run = one % interval === 0 ? runs[one / interval] : undefined;
            return lastDay(one, isBackup) >= 0 ? run : undefined;
          };
          const suffices = (one: number) => ran(one) === 'passed' || (rehearsals && ran(one) === 'rehearsed');
          const ended = lastDay(day, (one) => ['passed', 'failed', 'rehearsed'].includes(ran(one) ?? ''));
          const acknowledged = lastDay(day, (one) => days[one] === 'acknowledged');
          const lastRun = lastDay(day, (one) => isBackup(one) || days[one] === 'failed');
          const expected = [
            ...(newest >= 0 && day - newest > 2 ? ['backup-too-old'] : []),
            ...(newest >= 0 && days[newest] === 'warned' && acknowledged < newest ? ['open-warnings'] : []),
            ...(days[lastRun] === 'failed' && day - lastRun < 90 ? ['last-backup-failed'] : []),
            ...(ended >= 0 && ran(ended) === 'failed' ? ['last-drill-failed'] : []),
            ...(day - Math.max(0, lastDay(day, suffices)) > 2 * interval ? ['drill-overdue'] : []),
          ];
          const no = newest < 0;
          expect([
            day,
            verdict.recoverable,
            codes(verdict)
              .filter((code) => code !== 'no-backup')
              .sort(),
          ]).toEqual([day, no ? 'no' : expected.length > 0 ? 'yes_with_warnings' : 'yes', expected.sort()]);
          // Retention never removes the newest backup, and what it removes changes nothing.
          expect(kept[0]?.created_at).toBe(no ? undefined : at((length - newest) * 24));
          const passed = lastDay(day, (one) => ran(one) === 'passed');
          expect(verdict.drill?.job_id).toBe(passed < 0 ? undefined : `drill_${passed}`);
        });
      }),
      { numRuns: 4 },
    );
  });
});

test('over a year of simulated days, the verdict is yes exactly while a good backup is recent enough and nothing is wrong', () => {
  const days = fc.array(
    fc.constantFrom('good', 'good', 'good', 'suspicious', 'damaged', 'failed', 'none', 'partial'),
    {
      minLength: 365,
      maxLength: 365,
    },
  );
  fc.assert(
    fc.property(days, fc.integer({ min: 24, max: 240 }), (year, allowed_age_hours) => {
      const backups: BackupSummary[] = [];
      const jobs: JobSummary[] = [];
      const makers = {
        good: backup,
        suspicious,
        damaged,
        partial: (h: number) => backup(h, { type: 'partial', good: false }),
      };
      for (const [day, outcome] of year.entries()) {
        const hoursAgo = (365 - day) * 24;
        if (outcome === 'failed') jobs.push(job({ state: 'failed', created_at: at(hoursAgo) }));
        else if (outcome !== 'none') {
          backups.unshift(makers[outcome](hoursAgo));
          jobs.push(job({ created_at: at(hoursAgo) }));
        }
        const now = NOW - hoursAgo * HOUR_MS;
        const { recoverable } = judge(facts({ target: target(backups, { allowed_age_hours }), jobs }), now);
        const past = year.slice(0, day + 1);
        const age = past.length - 1 - past.lastIndexOf('good');
        const since = past.slice(past.lastIndexOf('good') + 1);
        const clean =
          age * 24 <= allowed_age_hours &&
          !past.includes('damaged') &&
          // A failed run no longer matters once a later one has succeeded.
          past.filter((one) => one !== 'none').at(-1) !== 'failed' &&
          !since.includes('suspicious');
        expect([day, recoverable]).toEqual([
          day,
          !past.includes('good') ? 'no' : clean ? 'yes' : 'yes_with_warnings',
        ]);
      }
    }),
    { numRuns: 3 },
  );
});

describe('in a bucket', () => {
  let context: OperationsContext;
  const now = Date.now();
  const hoursAgo = (hours: number) => new Date(now - hours * HOUR_MS);
  const make = (hours: number, changes: object = {}, archive = Buffer.from('archive')) =>
    catalogue(
      context.bucket,
      { backup_id: idAt(hoursAgo(hours)), created_at: hoursAgo(hours).toISOString(), ...changes },
      archive,
    );
  const verdict = async () => {
    const { targets } = await recoverability(context, { target: 'default' });
    return targets.map(({ recoverable, reasons }) => [recoverable, ...reasons.map(({ code }) => code)]);
  };

  beforeEach(async () => {
    context = await freshContext({ config: true });
    const { config } = context;
    if (!config?.targets.default) throw new Error('The context has a target "default".');
    // Their archives have the contents of catalogRecord().
    const { vectors: _, ...stores } = config.targets.default.stores;
    context = {
      ...context,
      config: { ...config, targets: { default: { ...config.targets.default, stores } } },
    };
  });

  test('a missing archive, and a target that a failed restore left locked, are found', async () => {
    expect(await verdict()).toEqual([['no', 'no-backup']]);
    const { backup_id } = await make(3);
    expect(await verdict()).toEqual([['yes', 'not-rehearsed']]);
    await context.bucket.writeRecord(lockKey('default'), {
      target: 'default',
      job_id: 'restore_1',
      kind: 'restore',
      execution_arn: 'arn:aws:states:eu-central-1:000000000000:execution:Restore:restore_1',
      since: hoursAgo(1).toISOString(),
      kept: 'its rollback failed.',
    });
    expect(await verdict()).toEqual([['yes_with_warnings', 'target-locked', 'not-rehearsed']]);
    await context.bucket.removeAll(archiveKey(backup_id));
    expect(await verdict()).toEqual([['no', 'archive-unreadable', 'target-locked', 'not-rehearsed']]);
    expect(await metricsText(context)).toContain('ngbak_recoverable{target="default"} 0\n');
  });

  test('metrics state the verdict, the age of the backup, the duration of a restore and the last drill', async () => {
    const { backup_id } = await make(2);
    await createJob(context.bucket, {
      job_id: 'restore_1',
      kind: 'restore',
      target: 'default',
      state: 'completed',
      created_at: hoursAgo(1).toISOString(),
      updated_at: hoursAgo(1).toISOString(),
      finished_at: hoursAgo(1).toISOString(),
      result: {
        verified: true,
        backup_id,
        origin: { original_target: 'default' },
        stores: { graph: {}, kv: {} },
        all_of_stores: true,
        seconds: 90,
        bytes: 5000,
      },
    });
    const lines = (await metricsText(context)).split('\n');
    expect(lines).toContain('ngbak_recoverable{target="default"} 1');
    expect(lines).toContain('ngbak_rto_seconds{target="default"} 90');
    // A restore proves the backup, and is not a drill.
    expect(lines).toContain(
      `ngbak_last_proof_timestamp_seconds{target="default"} ${hoursAgo(1).getTime() / 1000}`,
    );
    expect(lines).toContain('ngbak_last_drill_timestamp_seconds{target="default"} 0');
    const rpo = lines.find((line) => line.startsWith('ngbak_rpo_seconds{target="default"}'));
    expect(Math.abs(Number(rpo?.split(' ')[1]) - 7200)).toBeLessThan(300);
  });

  test('a target that does not exist is refused', async () => {
    await expect(recoverability(context, { target: 'nobody' })).rejects.toThrow(/no target "nobody"/);
  });
});
