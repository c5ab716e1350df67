import { BACKUPS } from '../shared/aws/keys.ts';
import type { ArchiveBucket } from './archive-bucket.ts';
import type { StepHandler } from './step-handler.ts';
import { stateMachineArn } from './workflows/state-machine.ts';

/**
 * The permissions, in addition to infra/functions.ts, that a function needs to delete backups: to check which
 * restores are running, and which archives are locked. Without the last two, S3 omits the lock from an object's
 * metadata.
 */
export function allowDeletions(handler: StepHandler, archive: ArchiveBucket): void {
  handler.allow(['states:ListExecutions'], [stateMachineArn(handler, 'Restore')]);
  handler.allow(['s3:GetObjectRetention', 's3:GetObjectLegalHold'], archive.arnsOf([`${BACKUPS}*`]));
}

/** Sets the ARNs of ngbak's state machines in a function's environment. */
export function setStateMachineVariables(handler: StepHandler): void {
  for (const workflow of ['Backup', 'Restore'] as const) {
    handler.function.addEnvironment(
      `NGBAK_${workflow.toUpperCase()}_STATE_MACHINE_ARN`,
      stateMachineArn(handler, workflow),
    );
  }
}
