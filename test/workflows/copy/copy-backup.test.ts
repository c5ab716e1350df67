/**
 * Copies of backups at S3 servers: interrupted at every call (in `npm test` at every third, from one that the seed
 * chooses), refused, and locked.
 */
import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Bucket } from '../../../shared/aws/bucket.ts';
import { archiveKey, catalogKey, signatureKey } from '../../../shared/aws/keys.ts';
import { CatalogRecord } from '../../../shared/catalog/record.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { CopyConfig } from '../../../shared/core/copies.ts';
import { crc32Base64 } from '../../../shared/core/crc32.ts';
import { type CopyBuckets, copyBackup } from '../../../shared/workflows/copy/copy-backup.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { describeS3Servers, type S3Server } from '../../archive/s3-servers.ts';
import { NIGHTLY } from '../../nightly.ts';
import { SEED } from '../../seed.ts';
import { catalogRecord } from '../../support/catalog.ts';

const MIB = 1024 ** 2;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Three parts: two of the smallest size that S3 accepts, and a rest. */
const ARCHIVE = randomBytes(10 * MIB + 1000);
/** Distance of the calls at which copies are killed. */
const KILL_STEP = NIGHTLY ? 1 : 3;
const SIGNATURE = Buffer.from('a signature');
const PREFIX = 'team/kb';

/** A process that is killed at one of its calls, before S3 receives it or after S3 has answered. */
class Kill {
  #calls = 0;
  #at = Number.POSITIVE_INFINITY;
  #after = false;
  #dead = false;

  /** Kills the next run at its call number `at`. */
  arm(at = Number.POSITIVE_INFINITY, after = false): void {
    this.#calls = 0;
    this.#at = at;
    this.#after = after;
    this.#dead = false;
  }

  get happened(): boolean {
    return this.#dead;
  }

  watch(s3: S3Client): S3Client {
    s3.middlewareStack.add(
      (next) => async (args) => {
        const isLast = ++this.#calls === this.#at;
        if (this.#dead || (isLast && !this.#after)) throw this.#die();
        const result = await next(args).catch((error: unknown) => {
          throw isLast ? this.#die() : error;
        });
        if (isLast) throw this.#die();
        return result;
      },
      { step: 'initialize', priority: 'high', name: 'kill' },
    );
    return s3;
  }

  #die(): Error {
    this.#dead = true;
    return new Error('killed');
  }
}

/** A bucket that lets a role add objects only. A policy of AWS cannot be evaluated here, only its effect. */
function denyReading(s3: S3Client): S3Client {
  s3.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        if (!/^(Get|Head|List(?!Parts))/.test(commandName ?? '')) return next(args);
        const $metadata = { httpStatusCode: 403 };
        throw new S3ServiceException({
          name: 'AccessDenied',
          $fault: 'client',
          $metadata,
          message: 'denied',
        });
      },
    { step: 'initialize', priority: 'low', name: 'deny' },
  );
  return s3;
}

