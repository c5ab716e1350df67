import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { describeError, InvalidInputError } from '../../../shared/core/errors.ts';
import { ListJobsInput, listJobs } from '../../../shared/operations/list-jobs.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { cleanUpAfter } from '../../../shared/workflows/janitor/janitor.ts';
import { readJob, updateJob } from '../../../shared/workflows/job/record.ts';
import { type Admission, admitRestore } from '../../../shared/workflows/restore/admit.ts';
import { readAdmitted } from '../../../shared/workflows/restore/plan.ts';
import {
  createRestoreRequest,
  sanitizeFileName,
  shownFileName,
} from '../../../shared/workflows/restore/request.ts';
import { freshEnvironment } from '../../support/aws.ts';

const store = { kind: 'redis', secret: 'some-secret' };
let environment: Environment;
beforeEach(async () => {
  environment = await freshEnvironment({
    default: { stores: { kv: store } },
    other: { stores: { kv: store } },
  });
});

const execution = (name: string) => ({
  name,
  arn: `arn:aws:states:eu-central-1:000000000000:execution:restore:${name}`,
  start: new Date().toISOString(),
});
const event = (key: string, version = 'v1') => ({
  'detail-type': 'Object Created',
  detail: { bucket: { name: environment.bucket.name }, object: { key, size: 10, 'version-id': version } },
});
const admitted = (admission: Admission) => {
  if (!admission.admitted) throw new Error(admission.reason);
  return admission;
};

describe('an upload', () => {
  test('that was requested is admitted with the options of its request', async () => {
    const upload = await createRestoreRequest(environment.bucket, {
      target: 'other',
      fileName: 'x.ngbak',
      confirm: 'other',
      options: { mode: 'merge', on_conflict: 'keep' },
    });
    const admission = admitted(await admitRestore(environment, event(upload.key), execution('e1')));
    expect(admission).toMatchObject({
      job_id: upload.job_id,
      target: 'other',
      confirmed: true,
      stores: ['kv'],
    });
    expect((await readAdmitted(environment.bucket, upload.job_id)).options).toMatchObject({
      mode: 'merge',
      on_conflict: 'keep',
    });
  });

  test('whose event arrives ten times at once is admitted once', async () => {
    const { key, job_id } = await createRestoreRequest(environment.bucket, {
      target: 'other',
      fileName: 'x.ngbak',
    });
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) => admitRestore(environment, event(key), execution(`e${i}`))),
    );
    expect(all.filter((admission) => admission.admitted)).toHaveLength(1);
    const owner = (await readJob(environment.bucket, job_id))?.execution_arn;
    for (const admission of all) if (!admission.admitted) expect(admission.reason).toContain(owner);
  });

  test('that arrives after its job has stopped waiting starts nothing', async () => {
    const { bucket } = environment;
    const request = { target: 'other', fileName: 'x.ngbak', confirm: 'other', jobId: 'restore_late' };
    const { key, job_id } = await createRestoreRequest(bucket, request);
    const until = new Date(Date.now() - 1000).toISOString();
    await updateJob(bucket, job_id, () => ({ upload: { file_name: 'x.ngbak', until } }));
    expect(await admitRestore(environment, event(key), execution('late'))).toEqual({
      admitted: false,
      reason: expect.stringContaining('is cancelled'),
    });
    expect((await readJob(bucket, job_id))?.execution_arn).toBeUndefined();
    // Nor does another request with the same key return addresses for a job that can no longer be started.
    await expect(createRestoreRequest(bucket, request)).rejects.toThrow('which is cancelled');
  });

  test('made by hand whose event arrives ten times at once is admitted once, unconfirmed', async () => {
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        admitRestore(environment, event('uploads/by-hand.ngbak'), execution(`e${i}`)),
      ),
    );
    const [winner, ...rest] = all.filter((admission) => admission.admitted);
    expect(rest).toEqual([]);
    expect(winner).toMatchObject({ confirmed: false, target: 'default' });
  });

  test('made by hand into the folder of a target is for that target', async () => {
    const admission = await admitRestore(environment, event('uploads/other/x.ngbak'), execution('e1'));
    expect(admitted(admission).target).toBe('other');
  });

  test('of a second version of the same key is a separate job', async () => {
    const [one, two] = [
      admitted(await admitRestore(environment, event('uploads/x.ngbak', 'v1'), execution('e1'))),
      admitted(await admitRestore(environment, event('uploads/x.ngbak', 'v2'), execution('e2'))),
    ];
    expect(one.job_id).not.toBe(two.job_id);
  });

  test('to another key than the requested one is not confirmed by that request', async () => {
    const { job_id } = await createRestoreRequest(environment.bucket, {
      target: 'other',
      fileName: 'x.ngbak',
      confirm: 'other',
    });
    const admission = admitted(
      await admitRestore(environment, event(`uploads/${job_id}/smuggled.ngbak`), execution('e1')),
    );
    expect(admission.confirmed).toBe(false);
    expect(admission.job_id).not.toBe(job_id);
  });

  test('whose admission was interrupted is admitted again by the same execution', async () => {
    const { key } = await createRestoreRequest(environment.bucket, { target: 'other', fileName: 'x.ngbak' });
    const once = await admitRestore(environment, event(key), execution('e1'));
    expect(await admitRestore(environment, event(key), execution('e1'))).toEqual(once);
  });
});

