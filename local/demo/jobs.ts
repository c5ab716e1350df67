import { randomBytes } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import prettyBytes from 'pretty-bytes';
import type { Bucket } from '../../shared/aws/bucket.ts';
import type { Tallies } from '../../shared/core/digest.ts';
import type { BackupResult } from '../../shared/workflows/backup/record.ts';
import type { RestoreResult } from '../../shared/workflows/restore/close.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import { DemoFailedError, followExecution, followRestore } from './follow.ts';
import { alignColumns, formatCount, type StepView } from './screen.ts';
import { type DemoContext, TARGET } from './stage.ts';

/** Starts the backup workflow with StartExecution, as any client could, and follows it to its end. */
export async function backUp(
  stage: DemoContext,
  bucket: Bucket,
  stateMachineArn: string,
  view: StepView,
): Promise<BackupResult> {
  const sfn = new SFNClient({});
  const jobId = `demo-${randomBytes(4).toString('hex')}`;
  const { executionArn = '' } = await sfn.send(
    new StartExecutionCommand({ stateMachineArn, name: jobId, input: '{"note":"npm run demo"}' }),
  );
  const result = await followExecution({ sfn, bucket }, { arn: executionArn, jobId }, view, stage.signal);
  const backup = result as BackupResult;
  const statistics = Object.entries(backup.statistics).map(
    ([name, count]) => `${formatCount(count)} ${name}`,
  );
  // Tables in files are opaque: such a system has no statistics.
  if (statistics.length > 0) view.line(statistics.join(', '));
  view.line(`${backup.archive}  ${prettyBytes(backup.bytes)}`);
  view.line(`checksum ${backup.checksum}`);
  view.line(`consistency: ${backup.consistency}; read back from S3 and verified`);
  return backup;
}

/** Uploads an archive to a presigned URL, and follows the restore that S3's event starts. */
export async function restore(
  stage: DemoContext,
  bucket: Bucket,
  path: string,
  view: StepView,
): Promise<void> {
  const upload = await createRestoreRequest(bucket, {
    target: TARGET,
    fileName: basename(path),
    confirm: TARGET,
    requestedBy: 'npm run demo',
  });
  const { method, url, headers } = upload.put;
  const answer = await fetch(url, { method, headers, body: await openAsBlob(path), signal: stage.signal });
  if (!answer.ok) {
    throw new DemoFailedError(
      `S3 refused the upload: ${answer.status} ${(await answer.text()).slice(0, 300)}`,
      {
        remedy: 'See the log of the AWS emulator.',
      },
    );
  }
  view.line(`uploaded to ${upload.key}`);
  const job = await followRestore(bucket, upload.job_id, view, stage.signal);
  view.line('archive verified, target backed up, cleared and loaded, then compared record by record:');
  const { stores } = job.result as unknown as RestoreResult;
  const rows = Object.entries(stores).map(([store, { read_back }]) => [store, formatTallies(read_back)]);
  for (const line of alignColumns(rows, 2)) view.line(line);
}

/** `1,522 nodes, 3,415 relationships`. */
function formatTallies(tallies: Tallies): string {
  return Object.entries(tallies)
    .map(([name, { count }]) => {
      const [unit, of] = name.split(':');
      return of === undefined ? `${formatCount(count)} ${unit}` : `${formatCount(count)} ${unit} of ${of}`;
    })
    .join(', ');
}
