/** Archives in cold storage: what refuses them, how they are thawed, and how a job waits for that. */
import { HeadObjectCommand, PutObjectCommand, type RestoreObjectCommandInput } from '@aws-sdk/client-s3';
import { beforeEach, expect, test } from '@jest/globals';
import { admittedRestoreKey, catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { ThawRequest } from '../../shared/core/storage-class.ts';
import { ContentsInput, listContents } from '../../shared/operations/contents.ts';
import { diffBackups } from '../../shared/operations/diff-backups.ts';
import { DownloadInput, downloadBackup } from '../../shared/operations/download-backup.ts';
import { startDrill } from '../../shared/operations/drills.ts';
import { ListBackupsInput, listBackups } from '../../shared/operations/list-backups.ts';
import { recoverability } from '../../shared/operations/recoverability.ts';
import { RestoreBackupInput, restoreBackup } from '../../shared/operations/restore.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { thawBackup } from '../../shared/operations/thaw-backup.ts';
import { verifyBackup } from '../../shared/operations/verify-backup.ts';
import { createJob, readJob, updateJob } from '../../shared/workflows/job/record.ts';
import { inspectArchive } from '../../shared/workflows/restore/inspect.ts';
import { RestoreOptions } from '../../shared/workflows/restore/request.ts';
import { thawForRestore } from '../../shared/workflows/restore/thaw.ts';
import { makeArchive } from '../support/archive.ts';
import { catalogue } from '../support/catalog.ts';
import { until } from '../support/until.ts';
import { freshContext } from './context.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';
const me = { requestedBy: 'ada' };
const leg = { cursor: null, timeLeft: () => 60_000, signal: new AbortController().signal };
/** The emulator takes two seconds, or an hour for 365 days. */
const quick = ThawRequest.parse({});
const slow = ThawRequest.parse({ days: 365 });
let context: Awaited<ReturnType<typeof freshContext>>;
/** The requests to thaw that were sent to S3. */
let sent: RestoreObjectCommandInput[];

beforeEach(async () => {
  context = await freshContext({ config: true });
  sent = [];
  context.bucket.s3.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        if (commandName === 'RestoreObjectCommand') sent.push(args.input as RestoreObjectCommandInput);
        return next(args);
      },
    { step: 'initialize' },
  );
  await backup('GLACIER');
});

/** A catalogued backup whose archive is in that class. */
async function backup(StorageClass: 'GLACIER' | 'DEEP_ARCHIVE' | 'STANDARD', backup_id = ID): Promise<void> {
  const { bucket } = context;
  const { bytes, checksum } = await makeArchive({ backup_id });
  const record = await catalogue(bucket, { backup_id, created_at: new Date().toISOString() });
  const put = new PutObjectCommand({
    ...{ Bucket: bucket.name, Key: record.archive.key, Body: bytes, StorageClass },
    ChecksumAlgorithm: 'CRC32',
  });
  const { VersionId, ChecksumCRC32 = '' } = await bucket.s3.send(put);
  await bucket.writeRecord(catalogKey(backup_id), {
    ...record,
    archive: {
      ...record.archive,
      version_id: VersionId,
      bytes: bytes.length,
      checksum,
      crc32: ChecksumCRC32,
    },
  });
}

/** A restore of the backup that was admitted. */
async function admit(thaw?: ThawRequest): Promise<void> {
  const { bucket } = context;
  const found = await bucket.readRecord(catalogKey(ID), CatalogRecord);
  const { key, version_id } = found?.value.archive ?? { key: '', version_id: '' };
  const created_at = new Date().toISOString();
  await createJob(bucket, {
    ...{ job_id: 'job', kind: 'restore', target: 'default', state: 'processing' },
    ...{ execution_arn: 'arn:x', created_at, updated_at: created_at },
  });
  await bucket.writeRecord(admittedRestoreKey('job'), {
    ...{ job_id: 'job', target: 'default', execution_arn: 'arn:x', created_at, backup_id: ID },
    ...{ source: { bucket: bucket.name, key, version_id }, stores: ['kv'], confirmed: true },
    options: RestoreOptions.parse({}),
    ...(thaw ? { thaw } : {}),
  });
}

