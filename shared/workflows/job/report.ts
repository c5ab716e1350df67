import { z } from 'zod';
import { Id } from '../../core/ids.ts';
import { isRollbackJob, isSafetyJob } from '../../core/job-kinds.ts';
import { hasEnded } from '../../core/job-state.ts';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import { detailOf, type EventType, type NotifyEvent, REQUESTER_MAX } from '../../notify/event.ts';
import { type Outbox, postEvent } from '../../notify/outbox.ts';
import { type JobRecord, NEVER_UPLOADED, parseResult, SKIPPED } from './record.ts';

/** The fields that are read from the outputs of the workflows. */
const Result = z.object({
  /** The manifest of an uploaded archive states it, and may contain anything. */
  backup_id: Id.optional().catch(undefined),
  /** Of backups. */
  state: z.string().optional(),
  good: z.boolean().optional(),
  open_warnings: z.number().optional(),
  record_count: z.number().optional(),
  warnings: z.array(z.object({ store: z.string(), text: z.string() })).optional(),
  /** Of restores. */
  verified: z.literal(true).optional(),
  records_restored: z.number().optional(),
  bytes: z.number().optional(),
  seconds: z.number().optional(),
});

/** What every event of a job states. */
type ReportedJob = Pick<JobRecord, 'job_id' | 'target'> & {
  readonly requested_by?: string | undefined;
  readonly backup_id?: string | undefined;
};

/** Facts about the end of a job that its record does not have. */
export interface JobEnd {
  /** Set if the target stays locked: the backup with its previous contents, and why. */
  readonly locked?: { readonly backup_id?: string | undefined; readonly reason: string };
}

/**
 * Records the events of a job that has ended, for the receivers of notifications. Can be called again: each event of
 * a job is recorded once. Never throws.
 */
export async function reportEnd(outbox: Outbox, job: JobRecord, end: JobEnd = {}): Promise<void> {
  for (const event of eventsOf(job, end)) await postEvent(outbox, event);
}

/** Records an event of a job. Never throws. */
export async function reportJob(outbox: Outbox, type: EventType, job: ReportedJob): Promise<void> {
  if (job.target === SELFTEST_TARGET) return;
  await postEvent(outbox, eventOf(type, job, {}));
}

const BackupInput = z.object({ target: Id.optional(), part_of: z.unknown() });

/**
 * Records that a backup was refused before it had a job, for example because its target is no longer configured. Never
 * throws.
 */
export async function reportRefusedBackup(
  outbox: Outbox,
  { executionArn, name, input }: { executionArn: string; name: string; input?: string | null | undefined },
  reason: string,
): Promise<void> {
  const parsed = BackupInput.safeParse(parseResult(input)).data;
  const isBackup = /:execution:[^:]+-Backup:/.test(executionArn);
  if (!isBackup || !Id.safeParse(name).success || parsed?.part_of !== undefined) return;
  if (parsed?.target === SELFTEST_TARGET) return;
  await postEvent(outbox, {
    id: `${name}.backup.failed`,
    type: 'backup.failed',
    detail: detailOf(reason),
    ...(parsed?.target === undefined ? {} : { target: parsed.target }),
  });
}

/** The events at the end of a job. */
export function eventsOf(job: JobRecord, { locked }: JobEnd = {}): Omit<NotifyEvent, 'at'>[] {
  const { kind, state, error } = job;
  if (!hasEnded(state) || job.target === SELFTEST_TARGET) return [];
  // Reported by the restore that they belong to.
  if (isRollbackJob(job.job_id) || isSafetyJob(job.job_id)) return [];
  if (error?.name === SKIPPED || error?.name === NEVER_UPLOADED) return [];
  const detail = error === undefined ? {} : { detail: detailOf(error.message) };
  const changed = error?.name === 'IntegrityError' ? [eventOf('data.changed', job, detail)] : [];
  if (locked) {
    const { backup_id, reason } = locked;
    const facts = { detail: detailOf(reason), ...(backup_id === undefined ? {} : { backup_id }) };
    return [eventOf('target.locked', job, facts), ...changed];
  }
  if (state === 'rolled_back') return [eventOf('restore.rolled_back', job, detail), ...changed];
  // A failed integrity check is the more serious of the two, and one message suffices.
  if (state === 'failed') return changed.length > 0 ? changed : [eventOf(`${kind}.failed`, job, detail)];
  return state === 'completed' ? completed(job) : [];
}

function completed(job: JobRecord): Omit<NotifyEvent, 'at'>[] {
  const result = Result.safeParse(job.result).data;
  if (!result) return [];
  const { verified, good, warnings = [] } = result;
  if (job.kind === 'backup') {
    const facts = {
      backup_id: result.backup_id ?? job.backup_id,
      warnings: result.open_warnings,
      records: result.record_count,
      ...(warnings.length === 0
        ? {}
        : { detail: detailOf(warnings.map(({ store, text }) => `${store}: ${text}`).join('; ')) }),
    };
    if (good === false) return [eventOf('backup.suspicious', job, facts)];
    return result.state === 'complete_with_warnings' ? [eventOf('backup.incomplete', job, facts)] : [];
  }
  // A dry run has restored nothing.
  if (job.kind !== 'restore' || !verified) return [];
  const { backup_id, records_restored: records, bytes, seconds } = result;
  return [eventOf('restore.completed', job, { backup_id, records, bytes, seconds })];
}

function eventOf(
  type: EventType,
  { job_id, target, requested_by, backup_id }: ReportedJob,
  facts: Partial<NotifyEvent>,
): Omit<NotifyEvent, 'at'> {
  const known = Object.entries({
    backup_id: Id.safeParse(backup_id).data,
    requested_by: requested_by?.slice(0, REQUESTER_MAX),
    ...facts,
  }).filter(([, value]) => value !== undefined);
  return { id: `${job_id}.${type}`, type, target, job_id, ...Object.fromEntries(known) };
}
