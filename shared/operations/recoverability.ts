import { z } from 'zod';
import { archiveKey, catalogKey, lockKey } from '../aws/keys.ts';
import { ObjectArchivedError } from '../aws/s3-error.ts';
import { readS3Text } from '../aws/send-s3.ts';
import { coldPlaceOf, requireReadable } from '../catalog/archive-storage.ts';
import { headArchive } from '../catalog/head-archive.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { signaturesOf } from '../catalog/signature.ts';
import type { BackupSummary } from '../catalog/summaries.ts';
import { backedUpTargets } from '../core/config.ts';
import { BackupCopy, COPY_STATES, copiesOf } from '../core/copies.ts';
import { AccessDeniedError, describeError } from '../core/errors.ts';
import { GRADE_NAMES } from '../core/grade.ts';
import { Id } from '../core/ids.ts';
import { isRollbackJob } from '../core/job-kinds.ts';
import { hasEnded } from '../core/job-state.ts';
import { mapOrdered } from '../core/ordered.ts';
import { NotFoundError } from '../core/refusals.ts';
import { THAW_HOURS } from '../core/storage-class.ts';
import { type AgeSchedule, type DrillLimit, drillLimits } from '../schedules/age.ts';
import { type LastDrills, readLastDrills } from '../workflows/drill/last.ts';
import { listedJobs } from '../workflows/job/days.ts';
import { Lock } from '../workflows/job/lock.ts';
import { SKIPPED } from '../workflows/job/record.ts';
import type { JobSummary } from '../workflows/job/summary.ts';
import { readableSchedules } from './backup-age.ts';
import type { OperationsContext } from './context.ts';
import { type CatalogState, type Overview, readCatalogState } from './overview.ts';

/** Targets that are assessed concurrently. */
const TARGETS_AT_ONCE = 8;
const HOUR_MS = 3_600_000;
/** Time in which a copy of a backup should be complete. Large archives take hours to reach another region. */
const COPY_OVERDUE_MS = 24 * HOUR_MS;

const Grade = z.enum(GRADE_NAMES);
export type Grade = z.infer<typeof Grade>;

const Reason = z.object({
  /** Kebab-case, stable. */
  code: z.string(),
  /** `no`: the target cannot be recovered. `warning`: it can, with this restriction. `note`: worth knowing. */
  severity: z.enum(['no', 'warning', 'note']),
  /** Contains neither data nor secrets. */
  text: z.string(),
  /** The recommended action. */
  remedy: z.string(),
});
export type Reason = z.infer<typeof Reason>;

/** A restore, a drill or a rehearsal of a full backup. */
const Proof = z.object({
  job_id: Id,
  backup_id: z.string(),
  finished_at: z.iso.datetime(),
  /** True if it was of the newest good backup; false for an earlier one. */
  newest: z.boolean(),
});

export const TargetRecoverability = z.object({
  target: z.string(),
  recoverable: Grade,
  /** Most severe first. Empty if there is no restriction. */
  reasons: z.array(Reason),
  /** The newest good backup, which a restore would use. */
  backup: z
    .object({
      backup_id: z.string(),
      created_at: z.iso.datetime(),
      verified_at: z.iso.datetime(),
      bytes: z.number(),
      uncompressed_bytes: z.number(),
      records: z.number().int(),
    })
    .optional(),
  /** Age of that backup in seconds: the data loss of a restore now. */
  rpo_seconds: z.number().optional(),
  /** Its maximum age in seconds, from the schedules of the target. Absent if the catalog cannot be read. */
  rpo_allowed_seconds: z.number().optional(),
  /**
   * Estimated duration of a restore of that backup in seconds, based on the last measured restore. Absent if none was
   * measured.
   */
  rto_seconds: z.number().optional(),
  /**
   * The usual duration of thawing its archive with the tier `standard`, in seconds, which `rto_seconds` includes. Absent
   * unless the archive is in cold storage.
   */
  thaw_seconds: z.number().optional(),
  /**
   * The last restore or drill that compared every record of a full backup with the archive: of the newest good backup,
   * or else of an earlier one. Restores of the last 90 days, drills of any time.
   */
  proof: Proof.extend({ kind: z.enum(['restore', 'drill']) }).optional(),
  /** The last drill that passed. */
  drill: Proof.optional(),
  /** The last rehearsal that passed. It proves less: nothing was restored. */
  rehearsal: Proof.optional(),
  /** Maximum age of the last drill in seconds, from the schedules of drills of the target. Absent without any. */
  drill_age_max_seconds: z.number().optional(),
  /** The copies of that backup in other buckets. Absent if none are configured. */
  copies: z
    .array(
      BackupCopy.pick({ name: true, verified_at: true }).extend({
        /** `missing`: the record of the backup does not mention the copy. */
        state: z.enum([...COPY_STATES, 'missing']),
      }),
    )
    .optional(),
});
export type TargetRecoverability = z.infer<typeof TargetRecoverability>;