const untilThawed = () =>
  until('the archive is thawed', async () => (await thawBackup(context, ID, quick)).readable);

const restore = (more: object = {}) =>
  restoreBackup(context, RestoreBackupInput.parse({ backup_id: ID, ...more }), me);

test.each<[string, () => Promise<unknown>]>([
  ['verify', () => verifyBackup(context, ID, leg)],
  ['download', () => downloadBackup(context, ID, DownloadInput.parse({}))],
  ['contents', () => listContents(context, ID, ContentsInput.parse({}))],
  ['diff', () => diffBackups(context, ID, { to: ID }, leg)],
  ['restore', () => restore()],
  ['drill', () => startDrill(context, { backup_id: ID }, me)],
  [
    'the inspection of a restore',
    async () => {
      await admit();
      return inspectArchive(
        context.environment,
        { job_id: 'job', cursor: null, done: false },
        { timeLeft: () => 60_000, signal: leg.signal },
      );
    },
  ],
])(
  '%s refuses an archive in cold storage with commands, durations and prices, and requests nothing',
  async (_, call) => {
    await expect(call()).rejects.toMatchObject({
      name: 'ObjectArchivedError',
      message: expect.stringMatching(/snapshot_2026-.* in the storage class GLACIER .*until it is thawed/),
      remedy: expect.stringMatching(
        /--thaw.*`ngbak thaw snapshot_2026-\S+ --wait`\. standard: 3 to 5 hours, .*USD.*bulk: 5 to 12 hours.*expedited: 1 to 5 minutes/,
      ),
    });
    expect(sent).toEqual([]);
  },
);

test('a verification that cannot read the archive does not call it damaged', async () => {
  await expect(verifyBackup(context, ID, leg)).rejects.toThrow(/thawed/);
  expect((await showBackup(context, ID)).verification.state).toBe('verified');
});

test('a backup is thawed once, however often that is requested, and can then be verified and downloaded', async () => {
  const first = await thawBackup(context, ID, quick);
  expect(first).toMatchObject({
    readable: false,
    requested: true,
    state: 'thawing',
    storage_class: 'GLACIER',
  });
  expect(Date.parse(first.expected_by ?? '') - Date.now()).toBeGreaterThan(4.9 * 3_600_000);
  expect(await thawBackup(context, ID, quick)).toMatchObject({ readable: false, requested: false });
  await expect(verifyBackup(context, ID, leg)).rejects.toThrow(/is being thawed/);
  await untilThawed();
  expect(sent).toMatchObject([
    {
      RestoreRequest: { Days: 7, GlacierJobParameters: { Tier: 'Standard' } },
      VersionId: expect.any(String),
    },
  ]);
  expect(await verifyBackup(context, ID, leg)).toMatchObject({ done: true, is_valid: true });
  const { url } = await downloadBackup(context, ID, DownloadInput.parse({}));
  expect((await fetch(url)).status).toBe(200);
  const { storage } = await showBackup(context, ID);
  expect(storage).toMatchObject({ state: 'thawed', readable_until: expect.stringMatching(/T00:00:00/) });
});

test('a thawed copy that expires within a day is kept for longer', async () => {
  await thawBackup(context, ID, quick);
  await untilThawed();
  const later = Date.now() + 7 * 24 * 3_600_000;
  expect(await thawBackup(context, ID, quick, later)).toMatchObject({ readable: true, requested: true });
  expect(sent.at(-1)?.RestoreRequest).toEqual({ Days: 7 });
});