test('a restore of a backup that is not in the catalog is refused', async () => {
  await expect(admitRestore(environment, { backup_id: 'snapshot_x' }, execution('e1'))).rejects.toThrow(
    /no backup "snapshot_x"/,
  );
});

test('a request that is neither an upload nor a catalogued backup states what is wrong with it', async () => {
  await expect(admitRestore(environment, { hello: 1 }, execution('e1'))).rejects.toThrow(/backup_id/);
});

test.each([
  ['My Backup (1).ngbak', 'My-Backup-1-.ngbak'],
  ['../../etc/passwd.ngbak', 'passwd.ngbak'],
  ['C:\\temp\\ä.NGBAK', 'a-.ngbak'],
  ['.ngbak', 'archive.ngbak'],
  [`${'x'.repeat(300)}.ngbak`, `${'x'.repeat(94)}.ngbak`],
])('file name %p becomes %p', (name, sanitized) => {
  expect(sanitizeFileName(name)).toBe(sanitized);
});

test.each([
  ['/home/ada/גיבוי של المعرفة.ngbak', 'גיבוי של المعرفة.ngbak'],
  ['a\u001b[31m\u202egnp.ngbak', 'a[31mgnp.ngbak'],
])('file name %j is shown as %j', (name, shown) => {
  expect(shownFileName(name)).toBe(shown);
});

test.each(['archive.tar.gz', 'x.ngbak.exe', ''])('file name %p is refused', (name) => {
  expect(() => sanitizeFileName(name)).toThrow(/\.ngbak/);
});

test('an upload by hand for which no target can be determined is listed as a failed job, and is deleted', async () => {
  environment = await freshEnvironment({ one: { stores: { kv: store } }, two: { stores: { kv: store } } });
  const { bucket } = environment;
  const key = 'uploads/by-hand.ngbak';
  const { VersionId } = await bucket.s3.send(
    new PutObjectCommand({ Bucket: bucket.name, Key: key, Body: 'x' }),
  );
  const input = event(key, VersionId);
  const refusal = await admitRestore(environment, input, execution('e1')).catch((error: Error) => error);
  expect(refusal).toBeInstanceOf(InvalidInputError);
  const ended = {
    detail: {
      executionArn: execution('e1').arn,
      name: 'e1',
      status: 'FAILED' as const,
      input: JSON.stringify(input),
      error: 'InvalidInputError',
      cause: describeError(refusal),
    },
  };
  const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
  // Its event may arrive twice.
  await cleanUpAfter(environment, ended, leg);
  await cleanUpAfter(environment, ended, leg);
  const { jobs } = await listJobs(
    { ...environment, stateMachines: { backup: 'unused', restore: 'unused' } },
    ListJobsInput.parse({}),
  );
  expect(jobs).toMatchObject([
    {
      kind: 'restore',
      target: 'unknown',
      state: 'failed',
      upload: { file_name: 'by-hand.ngbak' },
      error: { message: expect.stringMatching(/names no target.*one of: one, two/) },
    },
  ]);
  const keys: string[] = [];
  for await (const found of bucket.keys('uploads/')) keys.push(found.key);
  expect(keys).toEqual([]);
});
