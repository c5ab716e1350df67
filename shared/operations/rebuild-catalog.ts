import { createHash } from 'node:crypto';
import { HeadObjectCommand, type HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { z } from 'zod';
import type { Manifest } from '../archive/format/manifest.ts';
import type { ByteSource } from '../archive/format/types.ts';
import { openArchive, readManifestBytes } from '../archive/read/open.ts';
import { s3Source } from '../archive/read/sources.ts';
import { verifyArchive } from '../archive/read/verify.ts';
import { OWNER } from '../archive/write/compose.ts';
import { type Bucket, ConflictError } from '../aws/bucket.ts';
import { archiveKey, BACKUPS, catalogKey } from '../aws/keys.ts';
import { sendS3 } from '../aws/send-s3.ts';
import { makeRecord } from '../catalog/make-record.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { Retention } from '../catalog/request.ts';
import { checkSignatures, readSignature, type SignatureKeys } from '../catalog/signature.ts';
import { describeError, IntegrityError, NgbakError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { isSafetyJob } from '../core/job-kinds.ts';
import type { ArchiveSignature } from '../core/signature.ts';
import type { OperationsContext } from './context.ts';
import { backupsInProgress } from './in-use.ts';

export const RebuiltCatalog = z.object({
  /** Backups whose record was rebuilt. */
  rebuilt: z.array(z.string()),
  /** Number of backups that already have a record. */
  kept: z.number().int(),
  /** Archives for which no record could be created, with the reason. */
  problems: z.array(z.object({ backup_id: z.string(), problem: z.string() })),
});
export type RebuiltCatalog = z.infer<typeof RebuiltCatalog>;

/** Fields that ngbak's manifests contain for this purpose. Other writers may omit them. */
const Extra = z.object({ retention: Retention.optional(), requested_by: z.string().max(200).optional() });

export interface RebuildOptions {
  /** Only the record of this backup. Default: of every archive. */
  readonly backupId?: string;
  readonly signal?: AbortSignal | undefined;
  /** Called for each archive, before it is read. */
  progress?(backupId: string): void;
  /** Called while an archive is read. */
  verified?(bytesDone: number, bytesTotal: number): void;
}

/**
 * Rebuilds missing catalog records from the archives alone. Every byte of an archive is verified first, since a record
 * states that it was. Backups in progress are skipped. Changes made after the backup are lost; the times of completion
 * and verification are those of the object and the current time.
 */
export async function rebuildCatalog(
  context: OperationsContext,
  leg: RebuildOptions = {},
): Promise<RebuiltCatalog> {
  const { bucket } = context;
  const inProgress = await backupsInProgress(context);
  const result: RebuiltCatalog = { rebuilt: [], kept: 0, problems: [] };
  for await (const { key } of bucket.keys(leg.backupId === undefined ? BACKUPS : archiveKey(leg.backupId))) {
    const backupId = key.endsWith('.ngbak') ? key.slice(BACKUPS.length, -'.ngbak'.length) : '';
    if (!Id.safeParse(backupId).success || inProgress.has(backupId)) continue;
    leg.progress?.(backupId);
    try {
      if (await hasRecord(context, backupId)) result.kept++;
      else if (await rebuild(context, backupId, leg)) result.rebuilt.push(backupId);
    } catch (error) {
      if (!(error instanceof NgbakError) || error.retryable) throw error;
      result.problems.push({ backup_id: backupId, problem: describeError(error) });
    }
  }
  return result;
}

async function hasRecord({ bucket }: OperationsContext, backupId: string): Promise<boolean> {
  return (await bucket.readRecord(catalogKey(backupId), CatalogRecord)) !== undefined;
}

/** Returns false if the record was written concurrently. */
async function rebuild(
  { bucket, signatureKeys }: OperationsContext,
  backupId: string,
  { signal, verified }: RebuildOptions,
): Promise<boolean> {
  const key = archiveKey(backupId);
  const where = `s3://${bucket.place}/${key}`;
  const { head, source } = await openObject(bucket, key);
  const { problems } = await verifyArchive(source, {
    cursor: null,
    timeLeft: () => Number.POSITIVE_INFINITY,
    ...(signal ? { signal } : {}),
    ...(verified ? { progress: verified } : {}),
  });
  if (problems.length > 0) {
    throw new IntegrityError(`${where} is damaged: ${problems.slice(0, 3).join('; ')}.`, {
      remedy: 'No record was created. Use another copy of the archive, or delete it.',
    });
  }
  const { manifest, codec } = await openArchive(source);
  if (manifest.backup_id !== backupId) {
    throw new IntegrityError(`${where} contains backup ${manifest.backup_id}.`, {
      remedy: `Rename it to ${archiveKey(manifest.backup_id)}.`,
    });
  }
  const signature = signatureKeys && (await findSignature(bucket, source, key, signatureKeys));
  const record = recordOf(manifest, head, { key, codec, signature }, bucket.place);
  try {
    await bucket.writeRecord(catalogKey(backupId), record, { absent: true });
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
}

async function openObject(bucket: Bucket, key: string) {
  const head = await sendS3(
    bucket.s3,
    'look at',
    new HeadObjectCommand({ Bucket: bucket.name, Key: key, ChecksumMode: 'ENABLED' }),
  );
  return { head, source: await s3Source(bucket.s3, bucket.name, key, head.VersionId) };
}

/**
 * What an archive in another bucket states about itself, in the form of a catalog record. Nothing of it is verified: it
 * is for choosing which archive to copy.
 */
export async function describeArchive(bucket: Bucket, backupId: string): Promise<CatalogRecord> {
  const key = archiveKey(backupId);
  const { head, source } = await openObject(bucket, key);
  const { manifest, codec } = await openArchive(source);
  const Metadata = { [OWNER]: head.Metadata?.[OWNER] ?? 'unknown' };
  const known = { ...head, Metadata, ChecksumCRC32: head.ChecksumCRC32 ?? '' };
  return recordOf(manifest, known, { key, codec, signature: undefined }, bucket.place);
}

/**
 * The signature beside an archive, if a known key made it. Throws IntegrityError if it is invalid: such an archive was
 * replaced.
 */
async function findSignature(
  bucket: Bucket,
  source: ByteSource,
  key: string,
  keys: SignatureKeys,
): Promise<ArchiveSignature | undefined> {
  const given = await readSignature(bucket, key);
  const manifest = given && (await readManifestBytes(source));
  if (!given || !manifest) return undefined;
  const { state, problem, key: keyId } = await checkSignatures(manifest, [given], keys);
  if (state === 'invalid') {
    throw new IntegrityError(`The signature of s3://${bucket.place}/${key} is invalid: ${problem}.`, {
      remedy:
        'No record was created. If another key signed it, add that key to "signatures.trustedKeys"; otherwise use another copy of it.',
    });
  }
  if (state !== 'valid' || keyId === undefined) return undefined;
  return {
    key_id: keyId,
    algorithm: 'ECDSA_SHA_256',
    value: Buffer.from(given.bytes).toString('base64'),
    manifest_sha256: createHash('sha256').update(manifest).digest('hex'),
  };
}

function recordOf(
  manifest: Manifest,
  head: HeadObjectCommandOutput,
  archive: {
    readonly key: string;
    readonly codec: CatalogRecord['archive']['codec'];
    readonly signature: ArchiveSignature | undefined;
  },
  bucket: string,
): CatalogRecord {
  const { key, codec, signature } = archive;
  const job_id = head.Metadata?.[OWNER];
  const created = new Date(manifest.created_at);
  const completed = head.LastModified ?? created;
  const { retention, requested_by } = Extra.parse(manifest);
  const versioned = head.VersionId !== undefined && head.VersionId !== 'null';
  return makeRecord(
    {
      backup_id: manifest.backup_id,
      target: manifest.scope.target,
      job_id,
      type: manifest.scope.type,
      stores: manifest.scope.stores,
      only: manifest.scope.only,
      created_at: created.toISOString(),
      completed_at: completed.toISOString(),
      verified_at: new Date().toISOString(),
      archive: {
        key,
        version_id: versioned ? head.VersionId : undefined,
        bytes: head.ContentLength,
        entries: manifest.index.entries,
        codec,
        crc32: head.ChecksumCRC32,
        checksum: manifest.checksum,
      },
      signature,
      // A safety backup is restored into the scopes that its manifest states.
      unconfirmed: signature === undefined && job_id !== undefined && isSafetyJob(job_id) ? true : undefined,
      storage_class: head.StorageClass,
      uncompressed_bytes: manifest.index.bytes,
      statistics: manifest.statistics,
      tallies: manifest.tallies,
      consistency: manifest.consistency,
      readings: manifest.readings,
      warnings: manifest.warnings,
      ngbak_version: manifest.ngbak_version,
      system_version: manifest.nano_graphrag_version ?? undefined,
      system_evidence: manifest.system_evidence,
      tags: manifest.tags,
      note: manifest.note,
      retention,
      requested_by,
    },
    bucket,
    `The manifest of ${key}`,
    'It was not created by an ngbak backup. Restore it as an upload instead.',
  );
}
