import { CreateBucketCommand, GetObjectRetentionCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, expect, test } from '@jest/globals';
import { isSignedBy } from '../../../shared/archive/format/signature.ts';
import { readManifestBytes } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import { Bucket } from '../../../shared/aws/bucket.ts';
import {
  archiveKey,
  backupPlanKey,
  catalogKey,
  consistencyKey,
  sealedKey,
  signatureKey,
} from '../../../shared/aws/keys.ts';
import { KmsUnavailableError, type SigningKey, SigningKeyError } from '../../../shared/aws/signing-key.ts';
import { CatalogRecord } from '../../../shared/catalog/record.ts';
import { readSignature } from '../../../shared/catalog/signature.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { recordBackup } from '../../../shared/workflows/backup/record.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { makeArchive } from '../../support/archive.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { failingKey, sha256, signingPair } from '../../support/signing.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';
const own = signingPair();
let environment: Environment;
let manifest: Buffer;

beforeEach(async () => {
  environment = await freshEnvironment();
  await seal();
});

/** Puts the archive into the bucket as the backup has sealed it. */
async function seal(): Promise<void> {
  const { bucket } = environment;
  const { bytes, checksum } = await makeArchive({ backup_id: ID });
  manifest = (await readManifestBytes(bufferSource('x.ngbak', bytes))) ?? Buffer.alloc(0);
  const Key = archiveKey(ID);
  const put = new PutObjectCommand({ Bucket: bucket.name, Key, Body: bytes, ChecksumAlgorithm: 'CRC32' });
  const { VersionId } = await bucket.s3.send(put);
  await bucket.writeRecord(sealedKey('job'), {
    ...{ key: Key, version_id: VersionId, bytes: bytes.length, crc32: 'AAAAAA==', checksum },
    ...{ entries: 3, uncompressed_bytes: 7, statistics: {}, tallies: {} },
  });
  await bucket.writeRecord(consistencyKey('job'), { grade: 'unchanged', changes: {} });
}

/** The last step of the backup. */
async function record(signer?: SigningKey, request: object = {}) {
  const { bucket } = environment;
  await bucket.writeRecord(backupPlanKey('job'), {
    ...{ job_id: 'job', backup_id: ID, target: 'default', execution_arn: 'arn:x', type: 'full' },
    ...{ created_at: new Date().toISOString(), request, quiesced: false, stores: [] },
  });
  const { warnings } = await recordBackup(environment, 'job', signer);
  return { warnings, record: (await bucket.readRecord(catalogKey(ID), CatalogRecord))?.value };
}
const signature = () => readSignature(environment.bucket, archiveKey(ID));
const catalogued = async () => (await environment.bucket.keys(catalogKey(ID)).next()).done !== true;

test('signs the manifest of the sealed archive, in the record and beside the archive', async () => {
  const { record: written } = await record(own.key);
  expect(written?.signature).toEqual({
    ...{ key_id: own.arn, algorithm: 'ECDSA_SHA_256', manifest_sha256: sha256(manifest) },
    value: expect.any(String),
  });
  expect(isSignedBy(manifest, Buffer.from(written?.signature?.value ?? '', 'base64'), own.publicKey)).toBe(
    true,
  );
  expect(isSignedBy(manifest, (await signature())?.bytes ?? Buffer.alloc(0), own.publicKey)).toBe(true);
  // A repeated step keeps the record; its signature and the one beside the archive are both valid.
  const { record: again } = await record(own.key);
  expect(again?.signature).toEqual(written?.signature);
  expect(isSignedBy(manifest, (await signature())?.bytes ?? Buffer.alloc(0), own.publicKey)).toBe(true);
});

test('with Object Lock, the signature is locked as long as the archive', async () => {
  const bucket = new Bucket(`${environment.bucket.name}-locked`);
  await bucket.s3.send(new CreateBucketCommand({ Bucket: bucket.name, ObjectLockEnabledForBucket: true }));
  const object_lock = { mode: 'governance', days: 3 };
  const config = NgbakConfig.parse({ targets: environment.config.targets, object_lock });
  environment = { ...environment, bucket, config };
  await seal();
  await record(own.key);
  const untils = await Promise.all(
    [archiveKey(ID), signatureKey(archiveKey(ID)), catalogKey(ID)].map(async (Key) => {
      const { Retention } = await bucket.s3.send(new GetObjectRetentionCommand({ Bucket: bucket.name, Key }));
      return Retention?.RetainUntilDate?.getTime();
    }),
  );
  expect(untils[0]).toBeGreaterThan(Date.now());
  expect(new Set(untils).size).toBe(1);
});

test('without a key, nothing is signed', async () => {
  expect((await record()).record?.signature).toBeUndefined();
  expect(await signature()).toBeUndefined();
});

test('fails without a record if the archive cannot be signed, and can be repeated if KMS did not answer', async () => {
  await expect(record(failingKey('DisabledException'))).rejects.toThrow(SigningKeyError);
  await expect(record(failingKey('KMSInternalException', 500))).rejects.toThrow(KmsUnavailableError);
  expect(await catalogued()).toBe(false);
  expect((await record(own.key)).record?.signature).toBeDefined();
});

test('fails if the signature does not match the public key', async () => {
  const other = signingPair().key;
  const key = Object.assign(Object.create(own.key), { sign: (bytes: Uint8Array) => other.sign(bytes) });
  key.publicKey = () => own.key.publicKey();
  await expect(record(key)).rejects.toThrow('does not match its public key');
  expect(await catalogued()).toBe(false);
});

test.each([failingKey('DisabledException'), failingKey('KMSInternalException', 500)])(
  'a safety backup that cannot be signed is recorded with a warning, so that its restore continues',
  async (key) => {
    const part_of = { job_id: 'restore', execution_arn: 'arn:x' };
    const { record: written, warnings } = await record(key, { part_of });
    expect(written).toMatchObject({ backup_id: ID, warnings: [{ code: 'not-signed' }] });
    expect(written?.signature).toBeUndefined();
    expect(warnings).toHaveLength(1);
    expect((await environment.bucket.keys(signatureKey(archiveKey(ID))).next()).done).toBe(true);
  },
);
