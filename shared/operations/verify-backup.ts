import { z } from 'zod';
import { s3Source } from '../archive/read/sources.ts';
import { type Verification, type VerificationResult, verifyArchive } from '../archive/read/verify.ts';
import { headArchive } from '../catalog/head-archive.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import { BackupDetails, detail } from '../catalog/summaries.ts';
import { readAcknowledged } from '../catalog/warnings.ts';
import { IntegrityError, InvalidInputError } from '../core/errors.ts';
import { openBackup } from './contents.ts';
import type { OperationsContext } from './context.ts';
import { showBackup } from './show-backup.ts';
import { changeRecord } from './update-backup.ts';

/** One leg of a verification, for callers whose time is limited: call again with `cursor` until `done`. */
export const VerificationLeg = z.object({
  backup_id: z.string(),
  done: z.boolean(),
  /** Where the next leg continues; null once it is done. */
  cursor: z.json(),
  /** Present once it is done. */
  is_valid: z.boolean().optional(),
  /** What is wrong, in words that name the entry. */
  errors: z.array(z.string()),
  /** The backup as the catalog has it, with what this verification found; present once it is done. */
  metadata: BackupDetails.optional(),
});
export type VerificationLeg = z.infer<typeof VerificationLeg>;

/**
 * Reads a backup's archive back from S3, every byte of it, and holds it against its own digests and against the
 * catalog. Resumable. What was found is written into the catalog record, so that nobody trusts a damaged backup.
 */
export async function verifyBackup(
  context: OperationsContext,
  backupId: string,
  leg: Verification,
): Promise<VerificationLeg> {
  const record = await showBackup(context, backupId);
  const id = record.backup_id;
  const { cursor, problems } = await readArchive(context, record, leg);
  if (cursor !== null) return { backup_id: id, done: false, cursor, errors: [...problems] };
  const errors = problems.length > 0 ? [...problems] : await compareWithRecord(context, record);
  const changed = await changeRecord(context, id, (current) => ({
    ...current,
    verification: {
      state: errors.length === 0 ? 'verified' : 'damaged',
      at: new Date().toISOString(),
      ...(errors.length === 0 ? {} : { problems: errors }),
    },
  }));
  const { bucket } = context;
  const metadata = detail(changed, await readAcknowledged(bucket), bucket.name);
  return { backup_id: id, done: true, cursor: null, is_valid: errors.length === 0, errors, metadata };
}

async function readArchive(
  { bucket }: OperationsContext,
  record: CatalogRecord,
  leg: Verification,
): Promise<VerificationResult> {
  const { archive } = record;
  if (!(await headArchive(bucket, record))) {
    return { cursor: null, problems: [`s3://${bucket.name}/${archive.key} is gone`] };
  }
  try {
    return await verifyArchive(await s3Source(bucket.s3, bucket.name, archive.key, archive.version_id), leg);
  } catch (error) {
    // What can't even be opened is damaged; that S3 does not answer says nothing about the archive.
    if (!(error instanceof IntegrityError || error instanceof InvalidInputError)) throw error;
    return { cursor: null, problems: [error.message] };
  }
}

/** A sound archive may still be another one than was catalogued. */
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
