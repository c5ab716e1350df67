import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { fingerprintOf, isSignedBy, parsePublicKey } from '../../shared/archive/format/signature.ts';
import { readManifestBytes } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { normalizeArchive } from '../../shared/archive/write/normalize.ts';
import { KmsUnavailableError, SigningKey, SigningKeyError } from '../../shared/aws/signing-key.ts';
import { checkSignatures } from '../../shared/catalog/signature.ts';
import { HELP } from '../../shared/core/help.ts';
import { missing, testUnless } from '../conditions.ts';
import { makeArchive } from '../support/archive.ts';
import { failingKey, sha256, signingPair } from '../support/signing.ts';

const MANIFEST = Buffer.from('{"backup_id":"snapshot_1","scope":{"target":"default"}}');
const OTHER = Buffer.from('{"backup_id":"snapshot_2","scope":{"target":"default"}}');
const own = signingPair();
const former = signingPair('arn:aws:kms:eu-central-1:000000000000:key/former');
const foreign = signingPair('arn:aws:kms:eu-central-1:000000000000:key/unknown');
const keys = { own: own.key, trusted: [former.publicKey] };
/** The signature in a catalog record. */
const recorded = ({ arn, sign }: ReturnType<typeof signingPair>, signed = MANIFEST, digestOf = signed) => ({
  bytes: sign(signed),
  record: { key_id: arn, manifest_sha256: sha256(digestOf) },
});

test('a signature is valid if the key of the deployment or a trusted key made it for this manifest', async () => {
  for (const pair of [own, former]) {
    for (const given of [{ bytes: pair.sign(MANIFEST) }, recorded(pair)]) {
      expect(await checkSignatures(MANIFEST, [given], keys)).toEqual({
        state: 'valid',
        key: pair.fingerprint,
      });
    }
  }
});

test.each([
  ['of another backup', { bytes: own.sign(OTHER) }],
  ['of another backup, recorded for this one', recorded(own, OTHER, MANIFEST)],
  ['recorded for another manifest', recorded(own, OTHER)],
  ['of an unknown key', { bytes: foreign.sign(MANIFEST) }],
  ['recorded with the key of the deployment, made by another', recorded({ ...foreign, arn: own.arn })],
  ['that is not DER', { bytes: Buffer.from('not a signature') }],
  ['that is empty', { bytes: Buffer.alloc(0) }],
  ['that is longer than any', { bytes: Buffer.concat([own.sign(MANIFEST), Buffer.alloc(200)]) }],
  ['with a byte after its end', { bytes: Buffer.concat([own.sign(MANIFEST), Buffer.alloc(1)]) }],
])('a signature %s is invalid', async (_what, given) => {
  expect(await checkSignatures(MANIFEST, [given], keys)).toMatchObject({ state: 'invalid' });
  // A valid one beside it does not make up for it.
  const both = [{ bytes: own.sign(MANIFEST) }, given];
  expect(await checkSignatures(MANIFEST, both, keys)).toMatchObject({ state: 'invalid' });
});

test('a signature is of an unknown key if the record names another key, or if no key is known at all', async () => {
  const unknown = { state: 'unknown_key', problem: expect.stringContaining('does not know') };
  expect(await checkSignatures(MANIFEST, [recorded(foreign)], keys)).toEqual(unknown);
  expect(await checkSignatures(MANIFEST, [{ bytes: own.sign(MANIFEST) }], { trusted: [] })).toEqual(unknown);
  expect(await checkSignatures(MANIFEST, [], keys)).toEqual({ state: 'unsigned' });
});

test.each(['DisabledException', 'KMSInvalidStateException', 'NotFoundException', 'AccessDeniedException'])(
  'with %s from KMS, a signature is unchecked, and a copy of the public key still verifies it',
  async (name) => {
    const lost = failingKey(name);
    await expect(lost.sign(MANIFEST)).rejects.toThrow(SigningKeyError);
    await expect(lost.sign(MANIFEST)).rejects.toMatchObject({ retryable: false, help: HELP.signingKey });
    const given = [{ bytes: own.sign(MANIFEST) }];
    expect(await checkSignatures(MANIFEST, given, { own: lost, trusted: [] })).toMatchObject({
      state: 'unchecked',
      problem: expect.stringContaining(name),
    });
    expect(await checkSignatures(MANIFEST, given, { own: lost, trusted: [own.publicKey] })).toEqual({
      state: 'valid',
      key: own.fingerprint,
    });
  },
);

