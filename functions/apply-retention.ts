import { z } from 'zod';
import { parseInput } from '../shared/core/input.ts';
import { PruneInput, prune } from '../shared/operations/prune.ts';
import { step } from './step.ts';

const StateMachines = z.object({
  NGBAK_BACKUP_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  NGBAK_RESTORE_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
});

/** Deletes backups that no retention rule keeps: after each backup, and daily. */
export const handler = step(z.unknown(), async ({ bucket, sfn, config, log }) => {
  const { NGBAK_BACKUP_STATE_MACHINE_ARN: backup, NGBAK_RESTORE_STATE_MACHINE_ARN: restore } = parseInput(
    StateMachines,
    process.env,
    'The environment of the retention function',
  );
  const pruned = await prune(
    { bucket, sfn, config, stateMachines: { backup, restore } },
    PruneInput.parse({ dry_run: false }),
  );
  for (const { backup_id, reasons, error } of pruned.backups.filter(({ action }) => action === 'drop')) {
    log(error === undefined ? 'Backup deleted' : 'Backup could not be deleted', {
      backup_id,
      reasons: [...reasons],
      ...(error === undefined ? {} : { error }),
    });
  }
  for (const { backup_id, problem } of pruned.unreadable) {
    log('Record cannot be read', { backup_id, problem });
  }
  return {
    policy: pruned.policy,
    kept: pruned.backups.filter(({ deleted }) => !deleted).length,
    deleted: pruned.backups.filter(({ deleted }) => deleted).length,
    bytes_freed: pruned.bytes_freed,
  };
});
