import { BACKUPS } from '../shared/aws/keys.ts';
import type { ArchiveBucket } from './archive-bucket.ts';
import type { StepHandler } from './step-handler.ts';
import { stateMachineArn } from './workflows/state-machine.ts';

/**
 * What a function needs besides infra/functions.ts to delete backups: which restores are running, and which archives
 * are locked. Without the last two, S3 leaves the lock out of what it says of an object.
 */
export function allowDeletions(handler: StepHandler, archive: ArchiveBucket): void {
  handler.allow(['states:ListExecutions'], [stateMachineArn(handler, 'Restore')]);
  handler.allow(['s3:GetObjectRetention', 's3:GetObjectLegalHold'], archive.arnsOf([`${BACKUPS}*`]));
}

/** Tells a function which state machines are ngbak's. */
export function setStateMachineVariables(handler: StepHandler): void {
  for (const workflow of ['Backup', 'Restore'] as const) {
    handler.function.addEnvironment(
      `NGBAK_${workflow.toUpperCase()}_STATE_MACHINE_ARN`,
      stateMachineArn(handler, workflow),
    );
  }
}