export const Recoverability = z.object({
  /** The worst result of all targets. `no` if there is no target. */
  recoverable: Grade,
  targets: z.array(TargetRecoverability),
});
export type Recoverability = z.infer<typeof Recoverability>;

export const RecoverabilityInput = z.strictObject({
  /** Default: all targets. */
  target: Id.optional(),
});
export type RecoverabilityInput = z.infer<typeof RecoverabilityInput>;

/** All inputs of the assessment of one target. */
export interface Facts {
  readonly target: Overview['targets'][number];
  /** Stores with data in the target's configuration. Undefined if that is not known. */
  readonly stores: readonly string[] | undefined;
  /** Number of catalog records that could not be read. */
  readonly unreadable: number;
  /** Jobs of the last 90 days, in any order, of any target. */
  readonly jobs: readonly JobSummary[];
  /** The last passed drill and rehearsal, at any time. */
  readonly drills?: LastDrills | undefined;
  /** How old the last drill may be. */
  readonly drillLimits?: readonly DrillLimit[] | undefined;
  /** Why a failed restore keeps the target locked. */
  readonly locked?: string | undefined;
  /** Why the archive of the newest good backup cannot be read now, and whether it can be made readable within hours. */
  readonly unreadableArchive?:
    | {
        readonly text: string;
        readonly thaws: boolean;
        readonly remedy?: string;
        /** Usual duration of thawing it, in seconds. */
        readonly thawSeconds?: number;
      }
    | undefined;
  /** True if the newest good backup has no signature, and the deployment requires one. */
  readonly unsigned?: boolean | undefined;
  /** Names of the configured copies of the target. Undefined if the configuration is not known. */
  readonly copies?: readonly string[] | undefined;
}

type Context = Pick<OperationsContext, 'bucket' | 'config' | 'scheduler'>;

/** Whether each target can be recovered now, from which backup, to which point in time, and how long it would take. */
export async function recoverability(
  context: Context,
  input: RecoverabilityInput = {},
  now = Date.now(),
): Promise<Recoverability> {
  const schedules = await readableSchedules(context.scheduler);
  let read: readonly [CatalogState, readonly JobSummary[]];
  try {
    read = await Promise.all([readCatalogState(context, schedules, now), decisiveJobs(context)]);
  } catch (error) {
    // For example, the KMS key is disabled: nothing in the bucket can be read, so nothing can be restored.
    if (!(error instanceof AccessDeniedError) || !context.config) throw error;
    const names = backedUpTargets(context.config).filter((name) => (input.target ?? name) === name);
    return { recoverable: 'no', targets: names.map((target) => unknowable(target, error)) };
  }
  const [{ overview }, jobs] = read;
  const { targets, unreadable } = overview;
  const selected = targets.filter(({ target }) => input.target === undefined || target === input.target);
  if (input.target !== undefined && selected.length === 0) {
    throw new NotFoundError(`There is no target "${input.target}", and no backup of one.`, {
      remedy: `Use one of: ${targets.map(({ target }) => target).join(', ') || 'none are configured'}.`,
    });
  }
  const answers = await assessTargets(context, { targets: selected, unreadable, jobs, schedules }, now);
  return { recoverable: worst(answers.map(({ recoverable }) => recoverable)), targets: answers };
}

