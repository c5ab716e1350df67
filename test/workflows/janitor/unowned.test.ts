import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { beforeEach, expect, test } from '@jest/globals';
import { admittedRestoreKey, JOB_DAYS_COMPLETE_KEY, jobOfDayKey } from '../../../shared/aws/keys.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { removeUnowned } from '../../../shared/workflows/janitor/unowned.ts';
import { createJob, type JobRecord, readJob } from '../../../shared/workflows/job/record.ts';
import { RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { freshEnvironment } from '../../support/aws.ts';

let environment: Environment;
const clean = (ageMs?: number) => removeUnowned(environment.bucket, () => 60_000, { ageMs });

beforeEach(async () => {
  environment = await freshEnvironment();
});

const put = (Key: string) =>
  environment.bucket.s3.send(
    new PutObjectCommand({ Bucket: environment.bucket.name, Key, Body: 'something' }),
  );

async function beginUpload(Key: string): Promise<void> {
  const { bucket } = environment;
  const upload = { Bucket: bucket.name, Key };
  const { UploadId } = await bucket.s3.send(new CreateMultipartUploadCommand(upload));
  await bucket.s3.send(new UploadPartCommand({ ...upload, UploadId, PartNumber: 1, Body: 'part' }));
}

async function job(job_id: string, changes: Partial<JobRecord>): Promise<void> {
  const now = new Date().toISOString();
  await createJob(environment.bucket, {
    ...{ job_id, kind: 'backup', target: 'default', state: 'processing', created_at: now, updated_at: now },
    ...changes,
  });
}

async function left(): Promise<string[]> {
  const { bucket } = environment;
  const found: string[] = [];
  for (const prefix of ['staging/', 'uploads/', 'backups/']) {
    for await (const { key } of bucket.keys(prefix)) found.push(key);
  }
  const { Uploads = [] } = await bucket.s3.send(new ListMultipartUploadsCommand({ Bucket: bucket.name }));
  return [...found, ...Uploads.map(({ Key }) => `unfinished ${Key}`)].sort();
}

test('staging objects, uploaded archives and unfinished uploads of no job are removed; those of running and waiting jobs stay', async () => {
  await job('running', { backup_id: 'snapshot_running' });
  await job('ended', { state: 'failed', backup_id: 'snapshot_ended' });
  await job('requested', { kind: 'restore', state: 'pending' });
  await job('waiting', { kind: 'restore', state: 'awaiting_confirmation' });
  // Uploaded by hand: its key does not have the name of the job.
  await environment.bucket.writeRecord(admittedRestoreKey('waiting'), {
    job_id: 'waiting',
    target: 'default',
    execution_arn: 'arn:aws:states:us-east-1:000000000000:execution:Restore:waiting',
    source: { bucket: environment.bucket.name, key: 'uploads/default/waiting.ngbak', version_id: 'v' },
    created_at: new Date().toISOString(),
    backup_id: 'snapshot_waiting',
    stores: [],
    options: RestoreOptions.parse({}),
    confirmed: false,
  });
  const kept = ['staging/running/plan.json', 'uploads/default/waiting.ngbak', 'uploads/requested/a.ngbak'];
  const keptUploads = ['backups/snapshot_running.ngbak', 'staging/running/b', 'uploads/requested/b.ngbak'];
  // The name of the second begins with that of the first: only the second belongs to a job.
  const gone = [
    'staging/ended/plan.json',
    'staging/never-was/a',
    'uploads/default/waiting',
    'uploads/ended/a',
  ];
  const goneUploads = ['backups/snapshot_ended.ngbak', 'staging/ended/b', 'uploads/default/cut-off.ngbak'];
  for (const key of [...kept, ...gone, 'backups/snapshot_a.json']) await put(key);
  for (const key of [...keptUploads, ...goneUploads]) await beginUpload(key);
  expect(await clean(0)).toEqual({ objects: gone.length, uploads: goneUploads.length });
  expect(await left()).toEqual(
    [...kept, 'backups/snapshot_a.json', ...keptUploads.map((key) => `unfinished ${key}`)].sort(),
  );
});

test('data of a job that has run for longer than the index of jobs is kept stays', async () => {
  await job('endless', {});
  await environment.bucket.writeRecord(JOB_DAYS_COMPLETE_KEY, {});
  const { created_at = '' } = (await readJob(environment.bucket, 'endless')) ?? {};
  await environment.bucket.removeVersion({ key: jobOfDayKey(created_at.slice(0, 10), 'endless') });
  await put('staging/endless/segments/a');
  await beginUpload('staging/endless/segments/b');
  expect(await clean(0)).toEqual({ objects: 0, uploads: 0 });
});

test('nothing is removed before it is a day old, since its job may not have begun', async () => {
  await put('staging/soon/plan.json');
  await put('uploads/default/soon.ngbak');
  await beginUpload('uploads/default/large.ngbak');
  const before = await left();
  expect(await clean()).toEqual({ objects: 0, uploads: 0 });
  expect(await left()).toEqual(before);
});
