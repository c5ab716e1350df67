import { z } from 'zod';
import { isSeekable } from '../../archive/read/open.ts';
import { normalizeToS3 } from '../../archive/write/normalize.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { checkResultKey, inspectionKey, normalizedArchiveKey, UPLOADS } from '../../aws/keys.ts';
import { requireReadable } from '../../catalog/archive-storage.ts';
import type { SignatureKeys } from '../../catalog/signature.ts';
import { ANOTHER_ARCHIVE, IntegrityError, InvalidInputError } from '../../core/errors.ts';
import { HELP } from '../../core/help.ts';
import { Id } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import { convertScript } from '../../stores/neo4j/script/convert.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { checkLeg } from '../job/check-leg.ts';
import { ProgressWriter } from '../job/progress.ts';
import { updateJob } from '../job/record.ts';
import { chooseStores } from './choose-stores.ts';
import { compareWithRecords } from './compare-records.ts';
import { compareWithTarget } from './compare-target.ts';
import { type InspectionRecord, readInspection, readResolved } from './inspection.ts';
import { openSource } from './open-source.ts';
import { type AdmittedRestore, type ObjectVersion, readAdmitted } from './plan.ts';
import { RestoreOptions, resolveMode } from './request.ts';
import { REWRITE_MS, refuseIfTooLong } from './rewrite-time.ts';
import {
  checkSignature,
  deferralProblem,
  readSignatureCheck,
  signatureProblem,
  signatureWarning,
} from './signature.ts';

/** Problems that an error lists. The inspection's record has all of them. */
const PROBLEMS_SHOWN_MAX = 5;

const InspectCursor = z.discriminatedUnion('stage', [
  z.object({ stage: z.literal('format') }),
  z.object({ stage: z.literal('digests'), archive: z.json() }),
  z.object({ stage: z.literal('target') }),
  z.object({ stage: z.literal('records'), leg: z.int().nonnegative() }),
]);
type InspectCursor = z.infer<typeof InspectCursor>;

/** The state of the inspection loop, as passed through the workflow's state. */
export const InspectState = z.object({
  job_id: Id,
  cursor: InspectCursor.nullable().default(null),
  done: z.boolean().default(false),
  /** Options that an operator tries instead of those of the job. */
  options: RestoreOptions.optional(),
});
export type InspectState = z.infer<typeof InspectState>;

/** Output of one leg of the inspection. The last three fields are present once it is done. */
export type InspectResult = InspectState & { confirmed?: boolean; dry_run?: boolean; refused?: boolean };

/**
 * One leg of the inspection, which is the only check before a restore writes: whether the archive is complete and every
 * byte of it intact, whether this target can hold it, and what the target contains now. Reads the stores and writes to
 * none. Throws InvalidInputError or IntegrityError, which states what prevents the restore; a dry run reports that in
 * its result instead.
 *
 * @param keys  the keys whose signatures are valid
 */
export async function inspectArchive(
  environment: Environment,
  state: InspectState,
  leg: LegLimits,
  keys: SignatureKeys = { trusted: [] },
): Promise<InspectResult> {
  const { bucket } = environment;
  const admitted = await readAdmitted(bucket, state.job_id);
  const restore = state.options ? await withOptions(environment, admitted, state.options) : admitted;
  const cursor: InspectCursor = state.cursor ?? { stage: 'format' };
  if (cursor.stage === 'records') return inspectRecords(environment, restore, cursor.leg, leg);
  const next = (value: InspectCursor): InspectResult => ({
    job_id: state.job_id,
    cursor: value,
    done: false,
  });
  if (cursor.stage === 'format') {
    const manifest = await normalizeUpload(environment, restore, leg);
    const check = await checkSignature(environment, restore, manifest, keys);
    const problem = signatureProblem(environment, restore, check);
    // Reported before the whole archive is read.
    if (problem !== undefined && !restore.options.dry_run) throw refusal(restore, [problem]);
    return next({ stage: 'digests', archive: null });
  }
  const loaded = await loadedArchive(bucket, restore);
  if (cursor.stage === 'digests') {
    const checked = await checkArchive(environment, restore, loaded, cursor.archive, leg);
    if (checked.cursor !== null) return next({ stage: 'digests', archive: checked.cursor });
    await bucket.writeRecord(checkResultKey(state.job_id), { warnings: checked.warnings });
    return next({ stage: 'target' });
  }
  const compared = await compareWithTarget(environment, { ...restore, archive: loaded }, leg);
  const inspected = await withSignature(environment, restore, compared);
  await bucket.writeRecord(inspectionKey(state.job_id), inspected);
  const { problems } = inspected;
  // Problems of tentative options are only reported, so that the operator can try others.
  if (problems.length > 0 && !restore.options.dry_run && !state.options) throw refusal(restore, problems);
  if (restore.options.compare && problems.length === 0) return next({ stage: 'records', leg: 0 });
  return inspectionDone(restore, problems);
}

function inspectionDone(
  { job_id, confirmed, options }: AdmittedRestore,
  problems: readonly string[],
): InspectResult {
  const { dry_run } = options;
  return { job_id, cursor: null, done: true, confirmed, dry_run, refused: problems.length > 0 };
}

/**
 * Compares records, after everything else was inspected, and adds the result to the record of the inspection. The
 * options are those of that record.
 */
