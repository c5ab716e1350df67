import { z } from 'zod';
import type { ByteSource } from '../../archive/format/types.ts';
import { openArchive } from '../../archive/read/open.ts';
import { s3Source } from '../../archive/read/sources.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { checkResultKey, consistencyKey, sealedKey } from '../../aws/keys.ts';
import { Consistency } from '../../catalog/consistency.ts';
import type { BackupWarning } from '../../catalog/warnings.ts';
import { IntegrityError, NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { CollectedReferences } from '../../profiles/collected-references.ts';
import { countReferences } from '../../profiles/references.ts';
import { warningText } from '../../stores/describe-warning.ts';
import { FACTS } from '../../stores/known-facts.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { checkLeg, readCheckResult } from '../job/check-leg.ts';
import { legContext } from '../job/leg-context.ts';
import { ProgressWriter } from '../job/progress.ts';
import { readBackupPlan } from './plan.ts';
import { Sealed } from './seal.ts';

/** The state of the verification loop, as passed through the workflow's state. */
export const VerifyState = z.object({
  job_id: Id,
  cursor: z.json().default(null),
  done: z.boolean().default(false),
});
export type VerifyState = z.infer<typeof VerifyState>;

/** The cursor of the leg that counts references, which follows the check. */
const REFERENCES = 'references';

/** Reads the record of the archive that a running backup has sealed. */
export function readSealed(bucket: Bucket, jobId: string): Promise<Sealed> {
  return bucket.requireRecord(sealedKey(jobId), Sealed, 'Start a new backup.');
}

/**
 * One leg of verifying the sealed archive: reads every byte and every record back from S3, as the inspection of a
 * restore does. Throws IntegrityError if a byte differs from what the exporters wrote, or if the archive could not be
 * restored. Such an archive is removed and never catalogued.
 */
export async function readBack(
  environment: Environment,
  state: VerifyState,
  leg: LegLimits,
): Promise<VerifyState> {
  const { bucket } = environment;
  const sealed = await readSealed(bucket, state.job_id);
  const source = await s3Source(bucket.s3, bucket.name, sealed.key, sealed.version_id);
  if (state.cursor === REFERENCES) {
    await addReferences(environment, state.job_id, source, leg);
    return { job_id: state.job_id, cursor: null, done: true };
  }
  const { plan, countsReferences } = await referringPlan(environment, state.job_id);
  // Within one leg, the check itself counts the references.
  const collected =
    state.cursor === null && countsReferences ? new CollectedReferences(environment.config, plan) : undefined;
  const part = { store: 'archive', shard: 'seal', phase: 'read-back' } as const;
  const progress = await ProgressWriter.open(bucket, state.job_id, part);
  const result = await checkLeg(bucket, state.job_id, source, {
    cursor: state.cursor,
    leg,
    progress: (done, total) => progress.report('bytes', done, total),
    collector: collected,
  });
  await progress.close(result.cursor === null);
  const problems = [...result.problems, ...(await unexplained(bucket, state.job_id, result.warnings))];
  if (problems.length > 0) {
    throw new IntegrityError(`The sealed archive can't be restored: ${problems.slice(0, 5).join('; ')}.`, {
      remedy:
        'The unfinished backup was removed. If the store itself is damaged, restore a backup of it without a safety backup ("safety_backup": false, --no-safety-backup). Otherwise start it again, and report it as a bug in ngbak.',
    });
  }
  const [inconsistency] = inconsistencies(result.warnings);
  if (inconsistency !== undefined) {
    throw new NgbakError(`The sealed archive can't be restored: ${inconsistency}.`, {
      remedy:
        'The unfinished backup was removed. Start it again, at a time with fewer changes or with a hook that pauses the writers.',
    });
  }
  if (result.cursor !== null) return { job_id: state.job_id, cursor: result.cursor, done: false };
  const references = await collected?.count(await openArchive(source));
  await bucket.writeRecord(checkResultKey(state.job_id), {
    warnings: result.warnings,
    ...(references === undefined ? {} : { references }),
  });
  if (references !== undefined || !countsReferences)
    return { job_id: state.job_id, cursor: null, done: true };
  return { job_id: state.job_id, cursor: REFERENCES, done: false };
}

/** Whose references are counted. Those of subsets are not, because references to omitted records dangle by design. */
async function referringPlan(environment: Environment, jobId: string) {
  const { target, stores, request } = await readBackupPlan(environment, jobId);
  const plan = { target, stores: stores.map(({ store }) => store) };
  return { plan, countsReferences: request.only === undefined };
}

/**
 * Counts the references between the stores of the archive, so that a store that was saved without its counterpart is
 * noticed at backup time. Reads the records again: for checks of several legs, and for more values than fit in memory.
 */
async function addReferences(
  environment: Environment,
  jobId: string,
  source: ByteSource,
  leg: LegLimits,
): Promise<void> {
  const { bucket, config } = environment;
  const { plan, countsReferences } = await referringPlan(environment, jobId);
  if (!countsReferences) return;
  const archive = await openArchive(source);
  // References to a store that is not in the archive are not counted, because this step cannot reach any server.
  const context = legContext(environment, leg, jobId);
  const references = await countReferences(config, plan, archive, async () => undefined, context);
  const { warnings } = await readCheckResult(bucket, jobId);
  await bucket.writeRecord(checkResultKey(jobId), { warnings, references });
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