test.each<[string, number]>([
  ['ThrottlingException', 400],
  ['KMSInternalException', 500],
  ['DependencyTimeoutException', 503],
])('%s from KMS is retried', async (name, status) => {
  const busy = failingKey(name, status);
  await expect(busy.sign(MANIFEST)).rejects.toThrow(KmsUnavailableError);
  await expect(busy.sign(MANIFEST)).rejects.toMatchObject({ retryable: true });
  const given = [{ bytes: own.sign(MANIFEST) }];
  await expect(checkSignatures(MANIFEST, given, { own: busy, trusted: [] })).rejects.toThrow(
    KmsUnavailableError,
  );
});

test('the public key is read from KMS once', async () => {
  let calls = 0;
  const der = own.publicKey.export({ type: 'spki', format: 'der' });
  const publicKey = async () => {
    calls++;
    return der;
  };
  const key = new SigningKey(own.arn, async () => ({ sign: async () => new Uint8Array(), publicKey }));
  expect(fingerprintOf(await key.publicKey())).toBe(own.fingerprint);
  await key.publicKey();
  expect(calls).toBe(1);
});

test('only public keys of P-256 are trusted', () => {
  const pem = (pair: ReturnType<typeof generateKeyPairSync>, part: 'publicKey' | 'privateKey') =>
    pair[part].export({ type: part === 'publicKey' ? 'spki' : 'pkcs8', format: 'pem' }).toString();
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  expect(fingerprintOf(parsePublicKey(own.pem, 'It'))).toBe(own.fingerprint);
  expect(() => parsePublicKey(pem(p384, 'publicKey'), 'It')).toThrow('It is not a key of the curve P-256');
  expect(() => parsePublicKey(pem(rsa, 'publicKey'), 'It')).toThrow('It is not a key of the curve P-256');
  expect(() => parsePublicKey(pem(p256, 'privateKey'), 'It')).toThrow('It is not a public key in PEM');
  expect(() => parsePublicKey('x', 'It')).toThrow('It is not a public key in PEM');
});

test('an archive that was repacked keeps the signed manifest', async () => {
  const { bytes } = await makeArchive({ backup_id: 'snapshot_1' });
  const signed = await readManifestBytes(bufferSource('x.ngbak', bytes));
  // Without its footer, an archive is read as one that another tool packed.
  const repacked = bufferSource('y.ngbak', bytes.subarray(0, bytes.length - 90));
  let original: Buffer | undefined;
  const rewritten = normalizeArchive(repacked, {
    original: (manifest) => {
      original = manifest;
    },
  });
  while (!(await rewritten.next()).done);
  expect(await readManifestBytes(repacked)).toBeUndefined();
  expect(original?.equals(signed ?? Buffer.alloc(0))).toBe(true);
});

testUnless(
  missing('openssl', 'version'),
  'openssl and tar verify an archive as the documentation describes, and notice a changed manifest',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-signature-'));
    try {
      const { bytes } = await makeArchive({ backup_id: 'snapshot_1' });
      const manifest = (await readManifestBytes(bufferSource('x.ngbak', bytes))) ?? Buffer.alloc(0);
      await writeFile(join(folder, 'x.ngbak'), bytes);
      await writeFile(join(folder, 'x.ngbak.sig'), own.sign(manifest));
      await writeFile(join(folder, 'key.pem'), own.pem);
      const page = await readFile(new URL('../../docs/format.md', import.meta.url), 'utf8');
      const script = /<!-- example:signature -->\n```sh\n([^`]+)```/.exec(page)?.[1] ?? 'exit 9';
      const run = () =>
        execFileSync('bash', ['-euo', 'pipefail', '-c', script], {
          cwd: folder,
          encoding: 'utf8',
          stdio: 'pipe',
        });
      expect(run()).toMatch(/^Verified OK\n(.+: OK\n)+$/);
      const sums = execFileSync('bash', ['-c', 'openssl pkey -pubin -in key.pem -outform DER | sha256sum'], {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(`sha256:${sums.split(' ')[0]}`).toBe(own.fingerprint);
      // Other data with its own digests, below the signed manifest.
      const forge =
        "echo '{}' > kv/full_docs.json; sha256sum graph/* kv/* > SHA256SUMS; tar -czf x.ngbak graph kv index.jsonl SHA256SUMS manifest.json";
      execFileSync('bash', ['-euc', forge], { cwd: folder });
      expect(run).toThrow();
      const forged = await makeArchive({ backup_id: 'snapshot_1', note: 'forged' });
      await writeFile(join(folder, 'x.ngbak'), forged.bytes);
      expect(run).toThrow();
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

test('a signature is of the exact bytes', () => {
  const signature = own.sign(MANIFEST);
  expect(isSignedBy(MANIFEST, signature, own.publicKey)).toBe(true);
  expect(isSignedBy(Buffer.concat([MANIFEST, Buffer.from('\n')]), signature, own.publicKey)).toBe(false);
});
