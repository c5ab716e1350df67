import { z } from 'zod';
import type { ByteSource } from '../../archive/format/types.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { checkResultKey, checkStateKey } from '../../aws/keys.ts';
import { BackupWarning } from '../../catalog/warnings.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import type { StoreName } from '../../core/store-names.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { type ArchiveCheckResult, checkArchive } from '../../stores/check-archive.ts';
import type { Leg } from '../environment.ts';
import type { ProgressWriter } from './progress.ts';

/** Most bytes of a check's state: ids of 100 million nodes, and what else it holds. */
const STATE_BYTES_MAX = 64 * 1024 ** 2;

/** Where a check continues, as it travels through a workflow's state; what it found so far is too large for that. */
const CheckCursor = z.object({ leg: z.number().int().positive(), archive: z.json() });

/** What one leg of a check found. */
export type CheckLeg = Omit<ArchiveCheckResult, 'state'>;

/**
 * One leg of {@link checkArchive} for a job, which keeps what a leg found for the next one in the bucket. A leg that is
 * repeated begins where it began, and writes the same again.
 */
export async function checkLeg(
  bucket: Bucket,
  jobId: string,
  source: ByteSource,
  {
    cursor,
    leg,
    progress,
    stores,
  }: { cursor: Json; leg: Leg; progress: ProgressWriter; stores?: readonly StoreName[] },
): Promise<CheckLeg> {
  const from =
    cursor === null
      ? { leg: 0, archive: null }
      : parseInput(CheckCursor, cursor, 'The cursor of the check', 'Start the job again.');
  const state =
    from.leg === 0
      ? null
      : await bucket.requireRecord(
          checkStateKey(jobId, from.leg),
          // Its shape is checked where it is used.
          z.custom<Json>(),
          'Start the job again.',
          STATE_BYTES_MAX,
        );
  const { state: next, ...result } = await checkArchive(source, {
    cursor: from.archive,
    state,
    ...(stores === undefined ? {} : { stores }),
    timeLeft: leg.timeLeft,
    signal: leg.signal,
    progress: (done, total) => progress.report('bytes', done, total),
  });
  if (result.cursor === null) return result;
  await bucket.writeRecord(checkStateKey(jobId, from.leg + 1), { ...(next as object) });
  return { ...result, cursor: { leg: from.leg + 1, archive: result.cursor } };
}

/** `staging/<job>/check/result.json` */
const CheckResult = z.object({
  warnings: z.array(BackupWarning),
  references: z.array(ReferenceCount).optional(),
});
export type CheckResult = z.infer<typeof CheckResult>;

/** What the check of a job's archive found; nothing for a job of an earlier version. */
export async function readCheckResult(bucket: Bucket, jobId: string): Promise<CheckResult> {
  return (await bucket.readRecord(checkResultKey(jobId), CheckResult))?.value ?? { warnings: [] };
}