/** Assesses targets by what was read of the catalog and of the jobs, their locks, and their archives. */
export async function assessTargets(
  context: Context,
  {
    targets,
    unreadable,
    jobs,
    schedules,
  }: Pick<Overview, 'targets' | 'unreadable'> & {
    readonly jobs: readonly JobSummary[];
    readonly schedules: readonly AgeSchedule[];
  },
  now: number,
): Promise<TargetRecoverability[]> {
  const checked = mapOrdered(targets, TARGETS_AT_ONCE, async (target) => {
    const stores = context.config?.targets[target.target]?.stores;
    const [lock, drills, unreadableArchive, unsigned] = await Promise.all([
      context.bucket.readRecord(lockKey(target.target), Lock),
      readLastDrills(context.bucket, target.target),
      target.newest_good && whyUnreadable(context, target.newest_good),
      target.newest_good && lacksSignature(context, target.newest_good),
    ]);
    return judge(
      {
        target,
        stores: stores && Object.keys(stores),
        unreadable,
        jobs,
        drills,
        drillLimits: drillLimits(target.target, schedules, new Date(now)),
        locked: lock?.value.kept,
        unreadableArchive,
        unsigned,
        copies: context.config && copiesOf(context.config.copies, target.target).map(([name]) => name),
      },
      now,
    );
  });
  const answers: TargetRecoverability[] = [];
  for await (const answer of checked) answers.push(answer);
  return answers;
}

function unknowable(target: string, { message, remedy }: AccessDeniedError): TargetRecoverability {
  const text = `The catalog cannot be read: ${message}`;
  return {
    target,
    recoverable: 'no',
    reasons: [{ code: 'catalog-unreadable', severity: 'no', text, remedy }],
  };
}

/** Selects the jobs that an assessment depends on. */
export class DecisiveJobs {
  readonly #last = new Map<string, JobSummary>();
  readonly #proofs: JobSummary[] = [];

  add(job: JobSummary): void {
    if (job.proved?.all_of_stores) this.#proofs.push(job);
    const { state, error, job_id, target, kind, created_at } = job;
    if (!hasEnded(state) || state === 'cancelled' || error?.name === SKIPPED || isRollbackJob(job_id)) return;
    const what = `${target} ${kind} ${job.rehearsal ?? false}`;
    const known = this.#last.get(what);
    if (!known || known.created_at < created_at) this.#last.set(what, job);
  }

