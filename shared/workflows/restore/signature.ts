import { z } from 'zod';
import { readManifestBytes } from '../../archive/read/open.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { BACKUPS, catalogKey, sourceSignatureKey, UPLOADS } from '../../aws/keys.ts';
import { KmsUnavailableError } from '../../aws/signing-key.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import {
  checkSignatures,
  type GivenSignature,
  knowsKeys,
  readSignature,
  recordedSignature,
  type SignatureKeys,
  signaturesOf,
} from '../../catalog/signature.ts';
import { describeError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import { SignatureCheck } from '../../core/signature.ts';
import type { Environment } from '../environment.ts';
import { openSource } from './open-source.ts';
import type { AdmittedRestore } from './plan.ts';

/** The archive of a restore before its inspection. */
type Restore = Pick<
  AdmittedRestore,
  'job_id' | 'target' | 'source' | 'backup_id' | 'options' | 'rollback_of' | 'signature'
>;

/**
 * Checks the signature of the archive that a restore reads, and records the result for the later legs of the
 * inspection. Nothing is checked if neither the deployment nor the request has to do with signatures.
 *
 * @param manifest  the bytes of the archive's own `manifest.json`, if it was rewritten
 */
export async function checkSignature(
  { bucket, config }: Environment,
  restore: Restore,
  manifest: Buffer | undefined,
  keys: SignatureKeys,
): Promise<SignatureCheck | undefined> {
  const isRequired = restore.options.require_signature || config.signatures?.required;
  if (!knowsKeys(keys) && !isRequired && restore.signature === undefined) return undefined;
  const bytes = manifest ?? (await readManifestBytes(await openSource(bucket, restore.source)));
  const check: SignatureCheck =
    bytes === undefined ? { state: 'unsigned' } : await checkGiven(bucket, restore, bytes, keys);
  await bucket.writeRecord(sourceSignatureKey(restore.job_id), check);
  return check;
}

/** The recorded result. Undefined if there was nothing to check. */
export async function readSignatureCheck(bucket: Bucket, jobId: string): Promise<SignatureCheck | undefined> {
  return (await bucket.readRecord(sourceSignatureKey(jobId), SignatureCheck))?.value;
}

async function checkGiven(
  bucket: Bucket,
  restore: Restore,
  manifest: Buffer,
  keys: SignatureKeys,
): Promise<SignatureCheck> {
  try {
    const check = await checkSignatures(manifest, await givenSignatures(bucket, restore), keys);
    if (check.state !== 'unsigned' || !restore.source.key.startsWith(UPLOADS)) return check;
    return await checkCatalogued(bucket, manifest, keys);
  } catch (error) {
    // The target may hold half of an archive: its safety backup is restored even if KMS cannot be reached.
    if (restore.rollback_of === undefined || !(error instanceof KmsUnavailableError)) throw error;
    return { state: 'unchecked', problem: describeError(error) };
  }
}

/** The signatures that came with the archive: those of the catalog, or those of the upload. */
async function givenSignatures(
  bucket: Bucket,
  { source, signature, backup_id, rollback_of }: Restore,
): Promise<GivenSignature[]> {
  const { key } = source;
  if (key.startsWith(BACKUPS) && backup_id !== undefined) {
    const record = (await bucket.readRecord(catalogKey(backup_id), CatalogRecord))?.value;
    // Who can replace the object beside the archive must not be able to prevent a rollback.
    if (rollback_of !== undefined) return record ? recordedSignature(record) : [];
    return record ? signaturesOf(bucket, record) : [];
  }
  if (!key.startsWith(UPLOADS)) return [];
  const beside = await readSignature(bucket, key);
  return [
    ...(signature === undefined ? [] : [{ bytes: Buffer.from(signature, 'base64') }]),
    ...(beside ? [beside] : []),
  ];
}

/**
 * Whether an upload without a signature is a backup of the catalog, whose record has one for this manifest. The
 * uploaded manifest only selects the record.
 */
async function checkCatalogued(
  bucket: Bucket,
  manifest: Buffer,
  keys: SignatureKeys,
): Promise<SignatureCheck> {
  const unsigned: SignatureCheck = { state: 'unsigned' };
  const id = backupIdOf(manifest);
  const record =
    id === undefined ? undefined : (await bucket.readRecord(catalogKey(id), CatalogRecord))?.value;
  if (!record) return unsigned;
  const check = await checkSignatures(manifest, recordedSignature(record), keys);
  return check.state === 'valid' ? check : unsigned;
}

function backupIdOf(manifest: Buffer): string | undefined {
  try {
    return z.looseObject({ backup_id: Id }).safeParse(JSON.parse(manifest.toString())).data?.backup_id;
  } catch {
    // Not JSON: the inspection reports it.
    return undefined;
  }
}

/**
 * Why a restore is refused because of the signature of its archive, as text. A rollback is refused for a forged or
 * damaged archive only: any other refusal would leave an incomplete target.
 */
export function signatureProblem(
  { config }: Pick<Environment, 'config'>,
  { target, options, rollback_of }: Pick<Restore, 'target' | 'options' | 'rollback_of'>,
  check: SignatureCheck | undefined,
): string | undefined {
  if (check?.state === 'invalid') return `the signature of the archive is invalid: ${check.problem}`;
  // The self-test restores archives that it has just made up.
  const isRequired = config.signatures?.required && target !== SELFTEST_TARGET;
  if (rollback_of !== undefined || !(options.require_signature || isRequired)) return undefined;
  if (check?.state === 'valid') return undefined;
  const by = options.require_signature ? 'the request' : 'this deployment';
  const why =
    check?.problem === undefined ? 'the archive has none' : `the signature is not valid: ${check.problem}`;
  return `${by} requires a valid signature, and ${why}`;
}

/** Why relationships may not be deferred: nobody signs the archive that keeps them. Undefined if they may. */
export function deferralProblem(
  { config }: Pick<Environment, 'config'>,
  { options }: Pick<Restore, 'options'>,
): string | undefined {
  if (!config.signatures?.required || options.dangling !== 'defer') return undefined;
  return 'this deployment requires signatures, and would refuse to attach deferred relationships; choose "dangling": "stitch" or "prune"';
}

/** What an operator should know about a signature that is not valid, but does not prevent the restore. */
export function signatureWarning(check: SignatureCheck | undefined): string[] {
  if (check?.state !== 'unknown_key' && check?.state !== 'unchecked') return [];
  return [`the signature of the archive could not be checked: ${check.problem}`];
}
