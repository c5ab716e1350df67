import { z } from 'zod';
import { chooseTarget } from '../backup/names.ts';
import { Id } from '../ids.ts';
import { parseInput } from '../input.ts';
import { answerConfirmation } from '../restore/confirmation.ts';
import {
  CatalogRestore,
  createRestoreRequest,
  isConfirmed,
  type RequestedUpload,
  RestoreOptions,
} from '../restore/request.ts';
import type { OperationsContext } from './context.ts';
import { showBackup } from './show-backup.ts';
import { newJobId, type StartedJob, startJob } from './start.ts';

/** Restore of a catalogued backup. */
export const RestoreBackupInput = CatalogRestore.omit({ requested_by: true });
export type RestoreBackupInput = z.infer<typeof RestoreBackupInput>;

/** Restore of an archive that is still to be uploaded. */
export const RequestRestoreInput = RestoreOptions.extend({
  /** Which configured target to restore into; may be left out where a deployment has only one. */
  target: Id.optional(),
  /** Name of the file, which ends in `.ngbak`. */
  file_name: z.string().min(1).max(255),
  /** The target's name, as the operator's confirmation. Left out: the restore waits for it after the inspection. */
  confirm: z.string().max(80).optional(),
});
export type RequestRestoreInput = z.infer<typeof RequestRestoreInput>;

/** Starts the restore of a catalogued backup. Throws NotFoundError, InvalidInputError or RefusedError. */
export async function restoreBackup(
  context: OperationsContext,
  input: RestoreBackupInput,
  by: { requestedBy: string; idempotencyKey?: string | undefined },
): Promise<StartedJob> {
  const record = await showBackup(context, input.backup_id);
  isConfirmed(input.confirm, input.target ?? record.target);
  return startJob(context.sfn, context.stateMachines.restore, newJobId('restore', by.idempotencyKey), {
    ...input,
    requested_by: by.requestedBy,
  });
}

/** Prepares the restore of an upload and presigns it; the upload itself starts the job. */
export function requestRestore(
  { bucket, config }: OperationsContext,
  input: RequestRestoreInput,
  by: { requestedBy: string },
): Promise<RequestedUpload> {
  const { target, file_name, confirm, ...options } = input;
  return createRestoreRequest(bucket, {
    target: config ? chooseTarget(config, target) : (target ?? 'default'),
    fileName: file_name,
    options,
    confirm,
    requestedBy: by.requestedBy,
  });
}

/** Lets a restore that waits go on; `phrase` is the target's name. Throws InvalidInputError. */
export function confirmRestore(context: OperationsContext, jobId: string, phrase: string): Promise<void> {
  return answerConfirmation(context, parseInput(Id, jobId, 'The job id'), { confirm: true, phrase });
}

/** Ends a restore that waits; nothing was changed by it. Throws InvalidInputError. */
export function rejectRestore(context: OperationsContext, jobId: string, reason?: string): Promise<void> {
  return answerConfirmation(context, parseInput(Id, jobId, 'The job id'), {
    confirm: false,
    ...(reason === undefined ? {} : { reason }),
  });
}
