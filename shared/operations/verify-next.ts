import { z } from 'zod';
import { VERIFICATION_STATE_KEY } from '../aws/keys.ts';
import { allBackups } from '../catalog/good-backups.ts';
import type { BackupSummary } from '../catalog/summaries.ts';
import { describeError, IntegrityError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import type { Json } from '../core/json.ts';
import { NotFoundError } from '../core/refusals.ts';
import { ColdPlace } from '../core/storage-class.ts';
import type { OperationsContext } from './context.ts';
import { verifyBackup } from './verify-backup.ts';

/** Time between two looks, by the rule that starts the function. */
export const VERIFY_EVERY_HOURS = 1;
/** Input of the function. */
export const VerifyNextInput = z.strictObject({ verify: z.strictObject({}) });
export type VerifyNextInput = z.infer<typeof VerifyNextInput>;
/** Attempts that are remembered. */
const ATTEMPTS_MAX = 1000;

/** `cache/verification.json`: the scheduled verification in progress. Without it, a new one begins. */
const VerificationState = z.object({
  /** The UTC day of the last begin, and the number of verifications begun on it. */
  day: z.string(),
  begun: z.number().int().nonnegative(),
  current: z.object({ backup_id: Id, copy: Id.optional(), cursor: z.json() }).optional(),
  /** When a verification could not be done, by `backup` or `backup copy`: it is not tried again at once. */
  attempts: z.record(z.string(), z.iso.datetime()),
});
type VerificationState = z.infer<typeof VerificationState>;

/** The original of a backup, or a copy. */
export interface Stored {
  readonly backup_id: string;
  readonly copy?: string | undefined;
}

/** Whether archives in a storage class cannot be read. */
const isCold = (storageClass: string | undefined) => ColdPlace.safeParse(storageClass).success;

const nameOf = ({ backup_id, copy }: Stored) => (copy === undefined ? backup_id : `${backup_id} ${copy}`);

/** What one call did. */
export interface ScheduledVerification {
  readonly verified: readonly Stored[];
  /** Continues in the next call. */
  readonly unfinished?: Stored;
}

/**
 * The original or copy whose verification, or attempt at one, is oldest. What was only compared by checksum is as old as
 * its reading. Damaged ones are known, and those in cold
 * storage cannot be read. A copy that was never verified is as old as the copy. A pure function.
 */
export function oldestVerification(
  backups: readonly Pick<BackupSummary, 'backup_id' | 'verification' | 'storage_class' | 'copies'>[],
  attempts: VerificationState['attempts'],
): Stored | undefined {
  const candidates = backups.flatMap(({ backup_id, verification, storage_class, copies = [] }) => [
    ...(verification.state === 'damaged' || isCold(storage_class)
      ? []
      : [{ stored: { backup_id }, at: verification.by_checksum?.read_at ?? verification.at }]),
    ...copies
      .filter((copy) => copy.state === 'complete' && !isCold(copy.storage_class))
      .map(({ name, at, verified_at }) => ({ stored: { backup_id, copy: name }, at: verified_at ?? at })),
  ]);
  const last = candidates.map(({ stored, at }) => {
    return { stored, at: Math.max(Date.parse(at), Date.parse(attempts[nameOf(stored)] ?? at)) };
  });
  return last.sort((a, b) => a.at - b.at)[0]?.stored;
}

/**
 * Continues the scheduled verification, or begins with the original or copy whose verification is oldest, at most
 * `perDay` each day. The results are recorded as by `ngbak verify`. Throws IntegrityError if one is damaged.
 */
export async function verifyNext(
  context: OperationsContext,
  perDay: number,
  leg: {
    timeLeft(): number;
    readonly signal: AbortSignal;
    log(message: string, fields: Record<string, Json>): void;
  },
  now = () => new Date(),
): Promise<ScheduledVerification> {
  const { bucket } = context;
  const verified: Stored[] = [];
  const damaged: string[] = [];
  let unfinished: Stored | undefined;
  let state: VerificationState = (await bucket.readRecord(VERIFICATION_STATE_KEY, VerificationState))
    ?.value ?? {
    ...{ day: '', begun: 0 },
    attempts: {},
  };
  const save = async (changes: Partial<VerificationState>) => {
    state = { ...state, ...changes };
    await bucket.writeRecord(VERIFICATION_STATE_KEY, state);
  };
  while (leg.timeLeft() > 0) {
    const current = state.current ?? (await begin(context, state, perDay, now()));
    if (!current) break;
    const { cursor, ...stored } = current;
    const today = now().toISOString().slice(0, 10);
    if (!state.current) {
      await save({ current, day: today, begun: state.day === today ? state.begun + 1 : 1 });
    }
    try {
      const time = { cursor: cursor as Json, timeLeft: () => leg.timeLeft(), signal: leg.signal };
      const found = await verifyBackup(context, stored.backup_id, time, { copy: stored.copy });
      if (!found.done) {
        await save({ current: { ...stored, cursor: found.cursor } });
        unfinished = stored;
        break;
      }
      verified.push(stored);
      if (!found.is_valid) damaged.push(`${nameOf(stored)}: ${found.errors.slice(0, 3).join('; ')}`);
    } catch (error) {
      if (leg.signal.aborted) throw error;
      // Deleted meanwhile, in another storage class, or without permission: the next one, and this one another day.
      leg.log('A scheduled verification could not be done.', {
        ...{ backup_id: stored.backup_id, copy: stored.copy ?? null },
        problem: describeError(error),
      });
      if (!(error instanceof NotFoundError))
        await save({ attempts: withAttempt(state.attempts, stored, now()) });
    }
    await save({ current: undefined });
  }
  if (damaged.length === 0) return { verified, ...(unfinished === undefined ? {} : { unfinished }) };
  throw new IntegrityError(`Verification found errors: ${damaged.join('. ')}`, {
    remedy: 'Find out what changed the archive (docs/runbook.md). Use another copy of it.',
  });
}

async function begin(
  { bucket }: OperationsContext,
  { day, begun, attempts }: VerificationState,
  perDay: number,
  now: Date,
): Promise<VerificationState['current']> {
  if (day === now.toISOString().slice(0, 10) && begun >= perDay) return undefined;
  const backups: BackupSummary[] = [];
  for await (const { listed } of allBackups(bucket)) if (listed) backups.push(listed.summary);
  const oldest = oldestVerification(backups, attempts);
  return oldest && { ...oldest, cursor: null };
}

function withAttempt(
  attempts: VerificationState['attempts'],
  stored: Stored,
  now: Date,
): VerificationState['attempts'] {
  const all = Object.entries({ ...attempts, [nameOf(stored)]: now.toISOString() });
  return Object.fromEntries(all.sort(([, a], [, b]) => (a < b ? 1 : -1)).slice(0, ATTEMPTS_MAX));
}
