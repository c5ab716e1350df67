import {
  DRILL_AGE,
  DRILL_OVERDUE,
  type Measures,
  NOT_RECOVERABLE,
  RECOVERABLE,
  RPO,
  RTO,
} from '../workflows/backup/measures.ts';
import { type Grade, isDrillOverdue, type TargetRecoverability } from './recoverability.ts';

/** Values of `ngbak_recoverable`, and of the metric of CloudWatch. */
export const GRADES: Readonly<Record<Grade, number>> = { yes: 1, yes_with_warnings: 0.5, no: 0 };

/**
 * The metrics sent to CloudWatch for the verdict about a target. A value that is unknown is absent, so that a graph has a
 * gap instead of a false zero.
 */
export function verdictMeasures(verdict: TargetRecoverability, now: number): Measures['values'] {
  const { recoverable, rpo_seconds, rto_seconds, drill } = verdict;
  const seconds = (name: string, value: number | undefined) =>
    value === undefined ? [] : [{ name, unit: 'Seconds' as const, value }];
  return [
    { name: RECOVERABLE, unit: 'Count', value: GRADES[recoverable] },
    { name: NOT_RECOVERABLE, unit: 'Count', value: recoverable === 'no' ? 1 : 0 },
    { name: DRILL_OVERDUE, unit: 'Count', value: isDrillOverdue(verdict) ? 1 : 0 },
    ...seconds(RPO, rpo_seconds),
    ...seconds(RTO, rto_seconds),
    ...seconds(DRILL_AGE, drill && Math.max(0, (now - Date.parse(drill.finished_at)) / 1000)),
  ];
}
