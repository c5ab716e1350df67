import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { readManifestBytes } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { archiveKey, catalogKey, signatureKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { deleteBackup } from '../../shared/operations/delete-backup.ts';
import { rebuildCatalog } from '../../shared/operations/rebuild-catalog.ts';
import { recoverability } from '../../shared/operations/recoverability.ts';
import { showSigningKey } from '../../shared/operations/signing-key.ts';
import { verifyBackup } from '../../shared/operations/verify-backup.ts';
import { makeArchive } from '../support/archive.ts';
import { catalogRecord, catalogue } from '../support/catalog.ts';
import { failingKey, sha256, signingPair } from '../support/signing.ts';
import { freshContext } from './context.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';
const own = signingPair();
const former = signingPair('arn:aws:kms:eu-central-1:000000000000:key/former');
let context: OperationsContext;
let archive: Awaited<ReturnType<typeof signed>>;

/** An archive, and the signature of its manifest. */
async function signed(note?: string) {
  const { consistency, statistics, tags, tallies, stores } = catalogRecord({ backup_id: ID });
  return withManifest(
    await makeArchive({
      ...{ backup_id: ID, ngbak_version: '0.1.0', consistency, statistics, tags, tallies },
      scope: { type: 'full', stores, target: 'default' },
      ...(note === undefined ? {} : { note }),
    }),
  );
}

async function withManifest({ bytes, checksum }: { bytes: Buffer; checksum: string }) {
  const manifest = (await readManifestBytes(bufferSource('x.ngbak', bytes))) ?? Buffer.alloc(0);
  return { bytes, checksum, manifest };
}

beforeEach(async () => {
  context = { ...(await freshContext()), signatureKeys: { own: own.key, trusted: [former.publicKey] } };
  archive = await signed();
});

async function put(Key: string, Body: Uint8Array, owner = 'job'): Promise<void> {
  const { bucket } = context;
  const object = { Bucket: bucket.name, Key, Body, Metadata: { 'ngbak-owner': owner } };
  await bucket.s3.send(new PutObjectCommand({ ...object, ChecksumAlgorithm: 'CRC32' }));
}
const recorded = async () => (await context.bucket.readRecord(catalogKey(ID), CatalogRecord))?.value;

describe('a verification', () => {
  /** A catalogued backup, with a signature of these bytes in its record. */
  async function verify(pair: typeof own, signedManifest?: Buffer) {
    // Without counts, which its content does not have.
    const { bytes, checksum, manifest } = await withManifest(await makeArchive({ backup_id: ID }));
    const base = catalogRecord({ backup_id: ID });
    await catalogue(
      context.bucket,
      {
        backup_id: ID,
        archive: { ...base.archive, bytes: bytes.length, checksum },
        signature: {
          ...{ key_id: pair.arn, algorithm: 'ECDSA_SHA_256', manifest_sha256: sha256(manifest) },
          value: pair.sign(signedManifest ?? manifest).toString('base64'),
        },
      },
      bytes,
    );
    return verifyBackup(context, ID, { cursor: null, timeLeft: () => 60_000 });
  }
  const foreign = signingPair('arn:aws:kms:eu-central-1:000000000000:key/foreign');

  test.each([
    ['the deployment', own],
    ['a former deployment', former],
  ])('reports a signature by the key of %s', async (_whose, pair) => {
    expect(await verify(pair)).toMatchObject({
      ...{ is_valid: true, errors: [] },
      signature: { state: 'valid', key: pair.fingerprint },
      metadata: { verification: { state: 'verified' } },
    });
  });

  test('reports a signature of another archive as damage', async () => {
    const problem = expect.stringContaining('the signature is invalid');
    expect(await verify(own, archive.manifest)).toMatchObject({
      ...{ is_valid: false, errors: [problem] },
      metadata: { verification: { state: 'damaged', problems: [problem] } },
    });
  });

  test('does not take an unknown key or one that cannot be used for damage', async () => {
    expect(await verify(foreign)).toMatchObject({ is_valid: true, signature: { state: 'unknown_key' } });
    context = { ...context, signatureKeys: { own: failingKey('DisabledException'), trusted: [] } };
    const again = await verifyBackup(context, ID, { cursor: null, timeLeft: () => 60_000 });
    expect(again).toMatchObject({ is_valid: true, signature: { state: 'unchecked' } });
  });
});

describe('rebuilding the catalog', () => {
  test.each([
    ['the key of the deployment', own],
    ['a trusted key', former],
  ])('keeps a signature of %s, and trusts the scopes of a safety backup', async (_what, pair) => {
    await put(archiveKey(ID), archive.bytes, 'safety_job');
    await put(signatureKey(archiveKey(ID)), pair.sign(archive.manifest));
    expect(await rebuildCatalog(context)).toEqual({ rebuilt: [ID], kept: 0, problems: [] });
    const record = await recorded();
    expect(record?.signature).toMatchObject({
      key_id: pair.fingerprint,
      manifest_sha256: sha256(archive.manifest),
    });
    expect(record?.unconfirmed).toBeUndefined();
  });

  test.each<[string, () => OperationsContext]>([
    ['has no signature', () => context],
    [
      'cannot be checked',
      () => ({ ...context, signatureKeys: { own: failingKey('DisabledException'), trusted: [] } }),
    ],
    ['is in a deployment without signatures', () => ({ ...context, signatureKeys: { trusted: [] } })],
  ])('does not trust the scopes of a safety backup that %s', async (what, from) => {
    await put(archiveKey(ID), archive.bytes, 'safety_job');
    if (what !== 'has no signature') await put(signatureKey(archiveKey(ID)), own.sign(archive.manifest));
    expect((await rebuildCatalog(from())).rebuilt).toEqual([ID]);
    expect(await recorded()).toMatchObject({ job_id: 'safety_job', unconfirmed: true });
    expect((await recorded())?.signature).toBeUndefined();
  });

  test('creates no record for an archive that was replaced', async () => {
    await put(archiveKey(ID), archive.bytes);
    await put(signatureKey(archiveKey(ID)), own.sign((await signed('other')).manifest));
    const { rebuilt, problems } = await rebuildCatalog(context);
    expect(rebuilt).toEqual([]);
    expect(problems).toEqual([{ backup_id: ID, problem: expect.stringContaining('is invalid') }]);
    expect(await recorded()).toBeUndefined();
  });
});

test('a target whose newest good backup lacks a required signature is not recoverable', async () => {
  const requiring = (required: boolean) => ({
    ...context,
    config: NgbakConfig.parse({ targets: { default: { stores: {} } }, signatures: { required } }),
  });
  const codes = async (required: boolean) =>
    (await recoverability(requiring(required))).targets.flatMap(({ reasons }) =>
      reasons.map(({ code }) => code),
    );
  await catalogue(context.bucket, { backup_id: ID, created_at: new Date().toISOString() }, archive.bytes);
  expect(await codes(true)).toContain('signature-missing');
  expect(await codes(false)).not.toContain('signature-missing');
  await put(signatureKey(archiveKey(ID)), own.sign(archive.manifest));
  expect(await codes(true)).not.toContain('signature-missing');
});

test('a deleted backup leaves no signature, and its bytes are counted', async () => {
  await catalogue(context.bucket, { backup_id: ID }, archive.bytes);
  const signature = own.sign(archive.manifest);
  await put(signatureKey(archiveKey(ID)), signature);
  await put(signatureKey(archiveKey(ID)), signature);
  const { bytes_freed } = await deleteBackup(context, ID);
  expect(bytes_freed).toBeGreaterThan(archive.bytes.length + 2 * signature.length);
  const keys: string[] = [];
  for await (const { key } of context.bucket.keys('backups/')) keys.push(key);
  expect(keys).toEqual([]);
  for (const key of [archiveKey(ID), signatureKey(archiveKey(ID))]) {
    expect((await context.bucket.versions(key).next()).done).toBe(true);
  }
});

test('the public key is shown in PEM, with the fingerprints of trusted ones; without signatures, there is none', async () => {
  expect(await showSigningKey(context)).toEqual({
    ...{ key_id: own.arn, algorithm: 'ECDSA_SHA_256', public_key: own.pem, fingerprint: own.fingerprint },
    trusted: [former.fingerprint],
  });
  await expect(showSigningKey(await freshContext())).rejects.toThrow(
    'This deployment does not sign archives',
  );
});