async function inspectRecords(
  environment: Environment,
  admitted: AdmittedRestore,
  number: number,
  leg: LegLimits,
): Promise<InspectResult> {
  const { bucket } = environment;
  const { job_id } = admitted;
  const inspected = await readInspection(bucket, job_id);
  const restore = { ...admitted, ...(await readResolved(bucket, job_id)) };
  const { done, comparison } = await compareWithRecords(environment, restore, inspected, number, leg);
  if (!done) return { job_id, cursor: { stage: 'records', leg: number + 1 }, done: false };
  await bucket.writeRecord(inspectionKey(job_id), { ...inspected, comparison });
  return inspectionDone(restore, inspected.problems);
}

/** Adds the result of checking the signature to the findings. */
async function withSignature(
  environment: Environment,
  restore: AdmittedRestore,
  inspected: InspectionRecord,
): Promise<InspectionRecord> {
  const check = await readSignatureCheck(environment.bucket, restore.job_id);
  const problem = signatureProblem(environment, restore, check);
  return {
    ...inspected,
    archive: { ...inspected.archive, ...(check === undefined ? {} : { signature: check }) },
    warnings: [...inspected.warnings, ...signatureWarning(check)],
    problems: [
      ...inspected.problems,
      ...[problem, deferralProblem(environment, restore)].filter((text) => text !== undefined),
    ],
  };
}

/** The restore with other options instead of the requested ones. Everything that depends on them is resolved again. */
async function withOptions(
  { bucket, config }: Environment,
  admitted: AdmittedRestore,
  wanted: RestoreOptions,
): Promise<AdmittedRestore> {
  const { require_signature } = admitted.options;
  const options = {
    ...resolveMode(wanted),
    ...(require_signature === undefined ? {} : { require_signature }),
  };
  const stores = chooseStores(config, admitted.target, options);
  await updateJob(bucket, admitted.job_id, () => ({ state: 'processing' }));
  return { ...admitted, options, stores };
}

/** The seekable archive that is loaded: the source itself, or the copy that {@link normalizeUpload} wrote. */
async function loadedArchive(bucket: Bucket, { job_id, source }: AdmittedRestore): Promise<ObjectVersion> {
  if (await isSeekable(await openSource(bucket, source))) return source;
  return { bucket: bucket.name, key: normalizedArchiveKey(job_id) };
}

/**
 * Continues to read the archive, and compares every byte and record with its digests. Throws IntegrityError if it is
 * damaged.
 */
async function checkArchive(
  { bucket }: Environment,
  { job_id, stores }: AdmittedRestore,
  archive: ObjectVersion,
  cursor: Json,
  leg: LegLimits,
) {
  const part = { store: 'archive', shard: 'inspect', phase: 'inspect' } as const;
  const progress = await ProgressWriter.open(bucket, job_id, part);
  const checked = await checkLeg(bucket, job_id, await openSource(bucket, archive), {
    cursor,
    leg,
    progress: (done, total) => progress.report('bytes', done, total),
    stores,
  });
  await progress.close(checked.cursor === null);
  const [problem, ...others] = checked.problems;
  if (problem === undefined) return checked;
  const where = others.length === 0 ? 'one place' : `${others.length + 1} places or more`;
  throw new IntegrityError(`The archive is damaged, or not what was saved, in ${where}: ${problem}.`, {
    remedy: `Nothing was changed. ${ANOTHER_ARCHIVE}`,
    help: HELP.damagedArchive,
  });
}

function refusal({ target }: AdmittedRestore, problems: readonly string[]): InvalidInputError {
  const shown = problems.slice(0, PROBLEMS_SHOWN_MAX).join('; ').replace(/\.$/, '');
  const more = problems.length - PROBLEMS_SHOWN_MAX;
  return new InvalidInputError(
    `The archive can't be restored into target "${target}": ${shown}${more > 0 ? `; and ${more} more` : ''}.`,
    { remedy: 'Nothing was changed. Correct these problems, or choose another target.' },
  );
}

/**
 * Only seekable archives can be loaded. Others are rewritten once, into `staging/`, while every byte is checked. Returns
 * the bytes of their `manifest.json`, which the copy does not have.
 */
async function normalizeUpload(
  environment: Environment,
  restore: AdmittedRestore,
  leg: LegLimits,
): Promise<Buffer | undefined> {
  const { bucket } = environment;
  const { backup_id, source: object } = restore;
  if (backup_id !== undefined) await requireReadable(bucket, { backup_id, archive: object });
  const source = await openSource(bucket, object);
  const max = environment.config.upload_bytes_max;
  if (restore.source.key.startsWith(UPLOADS) && source.size > max) {
    throw new InvalidInputError(
      `The upload has ${source.size} bytes; this deployment accepts at most ${max}.`,
      {
        remedy:
          'Nothing was changed. Raise ngbak.uploadBytesMax in cdk.json if the archive is to be trusted.',
      },
    );
  }
  const wantsScript = restore.options.cypher_script === true;
  if (await isSeekable(source)) {
    if (!wantsScript) return undefined;
    throw new InvalidInputError(
      'The archive was created by ngbak; a Cypher script is read only from archives of NGRAF-023.',
      {
        remedy: 'Nothing was changed. Leave "cypher_script" out, or upload the archive of NGRAF-023 itself.',
      },
    );
  }
  let manifest: Buffer | undefined;
  await normalizeToS3(source, {
    s3: bucket.s3,
    bucket: bucket.name,
    key: normalizedArchiveKey(restore.job_id),
    signal: leg.signal,
    script: wantsScript ? convertScript : undefined,
    progress: refuseIfTooLong(REWRITE_MS),
    original: (bytes) => {
      manifest = bytes;
    },
  });
  return manifest;
}
