import { Metrics } from '@aws-lambda-powertools/metrics';
import { z } from 'zod';
import { parseInput } from '../shared/core/input.ts';
import { backupAges } from '../shared/operations/backup-age.ts';
import { Scheduler } from '../shared/schedules/scheduler.ts';
import { BACKUP_TOO_OLD } from '../shared/workflows/backup/measures.ts';
import { step } from './step.ts';

const Settings = z.object({
  NGBAK_BACKUP_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  /** Absent where the daily backups are rules of EventBridge. */
  NGBAK_SCHEDULE_GROUP: z.string().min(1).optional(),
  NGBAK_SCHEDULE_ROLE_ARN: z.string().startsWith('arn:').optional(),
});

const metrics = new Metrics();

/** Tells CloudWatch of every target whether its newest good backup is older than its schedules allow. */
export const handler = step(z.unknown(), async (environment) => {
  const settings = parseInput(Settings, process.env, 'The environment of the function');
  const {
    NGBAK_SCHEDULE_GROUP: group,
    NGBAK_SCHEDULE_ROLE_ARN: roleArn,
    NGBAK_BACKUP_STATE_MACHINE_ARN: backup,
  } = settings;
  const scheduler = group && roleArn ? { scheduler: new Scheduler({ group, roleArn }, backup) } : {};
  const ages = await backupAges({ ...environment, ...scheduler });
  for (const { target, tooOld } of ages) {
    metrics.addDimensions({ target });
    metrics.addMetric(BACKUP_TOO_OLD, 'Count', tooOld ? 1 : 0);
    metrics.publishStoredMetrics();
  }
  return { too_old: ages.filter(({ tooOld }) => tooOld).map(({ target }) => target) };
});
