import { ListExecutionsCommand, type ListExecutionsCommandOutput } from '@aws-sdk/client-sfn';
import { LOCKS } from '../aws/keys.ts';
import { Lock } from '../workflows/job/lock.ts';
import { readJob } from '../workflows/job/record.ts';
import { findAdmitted } from '../workflows/restore/plan.ts';
import { findSafetyBackup } from '../workflows/restore/safety.ts';
import type { OperationsContext } from './context.ts';

/**
 * The backups that running restores need, with the reason as text: those that they restore from, and the safety backups
 * for their rollbacks. Reads the running executions, the locks and the records that these refer to.
 */
export async function backupsInUse(context: OperationsContext): Promise<Map<string, string>> {
  const { bucket } = context;
  const jobs = new Set<string>();
  for await (const name of running(context, 'restore')) jobs.add(name);
  // Jobs of uploads are not named after their execution, but the lock of their target names them. A lock that is kept
  // after a failed rollback names the job whose safety backup holds the only intact data.
  for await (const { key } of bucket.keys(LOCKS)) {
    const lock = (await bucket.readRecord(key, Lock))?.value;
    if (lock?.kind === 'restore') jobs.add(lock.job_id);
  }
  const used = new Map<string, string>();
  for (const job of jobs) {
    const restore = await findAdmitted(bucket, job);
    if (restore?.backup_id !== undefined) used.set(restore.backup_id, `restore ${job} reads it`);
    const safety = await findSafetyBackup(bucket, job);
    if (safety) used.set(safety.backup_id, `it is the safety backup of restore ${job}`);
  }
  return used;
}

/** The backups that running backup jobs are creating. Their archives may exist before their records do. */
export async function backupsInProgress(context: OperationsContext): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const name of running(context, 'backup')) {
    const job = await readJob(context.bucket, name);
    if (job?.backup_id !== undefined) ids.add(job.backup_id);
  }
  return ids;
}

/** Names of the running executions of a workflow. */
async function* running(
  { sfn, stateMachines }: OperationsContext,
  workflow: 'backup' | 'restore',
): AsyncGenerator<string> {
  let nextToken: string | undefined;
  do {
    const page: ListExecutionsCommandOutput = await sfn.send(
      new ListExecutionsCommand({
        stateMachineArn: stateMachines[workflow],
        statusFilter: 'RUNNING',
        ...(nextToken === undefined ? {} : { nextToken }),
      }),
    );
    for (const { name } of page.executions ?? []) if (name !== undefined) yield name;
    nextToken = page.nextToken;
  } while (nextToken !== undefined);
}
