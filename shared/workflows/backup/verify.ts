import { z } from 'zod';
import { type OpenedArchive, openArchive } from '../../archive/read/open.ts';
import { s3Source } from '../../archive/read/sources.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { checkResultKey, consistencyKey, sealedKey } from '../../aws/keys.ts';
import { Consistency } from '../../catalog/consistency.ts';
import type { BackupWarning } from '../../catalog/warnings.ts';
import { IntegrityError, NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { StoreList } from '../../core/store-name.ts';
import type { StoreName } from '../../core/store-names.ts';
import { CollectedReferences } from '../../profiles/collected-references.ts';
import { countReferences, type ReferringPlan } from '../../profiles/references.ts';
import { warningText } from '../../stores/describe-warning.ts';
import { FACTS } from '../../stores/known-facts.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { checkLeg, readCheckResult } from '../job/check-leg.ts';
import { legContext } from '../job/leg-context.ts';
import { ProgressWriter } from '../job/progress.ts';
import {
  carriedReferences,
  carriedWarnings,
  countsReferences,
  describeSealed,
  findUnread,
  readRegions,
} from './by-checksum.ts';
import { type BackupPlan, readBackupPlan } from './plan.ts';
import { Sealed } from './seal.ts';

/** The state of the verification loop, as passed through the workflow's state. */
export const VerifyState = z.object({
  job_id: Id,
  cursor: z.json().default(null),
  done: z.boolean().default(false),
});
export type VerifyState = z.infer<typeof VerifyState>;

/** The cursor of the leg for references, which follows the check. */
const REFERENCES = 'references';

/** Where a verification continues. */
const VerifyCursor = z.strictObject({
  /** The stores that are not read, as the first leg decided. */
  unread: StoreList,
  check: z.json(),
});
type VerifyCursor = z.infer<typeof VerifyCursor>;

/** Where a leg starts; undefined for the first one. A job of an earlier version reads every store. */
function positionOf(cursor: Json): VerifyCursor | undefined {
  if (cursor === null) return undefined;
  const isEarlier = cursor === REFERENCES || (typeof cursor === 'object' && 'leg' in cursor);
  return parseInput(
    VerifyCursor,
    isEarlier ? { unread: [], check: cursor } : cursor,
    'The cursor of the verification',
  );
}

/** Reads the record of the archive that a running backup has sealed. */
export function readSealed(bucket: Bucket, jobId: string): Promise<Sealed> {
  return bucket.requireRecord(sealedKey(jobId), Sealed, 'Start a new backup.');
}

/**
 * One leg of verifying the sealed archive: reads every byte and every record back from S3, as the inspection of a
 * restore does, except those that were carried and whose copy S3 proves ({@link findUnread}). Throws IntegrityError if a
 * byte differs from what the exporters wrote, or if the archive could not be restored. Such an archive is removed and
 * never catalogued.
 */
export async function readBack(
  environment: Environment,
  state: VerifyState,
  leg: LegLimits,
): Promise<VerifyState> {
  const { bucket, config } = environment;
  const { job_id } = state;
  const sealed = await readSealed(bucket, job_id);
  const source = await s3Source(bucket.s3, bucket.name, sealed.key, sealed.version_id);
  const plan = await readBackupPlan(environment, job_id);
  const position = positionOf(state.cursor as Json);
  const archive = await openArchive(source);
  if (position?.check === REFERENCES) {
    await addReferences(environment, plan, referringPlan(plan, position.unread), archive, leg);
    return { job_id, cursor: null, done: true };
  }
  const described = await describeSealed(source, archive);
  const unread = position ? position.unread : await findUnread(environment, plan, sealed, described);
  const next = (check: Json) => ({ job_id, cursor: { unread, check }, done: false });
  // Within one leg, the check itself counts the references.
  const collected =
    position === undefined && countsReferences(plan)
      ? new CollectedReferences(config, referringPlan(plan, unread))
      : undefined;
  const part = { store: 'archive', shard: 'seal', phase: 'read-back' } as const;
  const progress = await ProgressWriter.open(bucket, job_id, part);
  const result = await checkLeg(bucket, job_id, source, {
    cursor: (position?.check ?? null) as Json,
    leg,
    progress: (done, total) => progress.report('bytes', done, total),
    collector: collected,
    stores: archive.manifest.scope.stores.filter((store) => !unread.includes(store)),
    unread: unread.flatMap((store) => described.regions.groups.get(store) ?? []),
  });
  await progress.close(result.cursor === null);
  const isLast = result.cursor === null;
  const warnings = [...result.warnings, ...(isLast ? carriedWarnings(plan, unread) : [])];
  const problems = [...result.problems, ...(await unexplained(bucket, job_id, warnings))];
  if (problems.length > 0) {
    throw new IntegrityError(`The sealed archive can't be restored: ${problems.slice(0, 5).join('; ')}.`, {
      remedy:
        'The unfinished backup was removed. If the store itself is damaged, restore a backup of it without a safety backup ("safety_backup": false, --no-safety-backup). Otherwise start it again, and report it as a bug in ngbak if it happens again.',
    });
  }
  const [inconsistency] = inconsistencies(warnings);
  if (inconsistency !== undefined) {
    throw new NgbakError(`The sealed archive can't be restored: ${inconsistency}.`, {
      remedy:
        'The unfinished backup was removed. Start it again, at a time with fewer changes or with a hook that pauses the writers.',
    });
  }
  if (!isLast) return next(result.cursor);
  const counted = await collected?.count(archive);
  await bucket.writeRecord(checkResultKey(job_id), {
    warnings,
    regions: readRegions(plan, described, unread, warnings),
    unread,
    ...(counted === undefined
      ? {}
      : { references: [...carriedReferences(environment, plan, unread), ...counted] }),
  });
  return counted !== undefined || !countsReferences(plan)
    ? { job_id, cursor: null, done: true }
    : next(REFERENCES);
}

/** The stores whose references are counted: those that are read. */
function referringPlan({ target, stores }: BackupPlan, unread: readonly StoreName[]): ReferringPlan {
  return { target, stores: stores.map(({ store }) => store).filter((store) => !unread.includes(store)) };
}

/**
 * Counts the references between the stores of the archive, so that a store that was saved without its counterpart is
 * noticed at backup time. Reads the records again: for checks of several legs, and for more values than fit in memory.
 */
async function addReferences(
  environment: Environment,
  plan: BackupPlan,
  referring: ReferringPlan,
  archive: OpenedArchive,
  leg: LegLimits,
): Promise<void> {
  const { bucket, config } = environment;
  const { job_id } = plan;
  // References to a store that is not in the archive are not counted, because this step cannot reach any server.
  const context = legContext(environment, leg, job_id);
  const counted = await countReferences(config, referring, archive, async () => undefined, context);
  const checked = await readCheckResult(bucket, job_id);
  const references = [...carriedReferences(environment, plan, checked.unread ?? []), ...counted];
  await bucket.writeRecord(checkResultKey(job_id), { ...checked, references });
}

/** Why an intact archive can't be restored: it contains data of different points in time that does not fit together. */
export function inconsistencies(warnings: readonly BackupWarning[]): string[] {
  return warnings.filter(isInconsistency).map(({ store, ...warning }) => `${store}: ${warningText(warning)}`);
}

export function isInconsistency({ code }: Pick<BackupWarning, 'code'>): boolean {
  return FACTS.some(({ refusedFor = [] }) => refusedFor.includes(code));
}

async function unexplained(
  bucket: Bucket,
  jobId: string,
  warnings: readonly BackupWarning[],
): Promise<string[]> {
  if (warnings.length === 0) return [];
  const consistency = await bucket.requireRecord(consistencyKey(jobId), Consistency, 'Start a new backup.');
  return unexplainedLosses(consistency, warnings);
}

/** If no store changed during the backup, warnings about records that disappeared indicate an error. Describes each. */
export function unexplainedLosses(
  { grade }: Pick<Consistency, 'grade'>,
  warnings: readonly BackupWarning[],
): string[] {
  if (grade === 'drifted') return [];
  return FACTS.flatMap(({ name, driftWarnings = {} }) =>
    warnings.flatMap(({ code, count, samples }) =>
      Object.hasOwn(driftWarnings, code)
        ? [`${name}: ${count} ${driftWarnings[code]}, although nothing changed (${samples?.join(', ')})`]
        : [],
    ),
  );
}
