/**
 * Signatures of archives (docs/adr/0018-signatures.md). Signed are the bytes of `manifest.json`, which state backup and
 * target, and the checksum of every entry.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { GetObjectCommand, NoSuchKey, PutObjectCommand } from '@aws-sdk/client-s3';
import { fingerprintOf, isSignedBy, parsePublicKey } from '../archive/format/signature.ts';
import { readManifestBytes } from '../archive/read/open.ts';
import { s3Source } from '../archive/read/sources.ts';
import type { Bucket } from '../aws/bucket.ts';
import { signatureKey } from '../aws/keys.ts';
import { sendS3 } from '../aws/send-s3.ts';
import { SigningKey, SigningKeyError } from '../aws/signing-key.ts';
import type { NgbakConfig } from '../core/config.ts';
import { describeError, IntegrityError } from '../core/errors.ts';
import { type ArchiveSignature, SIGNATURE_BYTES_MAX, type SignatureCheck } from '../core/signature.ts';
import type { CatalogRecord } from './record.ts';

/** The keys whose signatures are valid. They never come from the bucket. */
export interface SignatureKeys {
  /** The key of this deployment. Absent if it does not sign. */
  readonly own?: SigningKey | undefined;
  /** Public keys of other deployments, and former ones of this deployment. */
  readonly trusted: readonly KeyObject[];
}

/** A signature that was found for an archive. */
export interface GivenSignature {
  /** DER. */
  readonly bytes: Uint8Array;
  /** What the catalog record states in addition. */
  readonly record?: Pick<ArchiveSignature, 'key_id' | 'manifest_sha256'>;
}

/** The keys of a deployment, from its configuration and the ARN of its key. Throws InvalidInputError. */
export function signatureKeys(config: NgbakConfig | undefined, arn: string | undefined): SignatureKeys {
  const trusted = config?.signatures?.trusted_keys ?? [];
  return {
    ...(arn === undefined || arn === '' ? {} : { own: new SigningKey(arn) }),
    trusted: trusted.map((pem, index) => parsePublicKey(pem, `Trusted key ${index + 1}`)),
  };
}

/** Whether any key is known, so that signatures can be checked. */
export function knowsKeys({ own, trusted }: SignatureKeys): boolean {
  return own !== undefined || trusted.length > 0;
}

/**
 * Signs a sealed archive: writes `backups/<id>.ngbak.sig`, and returns the signature for the catalog record. It was
 * compared with the public key of KMS. Throws KmsUnavailableError or SigningKeyError.
 */
export async function signArchive(
  bucket: Bucket,
  { key, version_id }: Pick<CatalogRecord['archive'], 'key' | 'version_id'>,
  signer: SigningKey,
): Promise<ArchiveSignature> {
  const manifest = await readManifestBytes(await s3Source(bucket.s3, bucket.name, key, version_id));
  if (manifest === undefined) {
    throw new IntegrityError(`s3://${bucket.place}/${key} has no footer.`, {
      remedy: 'The unfinished backup was removed. Start it again, and report it as a bug in ngbak.',
    });
  }
  const signature = await signer.sign(manifest);
  if (!isSignedBy(manifest, signature, await signer.publicKey())) {
    throw new IntegrityError(
      `The signature that KMS made with ${signer.arn} does not match its public key.`,
      {
        remedy: 'The unfinished backup was removed. Start it again, and check that the key is ECC_NIST_P256.',
      },
    );
  }
  await sendS3(
    bucket.s3,
    'write',
    new PutObjectCommand({
      Bucket: bucket.name,
      Key: signatureKey(key),
      Body: signature,
      ContentType: 'application/octet-stream',
    }),
  );
  return {
    key_id: signer.arn,
    algorithm: 'ECDSA_SHA_256',
    value: Buffer.from(signature).toString('base64'),
    manifest_sha256: sha256(manifest),
  };
}

/** The signature beside an archive. Undefined if there is none. A longer object is returned as an invalid signature. */
export async function readSignature(bucket: Bucket, key: string): Promise<GivenSignature | undefined> {
  const command = new GetObjectCommand({
    Bucket: bucket.name,
    Key: signatureKey(key),
    Range: `bytes=0-${SIGNATURE_BYTES_MAX}`,
  });
  // 416: an empty object has no range.
  const found = await sendS3(bucket.s3, 'read', command, { expected: ['NoSuchKey', 416] }).catch((error) => {
    if (error instanceof NoSuchKey) return undefined;
    if (Reflect.get(error, '$metadata')?.httpStatusCode === 416) return { Body: undefined };
    throw error;
  });
  return found && { bytes: (await found.Body?.transformToByteArray()) ?? new Uint8Array() };
}

/** The signature in a catalog record, if it has one. */
export function recordedSignature({ signature }: Pick<CatalogRecord, 'signature'>): GivenSignature[] {
  return signature ? [{ bytes: Buffer.from(signature.value, 'base64'), record: signature }] : [];
}

/** The signatures of a catalogued backup: that of its record, and the one beside its archive. */
export async function signaturesOf(
  bucket: Bucket,
  record: Pick<CatalogRecord, 'signature' | 'archive'>,
): Promise<GivenSignature[]> {
  const beside = await readSignature(bucket, record.archive.key);
  return [...recordedSignature(record), ...(beside ? [beside] : [])];
}

/**
 * Checks the signatures of an archive. All of them must be valid. Throws KmsUnavailableError if the public key
 * cannot be read for now.
 *
 * @param manifest  the bytes of `manifest.json`
 */
export async function checkSignatures(
  manifest: Uint8Array,
  given: readonly GivenSignature[],
  keys: SignatureKeys,
): Promise<SignatureCheck> {
  const checks: SignatureCheck[] = [];
  for (const signature of given) checks.push(await checkSignature(manifest, signature, keys));
  const first = (state: SignatureCheck['state']) => checks.find((check) => check.state === state);
  return (
    first('invalid') ?? first('unchecked') ?? first('unknown_key') ?? first('valid') ?? { state: 'unsigned' }
  );
}

async function checkSignature(
  manifest: Uint8Array,
  { bytes, record }: GivenSignature,
  { own, trusted }: SignatureKeys,
): Promise<SignatureCheck> {
  if (record && record.manifest_sha256 !== sha256(manifest)) {
    return { state: 'invalid', problem: 'it was made for another manifest' };
  }
  // First, because it needs no call: with its own public key among them, a deployment does not depend on KMS.
  const key = trusted.find((known) => isSignedBy(manifest, bytes, known));
  if (key) return { state: 'valid', key: fingerprintOf(key) };
  const isForeign = record !== undefined && record.key_id !== own?.arn;
  if (own === undefined && (trusted.length === 0 || isForeign)) return unknownKey(record?.key_id);
  if (own !== undefined) {
    const read = await readPublic(own);
    if (typeof read === 'string') return { state: 'unchecked', problem: read };
    if (isSignedBy(manifest, bytes, read)) return { state: 'valid', key: fingerprintOf(read) };
    if (isForeign) return unknownKey(record.key_id);
  }
  return { state: 'invalid', problem: 'it was not made for this archive by a known key' };
}

/** The public key, or why it cannot be read. Temporary failures are thrown. */
async function readPublic(own: SigningKey): Promise<KeyObject | string> {
  try {
    return await own.publicKey();
  } catch (error) {
    if (!(error instanceof SigningKeyError)) throw error;
    return describeError(error);
  }
}

function unknownKey(id: string | undefined): SignatureCheck {
  return {
    state: 'unknown_key',
    problem: `it was made with ${id ?? 'a key'}, which this deployment does not know`,
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
