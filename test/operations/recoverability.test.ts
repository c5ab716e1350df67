import { beforeEach, describe, expect, test } from '@jest/globals';
import { archiveKey, lockKey } from '../../shared/aws/keys.ts';
import { SAFETY_TAG } from '../../shared/catalog/request.ts';
import { type BackupSummary, summarize } from '../../shared/catalog/summaries.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { metricsText } from '../../shared/operations/metrics.ts';
import { type Facts, judge, recoverability } from '../../shared/operations/recoverability.ts';
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

describe('the verdict', () => {
  test('is yes with a good backup that is recent enough, and states what a restore would lose', () => {
    expect(judge(facts({ jobs: [drill()] }), NOW)).toMatchObject({
      recoverable: 'yes',
      reasons: [],
      backup: { backup_id: backup(5).backup_id, records: 1 },
      rpo_seconds: 5 * 3600,
      rpo_allowed_seconds: 48 * 3600,
      drill: { job_id: 'drill', newest: true },
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
    [
      'where the archive is in cold storage',
      'yes_with_warnings',
      ['archive-in-cold-storage'],
      { unreadableArchive: { text: 'It is in GLACIER.', thaws: true } },
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

describe('the last drill', () => {
  test('is the newest restore of the newest good backup before any other, regardless of its destination', () => {
    const older = drill({ backup_id: 'b0' }, { job_id: 'older', finished_at: at(1) });
    const own = drill({}, { job_id: 'own', finished_at: at(3) });
    expect(judge(facts({ jobs: [older, own] }), NOW).drill).toMatchObject({ job_id: 'own', newest: true });
    expect(judge(facts({ jobs: [older] }), NOW).drill).toMatchObject({ job_id: 'older', newest: false });
  });

  test.each([
    ['a dry run or a rollback', { proved: undefined }],
    ['a part of the stores', { proved: { ...proof, stores: ['graph'] } }],
    ['a part of each store', { proved: { ...proof, all_of_stores: false } }],
    ['a backup of another target', { proved: { ...proof, backup_of: 'staging' } }],
  ])('is not %s', (_, changes) => {
    expect(judge(facts({ jobs: [{ ...drill(), ...changes } as JobSummary] }), NOW).drill).toBeUndefined();
  });

  test('estimates the duration of a restore of today’s size, and never less than was measured', () => {
    const rto = (bytes: number) => judge(facts({ jobs: [drill({ seconds: 60, bytes })] }), NOW).rto_seconds;
    expect(backup(5).uncompressed_bytes).toBe(5000);
    expect([rto(5000), rto(1000), rto(50_000)]).toEqual([60, 300, 60]);
    expect(judge(facts({ jobs: [drill()] }), NOW).rto_seconds).toBeUndefined();
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
    const { graph, kv } = config.targets.default.stores;
    context = {
      ...context,
      config: { ...config, targets: { default: { ...config.targets.default, stores: { graph, kv } } } },
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
    expect(lines).toContain(
      `ngbak_last_drill_timestamp_seconds{target="default"} ${hoursAgo(1).getTime() / 1000}`,
    );
    const rpo = lines.find((line) => line.startsWith('ngbak_rpo_seconds{target="default"}'));
    expect(Math.abs(Number(rpo?.split(' ')[1]) - 7200)).toBeLessThan(300);
  });

  test('a target that does not exist is refused', async () => {
    await expect(recoverability(context, { target: 'nobody' })).rejects.toThrow(/no target "nobody"/);
  });
});
