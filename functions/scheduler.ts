import { z } from 'zod';
import { parseInput } from '../shared/core/input.ts';
import { Scheduler } from '../shared/schedules/scheduler.ts';

const Settings = z.object({
  NGBAK_BACKUP_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  NGBAK_RESTORE_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  /** Absent if the daily backups are EventBridge rules. */
  NGBAK_SCHEDULE_GROUP: z.string().min(1).optional(),
  NGBAK_SCHEDULE_ROLE_ARN: z.string().startsWith('arn:').optional(),
});

/** The schedules of the deployment, for functions that determine whether targets are recoverable. */
export function deployedScheduler(): { scheduler?: Scheduler } {
  const {
    NGBAK_SCHEDULE_GROUP: group,
    NGBAK_SCHEDULE_ROLE_ARN: roleArn,
    NGBAK_BACKUP_STATE_MACHINE_ARN: backup,
    NGBAK_RESTORE_STATE_MACHINE_ARN: restore,
  } = parseInput(Settings, process.env, 'The environment of the function');
  return group && roleArn ? { scheduler: new Scheduler({ group, roleArn }, { backup, restore }) } : {};
}
