import { z } from 'zod';
import { ConflictError } from '../../aws/bucket.ts';
import { copyBucket } from '../../aws/copy-bucket.ts';
import { catalogKey, signatureKey } from '../../aws/keys.ts';
import { metadataOf } from '../../catalog/metadata.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import { readSignature } from '../../catalog/signature.ts';
import { type BackupCopy, type CopyConfig, copiesOf } from '../../core/copies.ts';
import { AccessDeniedError, type NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { type CopiedArchive, completeCopy, failedCopy, isDue, pendingCopy, updateCopy } from './progress.ts';
import { abortTransfer, putObject, type Transfer, transferArchive } from './transfer.ts';

/** The state of the loop of the copy workflow. What was copied is not part of it: S3 knows that. */
export const CopyState = z.object({
  backup_id: Id,
  /** Name of the copy. */
  copy: Id,
  /** Number of failed attempts before this one. A late execution of another attempt changes nothing. */
  attempt: z.number().int().nonnegative(),
  /** The error with which an attempt has ended, which is only recorded. */
  failure: z.object({ error: z.string(), cause: z.string() }).optional(),
  done: z.boolean().default(false),
});
export type CopyState = z.infer<typeof CopyState>;

/** What a leg returns to the workflow. */
export interface CopyLeg extends CopyState {
  /** Absent while parts are missing, and if there is nothing to copy any more. */
  readonly state?: BackupCopy['state'];
}

/** The buckets of a copy. Tests use other servers, and smaller parts. */
export type CopyBuckets = (copy: CopyConfig) => Pick<Transfer, 'destination' | 'reader' | 'partBytes'>;

function bucketsOf({ bucket }: Environment): CopyBuckets {
  return (copy) => ({
    destination: copyBucket(bucket, copy, 'write'),
    reader: copyBucket(bucket, copy, 'read'),
  });
}

/**
 * One leg of copying a backup to another bucket: the archive, then its signature, and the record last, so that a copy
 * without a record is incomplete and is not used. Each leg continues where S3 and the catalog record say that the
 * previous one stopped.
 */
export async function copyBackup(
  environment: Environment,
  input: CopyState,
  leg: LegLimits,
  open: CopyBuckets = bucketsOf(environment),
): Promise<CopyLeg> {
  const { backup_id, copy: name, attempt } = input;
  const ended = (state?: BackupCopy['state']): CopyLeg => ({
    backup_id,
    copy: name,
    attempt,
    done: true,
    ...(state === undefined ? {} : { state }),
  });
  const { bucket } = environment;
  const record = (await bucket.readRecord(catalogKey(backup_id), CatalogRecord))?.value;
  const copy = record && new Map(copiesOf(environment.config.copies, record.target)).get(name);
  // Deleted, or no longer configured, since the copy was planned.
  if (!record || !copy) return ended();
  const known = record.copies?.find((one) => one.name === name) ?? pendingCopy(name, copy, new Date());
  const transfer = { ...leg, ...open(copy), source: bucket, copy, record, uploadId: known.upload_id };
  if (input.failure) return ended(await recordFailure(environment, transfer, input, input.failure));
  if (!isDue(known, Date.now()) || (known.attempts ?? 0) !== attempt) return ended(known.state);
  const archive = isCopied(known)
    ? known
    : await transferArchive({
        ...transfer,
        async begun(upload_id) {
          const change = (current = known) => ({ ...current, upload_id });
          const updated = await updateCopy(bucket, backup_id, name, change);
          // The backup was deleted in the meantime.
          if (!updated) await abortTransfer({ ...transfer, uploadId: upload_id });
        },
      });
  if (!archive) return { backup_id, copy: name, attempt, done: false };
  // Recorded before the record of the copy is written: from here on, no attempt has to look at the archive again.
  await updateCopy(bucket, backup_id, name, ({ upload_id: _, ...current } = known) => ({
    ...current,
    ...archived(archive),
  }));
  await copySignature(transfer);
  await copyRecord(transfer, archive);
  const now = new Date();
  const complete = await updateCopy(bucket, backup_id, name, (current = known) =>
    completeCopy(current, archive, copy, now),
  );
  environment.log('A backup was copied.', { backup_id, copy: name, bytes: archive.bytes });
  return ended(complete?.state);
}

function archived({ bytes, crc32, version_id }: CopiedArchive): CopiedArchive {
  return { bytes, crc32, ...(version_id === undefined ? {} : { version_id }) };
}

/** Whether an earlier leg has recorded that S3 created the archive. */
function isCopied(copy: BackupCopy): copy is BackupCopy & CopiedArchive {
  return copy.bytes !== undefined && copy.crc32 !== undefined;
}

type Destination = Pick<Transfer, 'destination' | 'reader' | 'copy' | 'source' | 'signal'> & {
  readonly record: CatalogRecord;
};

async function recordFailure(
  { bucket, log }: Environment,
  transfer: Destination & { readonly uploadId: string | undefined },
  { backup_id, copy: name, attempt }: CopyState,
  { error, cause }: { readonly error: string; readonly cause: string },
): Promise<BackupCopy['state'] | undefined> {
  const now = new Date();
  // Parts of other bytes must not be used again.
  const restart = error === 'IntegrityError';
  if (restart) await abortTransfer(transfer);
  const failed = await updateCopy(bucket, backup_id, name, (current) =>
    current?.state === 'complete' || (current?.attempts ?? 0) !== attempt
      ? undefined
      : failedCopy(current ?? pendingCopy(name, transfer.copy, now), cause, now, { restart }),
  );
  log('A backup could not be copied.', { backup_id, copy: name, error_name: error, problem: cause });
  return failed?.state;
}

async function copySignature(transfer: Destination): Promise<void> {
  const { source, reader, record } = transfer;
  const { key } = record.archive;
  const signature =
    (await readSignature(source, key))?.bytes ??
    (record.signature && Buffer.from(record.signature.value, 'base64'));
  if (!signature) return;
  if (await putObject(transfer, signatureKey(key), signature, 'application/octet-stream')) return;
  const found = await ifReadable(readSignature(reader, key));
  if (found && !Buffer.from(found.bytes).equals(Buffer.from(signature)))
    throw occupied(transfer, signatureKey(key));
}

/** Writes the record of a copy: the record of the original, with the version of the archive in this bucket. */
async function copyRecord(transfer: Destination, archive: CopiedArchive): Promise<void> {
  const { reader, copy, record } = transfer;
  const key = catalogKey(record.backup_id);
  const { version_id: _, ...same } = record.archive;
  const { copies: __, ...facts } = record;
  const value = {
    ...facts,
    archive: { ...same, ...(archive.version_id === undefined ? {} : { version_id: archive.version_id }) },
    storage_class: copy.storage_class,
  };
  const { tag_pairs: ___, ...metadata } = metadataOf(value, reader.place);
  const text = `${JSON.stringify({ ...value, ...metadata }, null, 2)}\n`;
  if (await putObject(transfer, key, text, 'application/json')) return;
  const found = await ifReadable(reader.readRecord(key, CatalogRecord));
  if (!found) return;
  const { archive: existing, backup_id } = found.value;
  const isSame =
    backup_id === record.backup_id &&
    existing.crc32 === archive.crc32 &&
    existing.checksum === same.checksum &&
    existing.version_id === archive.version_id;
  if (!isSame) throw occupied(transfer, key);
}

/** Undefined if the caller may not read the bucket. */
async function ifReadable<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof AccessDeniedError) return undefined;
    throw error;
  }
}

function occupied({ reader }: Destination, key: string): NgbakError {
  return new ConflictError(`s3://${reader.place}/${key} exists already, and belongs to another copy.`, {
    remedy: 'Give each deployment a prefix of its own in the bucket; or remove that object.',
  });
}
