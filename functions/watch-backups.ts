import { Metrics } from '@aws-lambda-powertools/metrics';
import { z } from 'zod';
import { parseInput } from '../shared/core/input.ts';
import { isDrillOverdue, isTooOld, recoverability } from '../shared/operations/recoverability.ts';
import { verdictMeasures } from '../shared/operations/verdict-measures.ts';
import { Scheduler } from '../shared/schedules/scheduler.ts';
import { BACKUP_TOO_OLD } from '../shared/workflows/backup/measures.ts';
import { step } from './step.ts';

const Settings = z.object({
  NGBAK_BACKUP_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  NGBAK_RESTORE_STATE_MACHINE_ARN: z.string().startsWith('arn:'),
  /** Absent if the daily backups are EventBridge rules. */
  NGBAK_SCHEDULE_GROUP: z.string().min(1).optional(),
  NGBAK_SCHEDULE_ROLE_ARN: z.string().startsWith('arn:').optional(),
});

const metrics = new Metrics();

/**
 * Reports to CloudWatch, for every target, whether it is recoverable, with RPO, RTO and the age of the last drill, and
 * whether its newest good backup or its last drill is too old.
 */
export const handler = step(z.unknown(), async (environment) => {
  const settings = parseInput(Settings, process.env, 'The environment of the function');
  const {
    NGBAK_SCHEDULE_GROUP: group,
    NGBAK_SCHEDULE_ROLE_ARN: roleArn,
    NGBAK_BACKUP_STATE_MACHINE_ARN: backup,
    NGBAK_RESTORE_STATE_MACHINE_ARN: restore,
  } = settings;
  const scheduler =
    group && roleArn ? { scheduler: new Scheduler({ group, roleArn }, { backup, restore }) } : {};
  const { targets } = await recoverability({ ...environment, ...scheduler });
  const watched = targets
    .filter(({ target }) => Object.hasOwn(environment.config.targets, target))
    .map((verdict) => ({ ...verdict, tooOld: isTooOld(verdict), drillOverdue: isDrillOverdue(verdict) }));
  for (const verdict of watched) {
    metrics.addDimensions({ target: verdict.target });
    metrics.addMetric(BACKUP_TOO_OLD, 'Count', verdict.tooOld ? 1 : 0);
    for (const { name, unit, value } of verdictMeasures(verdict, Date.now())) {
      metrics.addMetric(name, unit, value);
    }
    metrics.publishStoredMetrics();
  }
  const named = (wanted: (verdict: (typeof watched)[number]) => boolean) =>
    watched.filter(wanted).map(({ target }) => target);
  return {
    too_old: named(({ tooOld }) => tooOld),
    drill_overdue: named(({ drillOverdue }) => drillOverdue),
    not_recoverable: named(({ recoverable }) => recoverable === 'no'),
  };
});
