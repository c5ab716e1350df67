import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { readManifestBytes } from '../archive/read/open.ts';
import { s3Source } from '../archive/read/sources.ts';
import { stagingPrefix, VERIFICATIONS, verificationId } from '../aws/keys.ts';
import { headArchive } from '../catalog/head-archive.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import { countsByStore } from '../catalog/record-counts.ts';
import { checkSignatures, signaturesOf } from '../catalog/signature.ts';
import { BackupDetails, detail } from '../catalog/summaries.ts';
import { BackupWarning, readAcknowledged } from '../catalog/warnings.ts';
import { IntegrityError, InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { SignatureCheck } from '../core/signature.ts';
import { STORE_NAMES } from '../core/store-names.ts';
import { inconsistencies, unexplainedLosses } from '../workflows/backup/verify.ts';
import { type CheckLeg, checkLeg } from '../workflows/job/check-leg.ts';
import { openBackup } from './contents.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';
import { changeRecord } from './update-backup.ts';

/** One leg of a verification, for callers with limited time: repeat the call with `cursor` until `done`. */
export const VerificationLeg = z.object({
  backup_id: z.string(),
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
  records: z.partialRecord(z.enum(STORE_NAMES), z.record(z.string(), z.number())).default({}),
  /** The result of checking its signature. Present once it is done, if the deployment uses signatures. */
  signature: SignatureCheck.optional(),
  /** The catalog's details of the backup, including the result of this verification. Present once it is done. */
  metadata: BackupDetails.optional(),
});
export type VerificationLeg = z.infer<typeof VerificationLeg>;

/** Where a verification continues. Its findings so far are stored in the bucket, because they may be megabytes. */
const VerificationCursor = z.strictObject({
  verification: Id.startsWith(VERIFICATIONS),
  check: z.strictObject({ leg: z.int().positive() }),
});

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

/**
 * Verifies a backup's archive in the same way as the backup itself did before it was catalogued: every byte, every
 * record, the counts and digests of the manifest, and that it is the catalogued archive. Resumable. The result is
 * written into the catalog record, so that a damaged backup is not relied on.
 */
export async function verifyBackup(
  context: OperationsContext,
  backupId: string,
  leg: VerificationTime,
): Promise<VerificationLeg> {
  const { value: record } = await readCatalogued(context, backupId);
  const id = record.backup_id;
  const from =
    leg.cursor === null
      ? { verification: verificationId(randomUUID()), check: null }
      : parseInput(VerificationCursor, leg.cursor, 'The cursor of the verification', 'Start it again.');
  const checked = await checkCatalogued(context, record, leg, from);
  if (checked.cursor !== null) {
    const cursor = { verification: from.verification, check: checked.cursor };
    return { backup_id: id, done: false, cursor, errors: [...checked.problems], warnings: [], records: {} };
  }
  // Callers that verify everything in one leg, such as the CLI, need no access to staging objects.
  if (from.check !== null) await context.bucket.removeAll(stagingPrefix(from.verification));
  const signature = checked.problems.length > 0 ? undefined : await checkSignature(context, record);
  const errors =
    checked.problems.length > 0
      ? [...checked.problems]
      : [
          ...unexplainedLosses(record.consistency, checked.warnings),
          ...inconsistencies(checked.warnings),
          ...(await compareWithRecord(context, record)),
          ...(signature?.state === 'invalid' ? [`the signature is invalid: ${signature.problem}`] : []),
        ];
  const isValid = errors.length === 0;
  const changed = await changeRecord(context, id, (current) => ({
    ...current,
    verification: {
      state: isValid ? 'verified' : 'damaged',
      at: new Date().toISOString(),
      ...(isValid ? {} : { problems: errors }),
    },
  }));
  return {
    backup_id: id,
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

async function checkCatalogued(
  { bucket }: OperationsContext,
  record: CatalogRecord,
  leg: VerificationTime,
  from: { readonly verification: string; readonly check: Json },
): Promise<CheckLeg> {
  const { archive } = record;
  const damaged = (problem: string) => ({ cursor: null, problems: [problem], warnings: [], tallies: {} });
  if (!(await headArchive(bucket, record))) return damaged(`s3://${bucket.place}/${archive.key} is gone`);
  const source = await s3Source(bucket.s3, bucket.name, archive.key, archive.version_id);
  try {
    return await checkLeg(bucket, from.verification, source, {
      cursor: from.check,
      leg,
      progress: (done, total) => leg.progress?.(done, total),
    });
  } catch (error) {
    // An archive that can't be opened is damaged. A failed request to S3, however, says nothing about the archive.
    if (!(error instanceof IntegrityError || error instanceof InvalidInputError)) throw error;
    return damaged(error.message);
  }
}

/** Checks the signature of an intact archive. Undefined if the deployment does not use signatures. */
async function checkSignature(
  { bucket, signatureKeys }: OperationsContext,
  record: CatalogRecord,
): Promise<SignatureCheck | undefined> {
  if (signatureKeys === undefined) return undefined;
  const { key, version_id } = record.archive;
  const manifest = await readManifestBytes(await s3Source(bucket.s3, bucket.name, key, version_id));
  return checkSignatures(manifest ?? Buffer.alloc(0), await signaturesOf(bucket, record), signatureKeys);
}

/** Checks that an intact archive is the catalogued one. */
async function compareWithRecord(context: OperationsContext, record: CatalogRecord): Promise<string[]> {
  const { manifest } = await openBackup(context, record);
  const expected: [string, string | number, string | number][] = [
    ['bytes', (await headArchive(context.bucket, record))?.ContentLength ?? 0, record.archive.bytes],
    ['checksum', manifest.checksum, record.archive.checksum],
    ['backup_id', manifest.backup_id, record.backup_id],
  ];
  return expected
    .filter(([, found, wanted]) => found !== wanted)
    .map(([name, found, wanted]) => `the archive's ${name} is ${found}; the catalog says ${wanted}`);
}
