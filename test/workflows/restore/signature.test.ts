import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { readManifestBytes } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import { admittedRestoreKey, archiveKey, signatureKey } from '../../../shared/aws/keys.ts';
import { KmsUnavailableError } from '../../../shared/aws/signing-key.ts';
import type { SignatureKeys } from '../../../shared/catalog/signature.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { relatedJobId } from '../../../shared/core/job-ids.ts';
import { SELFTEST_TARGET } from '../../../shared/core/selftest.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { cleanUpAfter } from '../../../shared/workflows/janitor/janitor.ts';
import { admitRestore } from '../../../shared/workflows/restore/admit.ts';
import { inspectArchive } from '../../../shared/workflows/restore/inspect.ts';
import { readInspection } from '../../../shared/workflows/restore/inspection.ts';
import { readAdmitted } from '../../../shared/workflows/restore/plan.ts';
import { createRestoreRequest, RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { readSignatureCheck } from '../../../shared/workflows/restore/signature.ts';
import { buildArchive, DRAFT } from '../../archive/build.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { catalogue } from '../../support/catalog.ts';
import { makeFilesStore } from '../../support/files-target.ts';
import { admit } from '../../support/restore-records.ts';
import { failingKey, sha256, signingPair } from '../../support/signing.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';
const UPLOAD = 'uploads/default/x.ngbak';
const LEG = { timeLeft: () => 60_000, signal: new AbortController().signal };
const own = signingPair();
const keys = { own: own.key, trusted: [] };
const disabled = { own: failingKey('DisabledException'), trusted: [] };
const unreachable = { own: failingKey('DependencyTimeoutException', 503), trusted: [] };
/** An archive, and the manifest that is signed. */
async function archiveOf(draft: object = {}) {
  const scope = { type: 'full' as const, stores: ['kv' as const], target: 'default' };
  const bytes = await buildArchive([], {
    draft: { ...DRAFT, storage_backends: { kv: { kind: 'files' } }, backup_id: ID, scope, ...draft },
  });
  const manifest = (await readManifestBytes(bufferSource('x.ngbak', bytes))) ?? Buffer.alloc(0);
  return { bytes, manifest, signature: own.sign(manifest) };
}
type Signed = Awaited<ReturnType<typeof archiveOf>>;

let environment: Environment;
let archive: Signed;
let forged: Signed;
beforeEach(async () => {
  environment = await freshEnvironment({ default: { stores: { kv: { kind: 'redis', secret: 'k' } } } });
  archive = await archiveOf();
  forged = await archiveOf({ note: 'forged' });
});

const put = (Key: string, Body: Uint8Array) =>
  environment.bucket.s3.send(new PutObjectCommand({ Bucket: environment.bucket.name, Key, Body }));
const recordOf = ({ manifest, signature }: Signed, key_id = own.arn) => ({
  key_id,
  algorithm: 'ECDSA_SHA_256' as const,
  value: signature.toString('base64'),
  manifest_sha256: sha256(manifest),
});
/** A backup in the catalog, as it was signed. */
async function putBackup(bytes: Uint8Array, signature?: ReturnType<typeof recordOf>): Promise<object> {
  await catalogue(environment.bucket, { backup_id: ID, ...(signature ? { signature } : {}) }, bytes);
  return { source: { bucket: environment.bucket.name, key: archiveKey(ID) }, backup_id: ID };
}
async function putUpload(bytes: Uint8Array): Promise<object> {
  await put(UPLOAD, bytes);
  return { source: { bucket: environment.bucket.name, key: UPLOAD } };
}
function require(): void {
  const { targets } = environment.config;
  environment = { ...environment, config: NgbakConfig.parse({ targets, signatures: { required: true } }) };
}
/** The first leg of the inspection, and what it has recorded about the signature. */
async function inspect(restore: object, known: SignatureKeys = keys) {
  await admit(environment, restore);
  await inspectArchive(environment, { job_id: 'job', cursor: null, done: false }, LEG, known);
  return readSignatureCheck(environment.bucket, 'job');
}
const REQUIRED = { options: { require_signature: true } };
const VALID = { state: 'valid', key: own.fingerprint };

describe('a backup of the catalog', () => {
  test('with a valid signature is restored if one is required', async () => {
    require();
    expect(await inspect({ ...(await putBackup(archive.bytes, recordOf(archive))), ...REQUIRED })).toEqual(
      VALID,
    );
  });

  test('is also valid by the signature beside it, if its record has none', async () => {
    await put(signatureKey(archiveKey(ID)), archive.signature);
    expect(await inspect({ ...(await putBackup(archive.bytes)), ...REQUIRED })).toEqual(VALID);
  });

  test.each<[string, () => Promise<object>]>([
    ['whose archive was replaced', () => putBackup(forged.bytes, recordOf(archive))],
    [
      'whose record has the signature of another backup',
      () => putBackup(archive.bytes, { ...recordOf(archive), value: forged.signature.toString('base64') }),
    ],
    [
      'beside which the signature was replaced',
      async () => {
        await put(signatureKey(archiveKey(ID)), forged.signature);
        return putBackup(archive.bytes, recordOf(archive));
      },
    ],
    [
      'beside which a large object is',
      async () => {
        await put(signatureKey(archiveKey(ID)), Buffer.alloc(1024 ** 2, 'x'));
        return putBackup(archive.bytes, recordOf(archive));
      },
    ],
  ])('%s is refused even if no signature is required', async (_what, given) => {
    await expect(inspect(await given())).rejects.toThrow('the signature of the archive is invalid');
  });

  test('without a signature is refused only if one is required', async () => {
    const restore = await putBackup(archive.bytes);
    expect(await inspect(restore)).toEqual({ state: 'unsigned' });
    await expect(inspect({ ...restore, ...REQUIRED })).rejects.toThrow(
      'the request requires a valid signature, and the archive has none',
    );
    require();
    await expect(inspect(restore)).rejects.toThrow('this deployment requires a valid signature');
    // The archives of the self-test are made up by the CLI.
    expect(await inspect({ ...restore, target: SELFTEST_TARGET })).toEqual({ state: 'unsigned' });
  });

  test('of an unknown key is refused only if a valid signature is required', async () => {
    const restore = await putBackup(archive.bytes, recordOf(archive, 'arn:former'));
    const other = { own: signingPair().key, trusted: [] };
    expect(await inspect(restore, other)).toMatchObject({ state: 'unknown_key' });
    await expect(inspect({ ...restore, ...REQUIRED }, other)).rejects.toThrow('arn:former');
  });

  test('is restored if the signing key is disabled, unless a valid signature is required', async () => {
    const restore = await putBackup(archive.bytes, recordOf(archive, disabled.own.arn));
    expect(await inspect(restore, disabled)).toMatchObject({ state: 'unchecked' });
    await expect(inspect({ ...restore, ...REQUIRED }, disabled)).rejects.toThrow('DisabledException');
  });

  test('is inspected again later if KMS does not answer', async () => {
    const restore = await putBackup(archive.bytes, recordOf(archive));
    await expect(inspect(restore, unreachable)).rejects.toThrow(KmsUnavailableError);
  });

  test('is not looked at by a deployment that does not use signatures', async () => {
    await put(signatureKey(archiveKey(ID)), forged.signature);
    expect(await inspect(await putBackup(archive.bytes), { trusted: [] })).toBeUndefined();
  });
});

describe('an upload', () => {
  test('is valid by the signature that was sent with the request, or uploaded beside it before', async () => {
    const restore = await putUpload(archive.bytes);
    const signature = archive.signature.toString('base64');
    expect(await inspect({ ...restore, ...REQUIRED, signature })).toEqual(VALID);
    await put(signatureKey(UPLOAD), archive.signature);
    expect(await inspect({ ...restore, ...REQUIRED })).toEqual(VALID);
  });

  test('with the signature of another archive is refused even if none is required', async () => {
    const restore = await putUpload(archive.bytes);
    const signature = forged.signature.toString('base64');
    await expect(inspect({ ...restore, signature })).rejects.toThrow(
      'the signature of the archive is invalid',
    );
    await put(signatureKey(UPLOAD), forged.signature);
    await expect(inspect(restore)).rejects.toThrow('the signature of the archive is invalid');
  });

  test('without a signature is valid if it is a signed backup of the catalog, and not if it only has its name', async () => {
    await putBackup(archive.bytes, recordOf(archive));
    expect(await inspect({ ...(await putUpload(archive.bytes)), ...REQUIRED })).toEqual(VALID);
    const restore = await putUpload(forged.bytes);
    await expect(inspect({ ...restore, ...REQUIRED })).rejects.toThrow('the archive has none');
    expect(await inspect(restore)).toEqual({ state: 'unsigned' });
  });

  test('that was repacked is valid by the signature of the original', async () => {
    const restore = await putUpload(archive.bytes.subarray(0, archive.bytes.length - 90));
    const signature = archive.signature.toString('base64');
    expect(await inspect({ ...restore, ...REQUIRED, signature })).toEqual(VALID);
  });

  test('with a signature that no known key could have made is reported', async () => {
    const restore = await putUpload(archive.bytes);
    const signature = archive.signature.toString('base64');
    const none = { trusted: [] };
    expect(await inspect({ ...restore, signature }, none)).toMatchObject({ state: 'unknown_key' });
    await expect(inspect({ ...restore, ...REQUIRED, signature }, none)).rejects.toThrow('does not know');
  });
});

describe('a rollback', () => {
  const rollback = { rollback_of: 'failed' };

  test('restores a safety backup without a signature, and one that cannot be checked', async () => {
    require();
    const restore = { ...(await putBackup(archive.bytes, recordOf(archive, disabled.own.arn))), ...rollback };
    expect(await inspect(restore, disabled)).toMatchObject({ state: 'unchecked' });
    expect(await inspect(restore, unreachable)).toMatchObject({ state: 'unchecked' });
    expect(await inspect({ ...restore, backup_id: 'gone' })).toEqual({ state: 'unsigned' });
  });

  test('cannot be prevented by whoever can replace the signature beside the archive', async () => {
    await put(signatureKey(archiveKey(ID)), forged.signature);
    expect(await inspect({ ...(await putBackup(archive.bytes, recordOf(archive))), ...rollback })).toEqual(
      VALID,
    );
  });

  test('does not restore another archive than the signed one', async () => {
    const restore = await putBackup(forged.bytes, recordOf(archive));
    await expect(inspect({ ...restore, ...rollback })).rejects.toThrow(
      'the signature of the archive is invalid',
    );
  });
});

describe('the report of an inspection', () => {
  const inspection = async (options: object, known: SignatureKeys = keys) => {
    const { store } = await makeFilesStore('signed');
    environment = {
      ...environment,
      config: NgbakConfig.parse({
        targets: { default: { stores: { kv: store } } },
        signatures: environment.config.signatures,
      }),
    };
    const stage = async (cursor: 'format' | 'digests' | 'target', changed?: object) =>
      inspectArchive(
        environment,
        {
          job_id: 'job',
          cursor: cursor === 'digests' ? { stage: cursor, archive: null } : { stage: cursor },
          done: false,
          ...(changed ? { options: RestoreOptions.parse(changed) } : {}),
        },
        LEG,
        known,
      );
    await admit(environment, { ...(await putUpload(archive.bytes)), options });
    for (const cursor of ['format', 'digests', 'target'] as const) await stage(cursor);
    const findings = () => readInspection(environment.bucket, 'job');
    return { stage, findings };
  };

  test('of a dry run lists a missing signature as a problem', async () => {
    const { findings } = await inspection({ dry_run: true, require_signature: true });
    expect(await findings()).toMatchObject({
      archive: { signature: { state: 'unsigned' } },
      problems: [expect.stringContaining('the request requires a valid signature')],
    });
  });

  test('with other options still requires the signature that the request required', async () => {
    await put(signatureKey(UPLOAD), archive.signature);
    const { stage, findings } = await inspection({ require_signature: true });
    expect(await findings()).toMatchObject({
      problems: [],
      resolved: { options: { require_signature: true } },
    });
    await stage('target', { mode: 'merge' });
    expect((await findings()).resolved?.options).toMatchObject({ mode: 'merge', require_signature: true });
  });

  test('in a deployment that requires signatures refuses to defer what nobody could attach', async () => {
    await put(signatureKey(UPLOAD), archive.signature);
    require();
    const { findings } = await inspection({ dry_run: true, dangling: 'defer' });
    expect((await findings()).problems).toEqual([
      expect.stringContaining('would refuse to attach deferred relationships'),
    ]);
  });

  test('warns of a signature that could not be checked', async () => {
    await put(signatureKey(UPLOAD), archive.signature);
    const { findings } = await inspection({}, disabled);
    expect((await findings()).warnings).toEqual([
      expect.stringMatching(/^the signature of the archive could not be checked: .*DisabledException/),
    ]);
  });
});

describe('admission', () => {
  const execution = (name: string) => ({
    name,
    arn: `arn:aws:states:eu-central-1:000000000000:execution:restore:${name}`,
    start: new Date().toISOString(),
  });
  const uploaded = (key: string) => ({
    'detail-type': 'Object Created',
    detail: { bucket: { name: environment.bucket.name }, object: { key, size: 72, 'version-id': 'v1' } },
  });

  test('of a signature starts nothing, and keeps it for its archive', async () => {
    const key = signatureKey(UPLOAD);
    await put(key, archive.signature);
    const event = uploaded(key);
    expect(await admitRestore(environment, event, execution('sig'))).toEqual({
      admitted: false,
      reason: `${key} is a signature, not an archive.`,
    });
    const { arn } = execution('sig');
    const detail = {
      executionArn: arn,
      name: 'sig',
      status: 'SUCCEEDED',
      input: JSON.stringify(event),
    } as const;
    await cleanUpAfter(environment, { detail }, LEG);
    expect((await environment.bucket.keys(key).next()).done).toBe(false);
  });

  test('keeps the signature of the request', async () => {
    const signature = archive.signature.toString('base64');
    const request = { target: 'default', fileName: 'x.ngbak', signature };
    const { key, job_id } = await createRestoreRequest(environment.bucket, request);
    await admitRestore(environment, uploaded(key), execution('with-signature'));
    expect((await readAdmitted(environment.bucket, job_id)).signature).toBe(signature);
  });

  test('of a drill keeps its requirement, which its inspection enforces', async () => {
    await putBackup(archive.bytes);
    const drill = { backup_id: ID, require_signature: true };
    await admitRestore(environment, { drill }, execution('drill'));
    const { options } = await readAdmitted(environment.bucket, 'drill');
    expect(options.require_signature).toBe(true);
    const inspected = inspectArchive(environment, { job_id: 'drill', cursor: null, done: false }, LEG, keys);
    await expect(inspected).rejects.toThrow(
      'the request requires a valid signature, and the archive has none',
    );
  });

  test('does not trust the scopes of a safety backup whose record was rebuilt from an unsigned archive', async () => {
    const job_id = relatedJobId('safety', 'job');
    await catalogue(environment.bucket, { backup_id: 'safe', job_id, unconfirmed: true });
    await admitRestore(environment, { backup_id: 'safe' }, execution('unconfirmed'));
    expect((await readAdmitted(environment.bucket, 'unconfirmed')).saved_scopes).toBeUndefined();
  });

  test('takes the scope of deferred relationships from the plan of their restore', async () => {
    const { bucket } = environment;
    const scope = { label: 'Mine', key_property: 'id' };
    const earlier = await admit(environment, {});
    const plan = {
      ...earlier,
      ...{ archive: earlier.source, safety: 'taken' },
      routes: { graph: { scope, names: {}, changes: [] } },
    };
    await bucket.writeRecord(admittedRestoreKey('job'), plan);
    await put('deferred/job.ngbak', archive.bytes);
    environment = {
      ...environment,
      config: NgbakConfig.parse({
        targets: { default: { stores: { graph: { kind: 'neo4j', secret: 'g' } } } },
      }),
    };
    await admitRestore(environment, { attach: 'job' }, execution('attach'));
    expect((await readAdmitted(bucket, 'attach')).attach_scope).toEqual(scope);
  });
});