test('a tier that the class does not have is refused before anything is requested', async () => {
  await backup('DEEP_ARCHIVE', 'snapshot_2026-01-03T03-04-05Z');
  const expedited = ThawRequest.parse({ tier: 'expedited' });
  const call = thawBackup(context, 'snapshot_2026-01-03T03-04-05Z', expedited);
  await expect(call).rejects.toMatchObject({ remedy: 'Use one of: standard, bulk.' });
  const input = { backup_id: 'snapshot_2026-01-03T03-04-05Z', thaw: expedited };
  await expect(restore(input)).rejects.toThrow(/no expedited thawing from DEEP_ARCHIVE/);
  expect(sent).toEqual([]);
});

test('a readable archive is not thawed', async () => {
  await backup('STANDARD', 'snapshot_2026-01-03T03-04-05Z');
  const found = await thawBackup(context, 'snapshot_2026-01-03T03-04-05Z', quick);
  expect(found).toMatchObject({ readable: true, requested: false, state: 'readable' });
  expect(sent).toEqual([]);
});

test('lists and details state the class of each archive', async () => {
  await backup('STANDARD', 'snapshot_2026-01-03T03-04-05Z');
  const { backups } = await listBackups(context, ListBackupsInput.parse({}));
  expect(backups.map(({ storage_class, storage }) => [storage_class, storage?.state])).toEqual([
    ['STANDARD', 'readable'],
    ['GLACIER', 'cold'],
  ]);
  const { storage } = await showBackup(context, ID);
  expect(storage?.thaw?.map(({ tier }) => tier)).toEqual(['standard', 'bulk', 'expedited']);
});

test('the verdict names the cold archive, and its duration of a restore includes thawing it', async () => {
  const [verdict] = (await recoverability(context, { target: 'default' })).targets;
  expect(verdict).toMatchObject({ recoverable: 'yes_with_warnings', thaw_seconds: 5 * 3600 });
  const cold = verdict?.reasons.find(({ code }) => code === 'archive-in-cold-storage');
  expect(cold?.remedy).toMatch(/ngbak thaw/);
});

test('a job waits for its archive, states until when, and continues once it is readable', async () => {
  await admit(quick);
  const job = async () => readJob(context.bucket, 'job');
  const first = await thawForRestore(context.environment, 'job');
  expect(first).toEqual({ job_id: 'job', readable: false, wait_seconds: 600 });
  const waiting = (await job())?.thaw;
  expect(waiting).toMatchObject({ place: 'GLACIER', tier: 'standard', days: 7 });
  expect(waiting?.ready_at).toBeUndefined();
  // Repeated looks change nothing.
  expect((await thawForRestore(context.environment, 'job', { pollSeconds: 1 })).wait_seconds).toBe(1);
  expect((await job())?.thaw).toEqual(waiting);
  await until(
    'the job knows that the archive is readable',
    async () => (await thawForRestore(context.environment, 'job')).readable,
  );
  expect((await job())?.thaw).toMatchObject({
    ...waiting,
    ready_at: expect.any(String),
    readable_until: expect.any(String),
  });
  expect(sent).toHaveLength(1);
});

test('a job whose archive is readable does not wait, also without a request to thaw', async () => {
  await admit();
  expect(await thawForRestore(context.environment, 'job')).toMatchObject({ readable: true });
  expect((await readJob(context.bucket, 'job'))?.thaw).toBeUndefined();
  expect(sent).toEqual([]);
});

test('a job that was cancelled while it waits stays cancelled', async () => {
  await admit(slow);
  await thawForRestore(context.environment, 'job');
  await updateJob(context.bucket, 'job', () => ({ state: 'cancelled', thaw: undefined }));
  await expect(thawForRestore(context.environment, 'job')).rejects.toThrow(/has ended/);
  const { Restore } = await context.bucket.s3.send(
    new HeadObjectCommand({ Bucket: context.bucket.name, Key: `backups/${ID}.ngbak` }),
  );
  expect(Restore).toBe('ongoing-request="true"');
});
