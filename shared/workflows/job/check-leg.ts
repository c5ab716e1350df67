import { z } from 'zod';
import type { ByteSource } from '../../archive/format/types.ts';
import type { ByteRange } from '../../archive/read/verify.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { checkResultKey, checkStateKey } from '../../aws/keys.ts';
import { ReadRegions } from '../../catalog/read-region.ts';
import { BackupWarning } from '../../catalog/warnings.ts';
import { NgbakError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { StoreList } from '../../core/store-name.ts';
import type { StoreName } from '../../core/store-names.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { type ArchiveCheckResult, checkArchive } from '../../stores/check-archive.ts';
import type { ValueCollector } from '../../stores/content-check.ts';
import type { StoreAdapter } from '../../stores/store.ts';
import type { LegLimits } from '../environment.ts';

/** Remedy for a check that can't continue. */
const AGAIN = 'Start it again.';
/**
 * Maximum size of a check's state in bytes: the ids of 100 million nodes and of the ends of their relationships (40 MB),
 * the hashes of 8 million unique values (86 MB) and of 2 million keys (22 MB), and everything else in it.
 */
const STATE_BYTES_MAX = 192 * 1024 ** 2;

/**
 * Where a check continues, as passed through a workflow's state or a client. Everything else is stored in the bucket.
 */
const CheckCursor = z.object({ leg: z.number().int().positive() });

/** `staging/<job>/check/<leg>.json` */
const CheckState = z.object({
  /** Identifies the checked archive, so that the check of another one cannot continue from this state. */
  source: z.string(),
  cursor: z.json(),
  // Validated by its user.
  state: z.custom<Json>(),
});

/** The findings of one leg of a check. */
export type CheckLeg = Omit<ArchiveCheckResult, 'state'>;

/**
 * One leg of {@link checkArchive} for a job. Its findings are stored for the next leg in the bucket, under
 * `staging/<job>/`. A repeated leg starts from the same state and writes the same result.
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
    only,
    collector,
    unread,
  }: {
    cursor: Json;
    leg: Pick<LegLimits, 'timeLeft'> & { readonly signal?: AbortSignal | undefined };
    progress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
    stores?: readonly StoreName[];
    /** Reads only the entries of this adapter's store. */
    only?: StoreAdapter;
    /** See {@link ArchiveCheck.collector}. */
    collector?: ValueCollector | undefined;
    /** Ranges of the archive that are not read. Their stores must not be among `stores`. */
    unread?: readonly ByteRange[];
  },
): Promise<CheckLeg> {
  const from =
    cursor === null ? { leg: 0 } : parseInput(CheckCursor, cursor, 'The cursor of the check', AGAIN);
  const saved =
    from.leg === 0
      ? { source: source.name, cursor: null, state: null }
      : await bucket.requireRecord(checkStateKey(jobId, from.leg), CheckState, AGAIN, STATE_BYTES_MAX);
  if (saved.source !== source.name) {
    throw new NgbakError(`The check that is to continue is of ${saved.source}, not of ${source.name}.`, {
      remedy: AGAIN,
    });
  }
  const { state, ...result } = await checkArchive(source, {
    cursor: saved.cursor as Json,
    state: saved.state,
    ...(stores === undefined ? {} : { stores }),
    ...(only === undefined ? {} : { only }),
    ...(unread === undefined ? {} : { unread }),
    collector,
    timeLeft: () => leg.timeLeft(),
    ...(leg.signal === undefined ? {} : { signal: leg.signal }),
    ...(progress === undefined ? {} : { progress }),
  });
  if (result.cursor === null) return result;
  const next = from.leg + 1;
  await bucket.writeRecord(checkStateKey(jobId, next), { source: source.name, cursor: result.cursor, state });
  return { ...result, cursor: { leg: next } };
}

/** `staging/<job>/check/result.json` */
const CheckResult = z.object({
  warnings: z.array(BackupWarning),
  references: z.array(ReferenceCount).optional(),
  /** What was read of the archive of a backup, or what an earlier verification read of it. */
  regions: ReadRegions.optional(),
  /** The stores that were not read. */
  unread: StoreList.optional(),
});
export type CheckResult = z.infer<typeof CheckResult>;

/** The findings of the check of a job's archive. Empty for a job of an earlier version. */
export async function readCheckResult(bucket: Bucket, jobId: string): Promise<CheckResult> {
  return (await bucket.readRecord(checkResultKey(jobId), CheckResult))?.value ?? { warnings: [] };
}
