import { Metrics } from '@aws-lambda-powertools/metrics';
import { z } from 'zod';
import { reportConditions } from '../shared/operations/conditions.ts';
import { isDrillOverdue, isTooOld, recoverability } from '../shared/operations/recoverability.ts';
import { verdictMeasures } from '../shared/operations/verdict-measures.ts';
import { BACKUP_TOO_OLD } from '../shared/workflows/backup/measures.ts';
import { deployedScheduler } from './scheduler.ts';
import { step } from './step.ts';

const metrics = new Metrics();

/**
 * Reports to CloudWatch, for every target, whether it is recoverable, with RPO, RTO and the age of the last drill, and
 * whether its newest good backup or its last drill is too old. Notifies the receivers of changes.
 */
export const handler = step(z.unknown(), async (environment) => {
  const scheduler = deployedScheduler();
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
  // Last: the alarms do not depend on it.
  await reportConditions({ ...environment, ...scheduler }, watched);
  const named = (wanted: (verdict: (typeof watched)[number]) => boolean) =>
    watched.filter(wanted).map(({ target }) => target);
  return {
    too_old: named(({ tooOld }) => tooOld),
    drill_overdue: named(({ drillOverdue }) => drillOverdue),
    not_recoverable: named(({ recoverable }) => recoverable === 'no'),
  };
});