describeS3Servers('copies of backups, at $name', ({ name: serverName, start }) => {
  let server: S3Server;
  let source: Bucket;
  let copies: Bucket;
  let environment: Environment;
  let open: CopyBuckets;
  let openWriteOnly: CopyBuckets;
  let ids = 0;
  const kill = new Kill();
  const unlimited = { timeLeft: () => 60_000, signal: new AbortController().signal };

  beforeAll(async () => {
    server = await start();
    const archives = await server.bucket();
    const name = `ngbak-copies-${process.pid}-${Date.now()}`;
    await archives.s3.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: true }));
    await archives.s3.send(
      new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: 'Enabled' } }),
    );
    source = new Bucket(archives.bucket, kill.watch(archives.s3));
    copies = new Bucket(`${name}/${PREFIX}`, server.client());
    const writing = new Bucket(copies.place, kill.watch(server.client()));
    const denied = new Bucket(copies.place, denyReading(kill.watch(server.client())));
    const partBytes = 5 * MIB;
    open = () => ({ destination: writing, reader: writing, partBytes });
    openWriteOnly = () => ({ destination: denied, reader: denied, partBytes });
    const config = NgbakConfig.parse({
      targets: { default: { stores: {} } },
      copies: {
        vault: { bucket: name, prefix: PREFIX, storage_class: 'STANDARD', keep_days: 30 },
        locked: { bucket: name, prefix: PREFIX, lock: { mode: 'compliance', days: 2 } },
      },
    });
    const sfn = new SFNClient({ region: 'us-east-1' });
    environment = { bucket: source, sfn, config, log: () => undefined };
  });
  afterAll(() => server.stop());

  /** Catalogues a backup with a signature. */
  async function backup(archive = ARCHIVE, crc = crc32(archive)): Promise<string> {
    kill.arm();
    const backup_id = `b-${++ids}`;
    const key = archiveKey(backup_id);
    // versitygw 1.8.0 returns the CRC-32 of the whole source for a range of it, unless the source has another checksum.
    const put = new PutObjectCommand({
      Bucket: source.name,
      Key: key,
      Body: archive,
      ChecksumAlgorithm: 'SHA256',
    });
    const { VersionId } = await source.s3.send(put);
    await source.s3.send(
      new PutObjectCommand({ Bucket: source.name, Key: signatureKey(key), Body: SIGNATURE }),
    );
    const record = catalogRecord({ backup_id });
    await source.writeRecord(catalogKey(backup_id), {
      ...record,
      archive: { ...record.archive, version_id: VersionId, bytes: archive.length, crc32: crc32Base64(crc) },
    });
    return backup_id;
  }

  const state = async (backup_id: string, name = 'vault') => {
    const record = await source.requireRecord(catalogKey(backup_id), CatalogRecord, '');
    return record.copies?.find((copy) => copy.name === name);
  };

  /** The number with which the janitor starts the next attempt. */
  async function attemptOf(backup_id: string, name: string): Promise<number> {
    const found = await source.readRecord(catalogKey(backup_id), CatalogRecord);
    return found?.value.copies?.find((copy) => copy.name === name)?.attempts ?? 0;
  }

  /** Runs the workflow's loop. Returns the number of legs. */
  async function run(backup_id: string, options: { copy?: string; open?: CopyBuckets; legs?: boolean } = {}) {
    const { copy = 'vault', legs = false } = options;
    const attempt = await attemptOf(backup_id, copy);
    const limits = legs ? { ...unlimited, timeLeft: () => 0 } : unlimited;
    for (let count = 1; ; count++) {
      const leg = await copyBackup(
        environment,
        { backup_id, copy, attempt, done: false },
        limits,
        options.open ?? open,
      );
      if (leg.done) return count;
    }
  }

  /** The error of an attempt, recorded as the workflow does. */
  async function failing(backup_id: string, writer = open): Promise<string> {
    const error = await run(backup_id, { open: writer }).then(
      () => new Error('the copy did not fail'),
      (thrown: Error) => thrown,
    );
    const failure = { error: error.name, cause: error.message };
    const attempt = await attemptOf(backup_id, 'vault');
    await copyBackup(
      environment,
      { backup_id, copy: 'vault', attempt, failure, done: false },
      unlimited,
      writer,
    );
    return `${error.name}: ${error.message}`;
  }

  const exists = async (key: string) =>
    (await copies.s3
      .send(new HeadObjectCommand({ Bucket: copies.name, Key: key }))
      .catch(() => undefined)) !== undefined;
  async function read(key: string, VersionId?: string): Promise<Buffer> {
    const { Body } = await copies.s3.send(
      new GetObjectCommand({ Bucket: copies.name, Key: key, ...(VersionId ? { VersionId } : {}) }),
    );
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  /** Checks that a copy is complete, and everything in it is right and exists once. */
  async function expectComplete(backup_id: string): Promise<void> {
    const key = archiveKey(backup_id);
    const copy = await state(backup_id);
    expect(copy).toMatchObject({ state: 'complete', bytes: ARCHIVE.length });
    expect(copy?.upload_id).toBeUndefined();
    const record = await copies.requireRecord(catalogKey(backup_id), CatalogRecord, '');
    const original = await source.requireRecord(catalogKey(backup_id), CatalogRecord, '');
    expect(record.archive).toEqual({ ...original.archive, version_id: copy?.version_id });
    expect(record.copies).toBeUndefined();
    expect(record.storage_path).toBe(`s3://${copies.place}/${key}`);
    expect((await read(key, record.archive.version_id)).equals(ARCHIVE)).toBe(true);
    expect((await read(signatureKey(key))).equals(SIGNATURE)).toBe(true);
    for (const one of [key, signatureKey(key), catalogKey(backup_id)]) {
      const versions = [];
      for await (const version of copies.versions(one)) versions.push(version);
      expect([one, versions.length]).toEqual([one, 1]);
    }
  }

  async function unfinished(backup_id: string): Promise<number> {
    let count = 0;
    for await (const _ of copies.uploads(archiveKey(backup_id))) count++;
    return count;
  }

  test('a copy has the same bytes, the signature and a record of its own', async () => {
    const id = await backup();
    expect(await run(id)).toBe(1);
    await expectComplete(id);
    expect(await unfinished(id)).toBe(0);
    const days = (Date.parse((await state(id))?.expires_at ?? '') - Date.now()) / DAY_MS;
    expect(days).toBeCloseTo(30, 1);
    // Another execution finds nothing to do.
    expect(await run(id)).toBe(1);
    await expectComplete(id);
  });

  test('an archive of several parts is copied in several legs', async () => {
    const id = await backup();
    expect(await run(id, { legs: true })).toBeGreaterThan(1);
    await expectComplete(id);
  });

  test('an archive of less than 5 MiB is copied as one part', async () => {
    const small = randomBytes(1000);
    const id = await backup(small);
    await run(id);
    expect((await read(archiveKey(id))).equals(small)).toBe(true);
  });

  test('killed before or after any of its calls, no half copy is complete, and the next attempt completes it', async () => {
    // versitygw is the stricter server; the emulator is the one of all other tests.
    for (const after of serverName === 'emulator' ? [true] : [false, true]) {
      for (let at = 1 + (SEED % KILL_STEP); ; at += KILL_STEP) {
        const id = await backup();
        kill.arm(at, after);
        await run(id, { legs: true }).catch(() => undefined);
        const killed = kill.happened;
        kill.arm();
        const hasRecord = await exists(catalogKey(id));
        const isComplete = (await state(id))?.state === 'complete';
        expect({ at, after, isComplete, hasRecord }).toEqual({
          ...{ at, after, isComplete },
          hasRecord: isComplete || hasRecord,
        });
        // Whoever finds a record, finds all bytes.
        if (hasRecord) expect((await read(archiveKey(id))).equals(ARCHIVE)).toBe(true);
        await run(id, { legs: true });
        await expectComplete(id);
        // An upload that was begun and not recorded has no parts; the lifecycle rule of the bucket removes it.
        expect(await unfinished(id)).toBeLessThanOrEqual(1);
        if (!killed) break;
        expect(at).toBeLessThan(60);
      }
    }
  });

  describe('in a bucket that may only be written to', () => {
    test('a copy is complete', async () => {
      const id = await backup();
      await run(id, { open: openWriteOnly });
      await expectComplete(id);
    });

    test('killed at any call, the next attempt completes it, or states that the existing archive cannot be checked', async () => {
      const unchecked: number[] = [];
      for (let at = 1; ; at++) {
        const id = await backup();
        kill.arm(at, true);
        await run(id, { open: openWriteOnly }).catch(() => undefined);
        const killed = kill.happened;
        kill.arm();
        const second = await run(id, { open: openWriteOnly }).catch((error: Error) => error.message);
        if (typeof second === 'string') {
          expect(second).toMatch(/exists already, and ngbak may not read it to check/);
          unchecked.push(at);
          expect(await exists(catalogKey(id))).toBe(false);
          // With a role that may read, the same attempt completes it.
          await run(id);
        }
        await expectComplete(id);
        if (!killed) break;
      }
      // Only from the completion of the upload until that is recorded.
      expect(unchecked.length).toBeGreaterThanOrEqual(1);
      expect(unchecked.length).toBeLessThanOrEqual(2);
    });
  });

  test('bytes that differ from the recorded checksum are not copied, and the next attempt starts from the beginning', async () => {
    const id = await backup(ARCHIVE, crc32(SIGNATURE));
    expect(await failing(id)).toMatch(/^IntegrityError: The bytes of the copy s3:.*differ from those/);
    expect(await exists(archiveKey(id))).toBe(false);
    expect(await exists(catalogKey(id))).toBe(false);
    expect(await unfinished(id)).toBe(0);
    const failed = await state(id);
    expect(failed).toMatchObject({ state: 'failed', attempts: 1, problem: expect.stringContaining(id) });
    expect(failed?.upload_id).toBeUndefined();
  });

  test('an object of somebody else is neither overwritten nor used', async () => {
    const id = await backup();
    const key = archiveKey(id);
    await copies.s3.send(new PutObjectCommand({ Bucket: copies.name, Key: key, Body: 'of somebody else' }));
    expect(await failing(id)).toMatch(/^ConflictError: There is already another archive at s3:/);
    // The first attempt has recorded its failure: the next one is not due.
    const record = await source.requireRecord(catalogKey(id), CatalogRecord, '');
    await source.writeRecord(catalogKey(id), { ...record, copies: [] });
    expect(await failing(id, openWriteOnly)).toMatch(/^ConflictError: .* may not read it/);
    expect((await read(key)).toString()).toBe('of somebody else');
    expect(await exists(catalogKey(id))).toBe(false);
    expect(await unfinished(id)).toBe(0);
  });

  test('a late execution of an earlier attempt changes nothing', async () => {
    const id = await backup(ARCHIVE, crc32(SIGNATURE));
    await failing(id);
    const failed = await state(id);
    const failure = { error: 'ExecutionEnded', cause: 'it was stopped' };
    const late = { backup_id: id, copy: 'vault', attempt: 0, done: false };
    await copyBackup(environment, { ...late, failure }, unlimited, open);
    await copyBackup(environment, late, unlimited, open);
    expect(await state(id)).toEqual(failed);
    expect(await exists(archiveKey(id))).toBe(false);
  });

  test('nothing happens for a backup that was deleted, or a copy that is no longer configured', async () => {
    expect(await run('no-such')).toBe(1);
    const id = await backup();
    expect(await run(id, { copy: 'removed' })).toBe(1);
    expect(await state(id, 'removed')).toBeUndefined();
  });

  test('a locked copy cannot be deleted, replaced or unlocked, not even with all permissions', async () => {
    const id = await backup();
    await run(id, { copy: 'locked' });
    const key = archiveKey(id);
    const Bucket = copies.name;
    for (const Key of [key, signatureKey(key), catalogKey(id)]) {
      const head = await copies.s3.send(new HeadObjectCommand({ Bucket, Key }));
      const { VersionId, ObjectLockMode, ObjectLockRetainUntilDate } = head;
      expect(ObjectLockMode).toBe('COMPLIANCE');
      const days = (Number(ObjectLockRetainUntilDate) - Date.now()) / DAY_MS;
      expect(days).toBeCloseTo(2, 1);
      const refused = async (command: Promise<unknown>) => expect(command).rejects.toThrow();
      await refused(copies.s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId })));
      await refused(
        copies.s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId, BypassGovernanceRetention: true })),
      );
      const Retention = { Mode: 'COMPLIANCE', RetainUntilDate: new Date(Date.now() + 60_000) } as const;
      await refused(copies.s3.send(new PutObjectRetentionCommand({ Bucket, Key, VersionId, Retention })));
      // Another version may hide it in a bucket whose policy permits that, but the locked one stays.
      await copies.s3.send(new PutObjectCommand({ Bucket, Key, Body: 'replaced' })).catch(() => undefined);
      const kept = await copies.s3.send(new GetObjectCommand({ Bucket, Key, VersionId }));
      expect((await kept.Body?.transformToByteArray())?.length).toBe(head.ContentLength);
    }
    expect((await read(key, (await state(id, 'locked'))?.version_id)).equals(ARCHIVE)).toBe(true);
  });
});

test('a copy in the archive bucket itself is refused', async () => {
  const { transferArchive } = await import('../../../shared/workflows/copy/transfer.ts');
  const bucket = new Bucket('the-archives');
  const transfer = {
    ...{ source: bucket, destination: bucket, reader: bucket, uploadId: undefined },
    ...{ copy: CopyConfig.parse({ bucket: 'the-archives' }), record: catalogRecord({ backup_id: 'b' }) },
    ...{ begun: async () => undefined, timeLeft: () => 0, signal: new AbortController().signal },
  };
  await expect(transferArchive(transfer)).rejects.toThrow(
    'would be in the archive bucket the-archives itself',
  );
});