  /** The newest job of each target and kind that succeeded or failed, and every one that proved a full backup. */
  all(): JobSummary[] {
    return [...new Set([...this.#last.values(), ...this.#proofs])];
  }
}

async function decisiveJobs({ bucket }: Context): Promise<JobSummary[]> {
  const decisive = new DecisiveJobs();
  for await (const { job } of listedJobs(bucket)) if (job) decisive.add(job);
  return decisive.all();
}

/**
 * Reads one byte of a backup's archive, to detect a storage class, a disabled key or a lost object that would make a
 * restore fail.
 */
export async function whyUnreadable(
  { bucket }: Pick<OperationsContext, 'bucket'>,
  { backup_id }: BackupSummary,
): Promise<Facts['unreadableArchive']> {
  const key = archiveKey(backup_id);
  const where = `s3://${bucket.place}/${key}`;
  try {
    const head = await headArchive(bucket, { archive: { key } });
    if (!head) return { text: `${where} no longer exists.`, thaws: false };
    const cold = await thawFacts(bucket, backup_id, key);
    if (cold) return cold;
    await readS3Text(bucket.s3, { Bucket: bucket.name, Key: key, Range: 'bytes=-1' });
    return undefined;
  } catch (error) {
    return { text: describeError(error), thaws: false };
  }
}

/** Why an archive has to be thawed first, and how long that takes. Undefined if it can be read. */
async function thawFacts(
  bucket: OperationsContext['bucket'],
  backup_id: string,
  key: string,
): Promise<Facts['unreadableArchive']> {
  try {
    await requireReadable(bucket, { backup_id, archive: { key } });
    return undefined;
  } catch (error) {
    if (!(error instanceof ObjectArchivedError)) throw error;
    const head = await headArchive(bucket, { archive: { key } });
    const place = head && coldPlaceOf(head);
    const hours = place && THAW_HOURS[place].standard?.max;
    return {
      text: error.message,
      thaws: true,
      remedy: error.remedy,
      ...(hours === undefined ? {} : { thawSeconds: hours * 3600 }),
    };
  }
}

/** Whether restores of this backup are refused because it is not signed. Signatures are verified by restores and drills. */
async function lacksSignature({ bucket, config }: Context, { backup_id }: BackupSummary): Promise<boolean> {
  if (!config?.signatures?.required) return false;
  const record = (await bucket.readRecord(catalogKey(backup_id), CatalogRecord))?.value;
  return record !== undefined && (await signaturesOf(bucket, record)).length === 0;
}

/** The assessment of one target. A pure function, and the only definition of whether a target is recoverable. */
export function judge(facts: Facts, now: number): TargetRecoverability {
  const { target, drills = {} } = facts;
  const good = target.newest_good;
  const reasons = reasonsOf(facts, now);
  const proof = bestProof(facts);
  const drill = lastDrill(facts);
  const copies = copiesOfNewest(facts);
  const thawSeconds = facts.unreadableArchive?.thawSeconds ?? 0;
  const ages = (facts.drillLimits ?? []).map(({ maxAgeMs }) => maxAgeMs);
  const shown = ({ job_id, backup_id, finished_at }: WholeRestore) => ({
    job_id,
    backup_id,
    finished_at,
    newest: backup_id === good?.backup_id,
  });
  return {
    target: target.target,
    recoverable: gradeOf(reasons),
    reasons: reasons.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity)),
    ...(good && {
      backup: {
        backup_id: good.backup_id,
        created_at: good.created_at,
        verified_at: good.verification.at,
        bytes: good.bytes,
        uncompressed_bytes: good.uncompressed_bytes,
        records: good.records,
      },
      rpo_seconds: Math.max(0, Math.round((now - Date.parse(good.created_at)) / 1000)),
    }),
    rpo_allowed_seconds: Math.round(target.allowed_age_hours * 3600),
    ...(good && proof && scaled(proof, good, thawSeconds)),
    ...(good && thawSeconds > 0 && { thaw_seconds: thawSeconds }),
    ...(proof && { proof: { ...shown(proof), kind: proof.kind } }),
    ...(drill && { drill: shown(drill) }),
    ...(drills.rehearsal && { rehearsal: shown(drills.rehearsal) }),
    ...(ages.length > 0 && { drill_age_max_seconds: Math.round(Math.min(...ages) / 1000) }),
    ...(good &&
      copies.length > 0 && {
        copies: copies.map(({ name, copy }) => ({
          name,
          state: copy?.state ?? 'missing',
          ...(copy?.verified_at === undefined ? {} : { verified_at: copy.verified_at }),
        })),
      }),
  };
}

/** Whether a target has no good backup within the age that its schedules allow. */
export function isTooOld({ backup, reasons }: TargetRecoverability): boolean {
  return backup === undefined || reasons.some(({ code }) => code === TOO_OLD);
}

/** Whether the last drill of a target is older than its schedules allow. */
export function isDrillOverdue({ reasons }: TargetRecoverability): boolean {
  return reasons.some(({ code }) => code === DRILL_OVERDUE);
}

const TOO_OLD = 'backup-too-old';
const DRILL_OVERDUE = 'drill-overdue';
const SEVERITIES: readonly Reason['severity'][] = ['no', 'warning', 'note'];

function gradeOf(reasons: readonly Reason[]): Grade {
  if (reasons.some(({ severity }) => severity === 'no')) return 'no';
  return reasons.some(({ severity }) => severity === 'warning') ? 'yes_with_warnings' : 'yes';
}

function worst(grades: readonly Grade[]): Grade {
  if (grades.length === 0 || grades.includes('no')) return 'no';
  return grades.includes('yes_with_warnings') ? 'yes_with_warnings' : 'yes';
}

const reason = (severity: Reason['severity'], code: string, text: string, remedy: string): Reason => ({
  code,
  severity,
  text,
  remedy,
});

function reasonsOf(facts: Facts, now: number): Reason[] {
  const { target, locked } = facts;
  return [
    ...(target.newest_good ? backupReasons(target.newest_good, facts, now) : [noBackup(facts)]),
    ...copyReasons(facts, now),
    ...catalogReasons(facts),
    ...jobReasons(facts),
    ...drillReasons(facts, now),
    ...(locked === undefined
      ? []
      : [
          reason(
            'warning',
            'target-locked',
            `A failed restore left the target locked: ${locked}`,
            'Restore a good backup into it, which releases the lock.',
          ),
        ]),
  ];
}

function noBackup({ target }: Facts): Reason {
  return target.newest
    ? reason(
        'no',
        'no-good-backup',
        `None of the ${target.backups} backups is verified, contains every store, and has the expected number of records.`,
        `Run \`ngbak show ${target.newest.backup_id}\` for what is wrong with the newest one, correct it, and back up.`,
      )
    : reason(
        'no',
        'no-backup',
        'The target has no backups.',
        `Run \`ngbak backup --target ${target.target} --wait\`.`,
      );
}

function notSigned({ backup_id }: BackupSummary): Reason {
  return reason(
    'no',
    'signature-missing',
    `The backup ${backup_id} has no signature, and this deployment requires one: a restore of it is refused.`,
    'Start a new backup, which is signed; or set "signatures.required" to false in cdk.json and deploy.',
  );
}

/** What restricts a restore of the newest good backup. */
function backupReasons(
  good: BackupSummary,
  { target, stores, unreadableArchive, unsigned }: Facts,
  now: number,
): Reason[] {
  const reasons: Reason[] = unsigned ? [notSigned(good)] : [];
  const age = now - Date.parse(good.created_at);
  if (unreadableArchive?.thaws === false) {
    reasons.push(
      reason(
        'no',
        'archive-unreadable',
        `The archive of ${good.backup_id} cannot be read: ${unreadableArchive.text}`,
        'Correct the cause, or restore an earlier backup: `ngbak list` shows them.',
      ),
    );
  } else if (unreadableArchive) {
    reasons.push(
      reason(
        'warning',
        'archive-in-cold-storage',
        unreadableArchive.text,
        `Expect hours before a restore can begin, or back up now. ${unreadableArchive.remedy ?? ''}`.trimEnd(),
      ),
    );
  }
  if (age > target.allowed_age_hours * HOUR_MS) {
    reasons.push(
      reason(
        'warning',
        TOO_OLD,
        `The latest good backup is ${spanText(age)} old; its schedules allow ${spanText(target.allowed_age_hours * HOUR_MS)}.`,
        'Run `ngbak jobs --state failed` for backups that failed, and `ngbak schedule list` for runs that were missed.',
      ),
    );
  }
  const missing = (stores ?? []).filter((store) => !good.stores.some((saved) => saved === store));
  if (missing.length > 0) {
    reasons.push(
      reason(
        'warning',
        'store-missing',
        `The latest good backup does not contain ${missing.join(' and ')}, which the target has now.`,
        `Run \`ngbak backup --target ${target.target} --wait\`.`,
      ),
    );
  }
  if (good.open_warnings > 0) {
    reasons.push(
      reason(
        'warning',
        'open-warnings',
        `The latest good backup has ${plural(good.open_warnings, 'unacknowledged warning')}: something was not saved or needs attention.`,
        `Run \`ngbak show ${good.backup_id}\`, then correct the cause or acknowledge.`,
      ),
    );
  }
  const { newest_full: newest } = target;
  // A damaged backup is reported together with all other damaged ones.
  if (newest && newest.created_at > good.created_at && newest.verification.state !== 'damaged') {
    reasons.push(
      reason(
        'warning',
        'newer-backup-suspicious',
        `A newer backup, ${newest.backup_id}, is empty or much smaller than expected.`,
        `Run \`ngbak show ${newest.backup_id}\`: find out what happened to the data, or acknowledge the warning.`,
      ),
    );
  }
  return reasons;
}

type NewestCopy = NonNullable<BackupSummary['copies']>[number];

/** The copies that the newest good backup should have, and those that it has. */
function copiesOfNewest({ target, copies }: Facts): { name: string; copy: NewestCopy | undefined }[] {
  const made = target.newest_good?.copies ?? [];
  const names = copies ?? made.map(({ name }) => name);
  return names.map((name) => ({ name, copy: made.find((one) => one.name === name) }));
}

/** What is wrong with the copies of the newest good backup. The backup itself can still be restored. */
function copyReasons(facts: Facts, now: number): Reason[] {
  const id = facts.target.newest_good?.backup_id;
  if (id === undefined) return [];
  return copiesOfNewest(facts).flatMap(({ name, copy }): Reason[] => {
    const which = `The copy "${name}" of the latest good backup`;
    const look = `Run \`ngbak show ${id}\`.`;
    if (!copy) {
      const text = `${which} is missing: it was configured after the backup.`;
      return [reason('warning', 'copy-missing', text, 'ngbak begins it within 15 minutes.')];
    }
    if (copy.state === 'damaged') {
      const remedy = `Find out what changed it: \`ngbak verify ${id} --copy ${name}\`. Start a new backup, which is copied again.`;
      return [reason('warning', 'copy-damaged', `${which} failed verification: ${copy.problem}`, remedy)];
    }
    if (copy.state === 'failed') {
      const next = copy.next_attempt_at === undefined ? '' : ` after ${copy.next_attempt_at}`;
      const remedy = `Correct the cause (docs/copies.md). ngbak tries again${next}.`;
      return [reason('warning', 'copy-failed', `${which} failed: ${copy.problem}`, remedy)];
    }
    const age = now - Date.parse(copy.at);
    if (copy.state === 'complete' || age <= COPY_OVERDUE_MS) return [];
    return [reason('warning', 'copy-overdue', `${which} is not complete after ${spanText(age)}.`, look)];
  });
}

function catalogReasons({ target, unreadable }: Facts): Reason[] {
  const reasons: Reason[] = [];
  if (target.damaged > 0) {
    reasons.push(
      reason(
        'warning',
        'backups-damaged',
        `${plural(target.damaged, 'backup')} failed verification.`,
        'Find out what changed them: `ngbak list --state damaged`. Delete them once that is known.',
      ),
    );
  }
  if (unreadable > 0) {
    reasons.push(
      reason(
        'warning',
        'records-unreadable',
        `${plural(unreadable, 'catalog record')} cannot be read, so a newer backup may be unknown.`,
        'Run `ngbak list` for their names, and `ngbak list --rebuild` once they are removed.',
      ),
    );
  }
  return reasons;
}

/** Reasons that result from the last backup, the last restore and the last drill. */
function jobReasons({ target, jobs, drills }: Facts): Reason[] {
  const reasons: Reason[] = [];
  const own = jobs
    .filter((job) => job.target === target.target && hasEnded(job.state) && job.error?.name !== SKIPPED)
    .filter(({ state, job_id }) => state !== 'cancelled' && !isRollbackJob(job_id))
    .sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  const lastOf = (kind: JobSummary['kind'], rehearsal = false) =>
    own.find((job) => job.kind === kind && (job.rehearsal ?? false) === rehearsal);
  const drill = lastOf('drill');
  const rehearsal = lastOf('drill', true);
  const last = {
    backup: lastOf('backup'),
    restore: lastOf('restore'),
    drill: drill ?? expiredDrill(drills),
    // A drill that passed proves more; a rehearsal that passed proves nothing about a drill that failed.
    rehearsal:
      rehearsal && drill?.state === 'completed' && drill.created_at > rehearsal.created_at
        ? undefined
        : rehearsal,
  };
  for (const [kind, job] of Object.entries(last)) {
    if (!job || job.state === 'completed') continue;
    reasons.push(
      reason(
        'warning',
        `last-${kind}-failed`,
        `The last ${kind} ${job.state === 'rolled_back' ? 'failed and was rolled back' : 'failed'}: ${job.error?.message ?? job.job_id}`,
        `Run \`ngbak job ${job.job_id}\`.`,
      ),
    );
  }
  return reasons;
}

/** The last drill as its record states it, for a job record that has expired. */
function expiredDrill(
  drills: LastDrills | undefined,
): Pick<JobSummary, 'state' | 'job_id' | 'error'> | undefined {
  const last = drills?.last;
  return (
    last && {
      job_id: last.job_id,
      state: last.verdict === 'passed' ? 'completed' : 'failed',
      error: last.error,
    }
  );
}

/** Reasons that result from the age of the last drill, or from what it was. */
function drillReasons(facts: Facts, now: number): Reason[] {
  const { target, drills } = facts;
  return [
    ...overdueReasons(facts, now),
    ...(target.newest_good && !bestProof(facts)
      ? [
          drills?.rehearsal
            ? reason(
                'note',
                'rehearsed-only',
                'Restores of this target were rehearsed without restoring anything: whether the servers accept the records, and how long a restore takes, is not proved.',
                'Configure a scratch place and start a drill (docs/drills.md).',
              )
            : reason(
                'note',
                'not-rehearsed',
                'No restore of a whole backup was completed in the last 90 days, so its duration is unknown.',
                `Run \`ngbak drill --target ${target.target} --wait\` (docs/drills.md).`,
              ),
        ]
      : []),
  ];
}

/** The warning for a target whose last drill is older than one of its schedules allows. */
function overdueReasons(facts: Facts, now: number): Reason[] {
  const { target, drillLimits = [] } = facts;
  const drilled = Date.parse(lastDrill(facts)?.finished_at ?? '') || 0;
  const rehearsed = Date.parse(facts.drills?.rehearsal?.finished_at ?? '') || 0;
  const late = drillLimits
    .map((limit) => ({ ...limit, last: Math.max(drilled, limit.rehearsals ? rehearsed : 0) }))
    .filter(({ maxAgeMs, since, last }) => now - Math.max(since, last) > maxAgeMs)
    .sort((a, b) => a.maxAgeMs - b.maxAgeMs);
  const [worst] = late;
  if (!worst) return [];
  const allowed = spanText(worst.maxAgeMs);
  return [
    reason(
      'warning',
      DRILL_OVERDUE,
      worst.last === 0
        ? `No drill has passed since its schedule was created ${spanText(now - worst.since)} ago; the schedule allows ${allowed}.`
        : `The last drill that passed is ${spanText(now - worst.last)} old; its schedules allow ${allowed}.`,
      `Run \`ngbak drills --target ${target.target}\` and \`ngbak schedule list\` for drills that failed or were missed.`,
    ),
  ];
}

/** A restore or drill that compared every record of a full backup with the archive. */
interface WholeRestore {
  readonly job_id: string;
  readonly backup_id: string;
  readonly finished_at: string;
  readonly stores: readonly string[];
  /** Duration without the wait for confirmation, and uncompressed bytes of the archive. */
  readonly seconds?: number | undefined;
  readonly bytes?: number | undefined;
}

/**
 * The restores and drills that proved a full backup of a target, whatever their destination, newest first. Dry runs,
 * rehearsals, rollbacks and partial restores prove nothing about the whole target.
 */
function wholeRestores({ target: { target }, jobs, drills }: Facts) {
  const ofJobs = jobs.flatMap(({ job_id, kind, proved, finished_at }) =>
    kind === 'backup' || !proved?.all_of_stores || proved.backup_of !== target || finished_at === undefined
      ? []
      : [{ ...proved, job_id, kind, finished_at }],
  );
  // The record of a drill outlives its job.
  const kept = drills?.drill ? [{ ...drills.drill, kind: 'drill' as const }] : [];
  return [...ofJobs, ...kept.filter(({ job_id }) => !ofJobs.some((other) => other.job_id === job_id))].sort(
    (a, b) => (a.finished_at < b.finished_at ? 1 : -1),
  );
}

/** The last drill that passed, whatever stores the target has now. */
function lastDrill(facts: Facts): WholeRestore | undefined {
  return wholeRestores(facts).find(({ kind }) => kind === 'drill');
}

/**
 * The newest proof of the newest good backup, otherwise the newest proof of any backup that covers the same stores.
 */
function bestProof(facts: Facts): (WholeRestore & { readonly kind: 'restore' | 'drill' }) | undefined {
  const good = facts.target.newest_good;
  const needed = (good?.stores ?? []).filter((store) => store !== 'config');
  const whole = wholeRestores(facts).filter(({ stores }) => needed.every((store) => stores.includes(store)));
  return whole.find(({ backup_id }) => backup_id === good?.backup_id) ?? whole[0];
}

/**
 * Duration of a restore of a backup, scaled from a measured one. Never less than the measured one, since small restores
 * are mostly overhead. An archive in cold storage has to be thawed first.
 */
function scaled(
  { seconds, bytes }: WholeRestore,
  { uncompressed_bytes }: BackupSummary,
  thawSeconds: number,
): Pick<TargetRecoverability, 'rto_seconds'> {
  if (seconds === undefined || bytes === undefined) return {};
  const measured = seconds * Math.max(1, uncompressed_bytes / Math.max(1, bytes));
  return { rto_seconds: Math.ceil(measured + thawSeconds) };
}

/** A duration in a suitable unit, rounded down: `5 days`, `36 hours`. */
function spanText(ms: number): string {
  const hours = Math.floor(ms / HOUR_MS);
  return hours >= 3 * 24 ? plural(Math.floor(hours / 24), 'day') : plural(hours, 'hour');
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
