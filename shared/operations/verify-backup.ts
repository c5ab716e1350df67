import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ByteSource } from '../archive/format/types.ts';
import { openArchive, readManifestBytes } from '../archive/read/open.ts';
import { s3Source } from '../archive/read/sources.ts';
import type { Bucket } from '../aws/bucket.ts';
import { copyBucket } from '../aws/copy-bucket.ts';
import { catalogKey, stagingPrefix, VERIFICATIONS, verificationId } from '../aws/keys.ts';
import { ObjectArchivedError } from '../aws/s3-error.ts';
import { requireReadable } from '../catalog/archive-storage.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { countsByStore } from '../catalog/record-counts.ts';
import { checkSignatures, signaturesOf } from '../catalog/signature.ts';
import { BackupDetails, detail } from '../catalog/summaries.ts';
import { BackupWarning, readAcknowledged } from '../catalog/warnings.ts';
import type { BackupCopy } from '../core/copies.ts';
import { IntegrityError, InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { SignatureCheck } from '../core/signature.ts';
import { byStore } from '../core/store-name.ts';
import { inconsistencies, unexplainedLosses } from '../workflows/backup/verify.ts';
import { type CheckLeg, checkLeg } from '../workflows/job/check-leg.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';
import { changeRecord } from './update-backup.ts';

/** One leg of a verification, for callers with limited time: repeat the call with `cursor` until `done`. */
export const VerificationLeg = z.object({
  backup_id: z.string(),
  /** The copy that is verified instead of the original. */
  copy: z.string().optional(),
  done: z.boolean(),
  /** Where the next leg continues. Null once the verification is done. */
  cursor: z.json(),
  /** Present once the verification is done. */
  is_valid: z.boolean().optional(),
  /** The errors found, each naming the entry or the record. */
  errors: z.array(z.string()),
  /** For a valid backup: what could not be checked, or needs attention. */
  warnings: z.array(BackupWarning).default([]),
  /** For a valid backup, by store and kind: the number of records that were read and found equal to the manifest. */
  records: byStore(z.record(z.string(), z.number())).default({}),
  /** The result of checking its signature. Present once it is done, if the deployment uses signatures. */
  signature: SignatureCheck.optional(),
  /** The catalog's details of the backup, including the result of this verification. Present once it is done. */
  metadata: BackupDetails.optional(),
});
export type VerificationLeg = z.infer<typeof VerificationLeg>;

export const VerifyInput = z.strictObject({
  /** Verifies this copy of the backup, in another bucket. Default: the original. */
  copy: Id.optional(),
});
export type VerifyInput = z.infer<typeof VerifyInput>;

/** Where a verification continues. Its findings so far are stored in the bucket, because they may be megabytes. */
const VerificationCursor = z.strictObject({
  verification: Id.startsWith(VERIFICATIONS),
  check: z.strictObject({ leg: z.int().positive() }),
});

/** Errors of a copy that its state in the catalog lists. */
const PROBLEMS_OF_COPY_MAX = 5;

/** Time limit and progress callback of one leg. */
export interface VerificationTime {
  /** The cursor that the previous leg returned. Null for the first one. */
  readonly cursor: Json;
  /** Milliseconds until the leg should have ended. */
  timeLeft(): number;
  readonly signal?: AbortSignal;
  /** Called with the number of bytes checked. */
  progress?(bytesDone: number, bytesTotal: number): void;
}

/** The archive that is verified: the original, or a copy. */
interface Verified {
  readonly record: CatalogRecord;
  readonly bucket: Bucket;
  readonly version_id: string | undefined;
  readonly copy: string | undefined;
}

/**
 * Verifies a backup's archive, or a copy of it, in the same way as the backup itself did before it was catalogued: every
 * byte, every record, the counts and digests of the manifest, and that it is the catalogued archive. Resumable. The
 * result is written into the catalog record, so that a damaged backup or copy is not relied on.
 */
export async function verifyBackup(
  context: OperationsContext,
  backupId: string,
  leg: VerificationTime,
  { copy }: VerifyInput = {},
): Promise<VerificationLeg> {
  const { value: record } = await readCatalogued(context, backupId);
  const verified = copy === undefined ? originalOf(context, record) : copyOf(context, record, copy);
  const id = record.backup_id;
  const which = { backup_id: id, ...(copy === undefined ? {} : { copy }) };
  const from =
    leg.cursor === null
      ? { verification: verificationId(randomUUID()), check: null }
      : parseInput(VerificationCursor, leg.cursor, 'The cursor of the verification', 'Start it again.');
  const checked = await checkCatalogued(context, verified, leg, from);
  if (checked.cursor !== null) {
    const cursor = { verification: from.verification, check: checked.cursor };
    return { ...which, done: false, cursor, errors: [...checked.problems], warnings: [], records: {} };
  }
  // Callers that verify everything in one leg, such as the CLI, need no access to staging objects.
  if (from.check !== null) await context.bucket.removeAll(stagingPrefix(from.verification));
  const signature = checked.problems.length > 0 ? undefined : await checkSignature(context, verified);
  const errors =
    checked.problems.length > 0
      ? [...checked.problems]
      : [
          ...unexplainedLosses(record.consistency, checked.warnings),
          ...inconsistencies(checked.warnings),
          ...(await compareWithRecord(verified)),
          ...(signature?.state === 'invalid' ? [`the signature is invalid: ${signature.problem}`] : []),
        ];
  const isValid = errors.length === 0;
  const changed = await changeRecord(context, id, (current) => withResult(current, copy, errors));
  return {
    ...which,
    done: true,
    cursor: null,
    is_valid: isValid,
    errors,
    warnings: isValid ? [...checked.warnings] : [],
    records: isValid ? countsByStore(checked.tallies) : {},
    ...(signature === undefined ? {} : { signature }),
    metadata: detail(changed, await readAcknowledged(context.bucket), context.bucket.place),
  };
}

function originalOf({ bucket }: OperationsContext, record: CatalogRecord): Verified {
  return { record, bucket, version_id: record.archive.version_id, copy: undefined };
}

/** A complete copy of a backup. Throws InvalidInputError if there is none with this name. */
export function openCopy(
  { config, bucket }: Pick<OperationsContext, 'config' | 'bucket'>,
  record: CatalogRecord,
  name: string,
): { readonly known: BackupCopy; readonly bucket: Bucket } {
  const { backup_id, copies = [] } = record;
  const known = copies.find((one) => one.name === name);
  if (known?.state !== 'complete' && known?.state !== 'damaged') {
    const names = copies.map((one) => `${one.name} (${one.state})`).join(', ');
    throw new InvalidInputError(
      known === undefined
        ? `${backup_id} has no copy "${name}".`
        : `The copy "${name}" of ${backup_id} is not complete (${known.state}).`,
      { remedy: names === '' ? 'Verify the original.' : `Its copies: ${names}.` },
    );
  }
  // The configuration may have changed the role since the copy was made.
  const { read_role_arn } = config?.copies?.[name] ?? known;
  return { known, bucket: copyBucket(bucket, { ...known, read_role_arn }, 'read') };
}

function copyOf(context: OperationsContext, record: CatalogRecord, name: string): Verified {
  const { known, bucket } = openCopy(context, record, name);
  return { record, bucket, version_id: known.version_id, copy: name };
}

/** The catalog record with the result of a verification. */
function withResult(
  record: CatalogRecord,
  name: string | undefined,
  errors: readonly string[],
): CatalogRecord {
  const at = new Date().toISOString();
  const isValid = errors.length === 0;
  if (name === undefined) {
    const verification = isValid
      ? { state: 'verified' as const, at }
      : { state: 'damaged' as const, at, problems: [...errors] };
    return { ...record, verification };
  }
  const copies = (record.copies ?? []).map(({ problem, ...copy }) => {
    if (copy.name !== name) return problem === undefined ? copy : { ...copy, problem };
    return isValid
      ? { ...copy, state: 'complete' as const, verified_at: at }
      : { ...copy, state: 'damaged' as const, at, problem: errors.slice(0, PROBLEMS_OF_COPY_MAX).join('; ') };
  });
  return { ...record, copies };
}

async function checkCatalogued(
  context: OperationsContext,
  { record, bucket, version_id, copy }: Verified,
  leg: VerificationTime,
  from: { readonly verification: string; readonly check: Json },
): Promise<CheckLeg> {
  const { backup_id } = record;
  const damaged = (problem: string) => ({ cursor: null, problems: [problem], warnings: [], tallies: {} });
  const { key } = record.archive;
  // That it has to be thawed says nothing about the archive, so the catalog is left unchanged.
  if (!(await requireReadable(bucket, { backup_id, archive: { key, version_id }, copy }))) {
    return damaged(`s3://${bucket.place}/${key} is gone`);
  }
  const source = await s3Source(bucket.s3, bucket.name, key, version_id);
  try {
    return await checkLeg(context.bucket, from.verification, source, {
      cursor: from.check,
      leg,
      progress: (done, total) => leg.progress?.(done, total),
    });
  } catch (error) {
    // An archive that can't be opened is damaged. A failed request to S3, however, says nothing about the archive, and
    // neither does a storage class.
    if (error instanceof ObjectArchivedError) throw error;
    if (!(error instanceof IntegrityError || error instanceof InvalidInputError)) throw error;
    return damaged(error.message);
  }
}

/** Checks the signature of an intact archive. Undefined if the deployment does not use signatures. */
async function checkSignature(
  { signatureKeys }: OperationsContext,
  verified: Verified,
): Promise<SignatureCheck | undefined> {
  if (signatureKeys === undefined) return undefined;
  const { bucket, record } = verified;
  const manifest = await readManifestBytes(await sourceOf(verified));
  return checkSignatures(manifest ?? Buffer.alloc(0), await signaturesOf(bucket, record), signatureKeys);
}

function sourceOf({ bucket, record, version_id }: Verified): Promise<ByteSource> {
  return s3Source(bucket.s3, bucket.name, record.archive.key, version_id);
}

/** Checks that an intact archive is the catalogued one, and that a copy has its own record. */
async function compareWithRecord(verified: Verified): Promise<string[]> {
  const { record, bucket, copy } = verified;
  const source = await sourceOf(verified);
  const { manifest } = await openArchive(source);
  const expected: [string, string | number, string | number][] = [
    ['bytes', source.size, record.archive.bytes],
    ['checksum', manifest.checksum, record.archive.checksum],
    ['backup_id', manifest.backup_id, record.backup_id],
  ];
  const differing = expected
    .filter(([, found, wanted]) => found !== wanted)
    .map(([name, found, wanted]) => `the archive's ${name} is ${found}; the catalog says ${wanted}`);
  if (copy === undefined) return differing;
  const key = catalogKey(record.backup_id);
  const beside = (await bucket.readRecord(key, CatalogRecord))?.value;
  if (beside?.archive.checksum === record.archive.checksum) return differing;
  const what = beside === undefined ? 'does not exist' : 'is of another archive';
  return [...differing, `the record of the copy, s3://${bucket.place}/${key}, ${what}`];
}
