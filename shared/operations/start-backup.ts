import type { z } from 'zod';
import { BackupRequest, OwnTags, type ScheduledRunOf } from '../catalog/request.ts';
import { Id } from '../core/ids.ts';
import { chooseBackupStores, chooseScopes } from '../workflows/backup/choose-stores.ts';
import { backupIdOf, chooseTarget } from '../workflows/job/names.ts';
import type { OperationsContext } from './context.ts';
import { newJobId, StartedJob, startJob } from './start.ts';

/** The options that users may set: all fields of a backup request except those for internal use between workflows. */
export const StartBackupInput = BackupRequest.omit({
  part_of: true,
  schedule: true,
  requested_by: true,
}).extend({ tags: OwnTags.default([]) });
export type StartBackupInput = z.infer<typeof StartBackupInput>;

export const StartedBackup = StartedJob.extend({
  /**
   * Id of the backup, unless an earlier one of the same second uses it; the job's record has the final id. Absent if
   * the caller does not know the deployment's targets.
   */
  backup_id: Id.optional(),
  target: Id.optional(),
});
export type StartedBackup = z.infer<typeof StartedBackup>;

/**
 * Starts a backup. With an idempotency key, a repeated request returns the same job. Throws InvalidInputError or
 * RefusedError.
 */
export async function startBackup(
  { sfn, stateMachines, config }: OperationsContext,
  input: StartBackupInput,
  by: {
    requestedBy: string;
    idempotencyKey?: string | undefined;
    /** The schedule of which this is a manual run. */
    schedule?: ScheduledRunOf;
  },
): Promise<StartedBackup> {
  const target = config ? chooseTarget(config, input.target) : input.target;
  // Validated here so that errors are reported before a workflow starts.
  if (config && target !== undefined) {
    chooseScopes(config, target, chooseBackupStores(config, target, input), input.only);
  }
  const request = {
    ...input,
    ...(target === undefined ? {} : { target }),
    ...(by.schedule === undefined ? {} : { schedule: by.schedule }),
    requested_by: by.requestedBy,
  };
  const started = await startJob(sfn, stateMachines.backup, newJobId('backup', by.idempotencyKey), request);
  return {
    ...started,
    ...(target === undefined ? {} : { target, backup_id: backupIdOf(target, started.started_at) }),
  };
}
