import { watchStateKey } from '../aws/keys.ts';
import { allBackups } from '../catalog/good-backups.ts';
import { SAFETY_TAG } from '../catalog/request.ts';
import type { BackupSummary } from '../catalog/summaries.ts';
import type { NgbakConfig } from '../core/config.ts';
import { backedUpTargets } from '../core/config.ts';
import { describeError } from '../core/errors.ts';
import { NOTIFICATION_LOST, type Outbox, postEvent } from '../notify/outbox.ts';
import { type Condition, compareConditions, WatchState } from '../notify/watch.ts';
import type { OperationsContext } from './context.ts';
import { listSchedules, type ScheduleView } from './list-schedules.ts';
import type { TargetRecoverability } from './recoverability.ts';

/** Number of successive full backups with drifted stores from which this is reported. */
export const DRIFTED_MIN = 3;

/** Reasons of the verdict that are reported as events, by code. */
const REPORTED: Readonly<Record<string, Pick<Condition, 'type' | 'remind'>>> = {
  'backup-too-old': { type: 'backup.missed', remind: true },
  'copy-failed': { type: 'backup.not_copied', remind: true },
  'copy-overdue': { type: 'backup.not_copied', remind: true },
  'copy-damaged': { type: 'data.changed', remind: true },
  'backups-damaged': { type: 'data.changed', remind: false },
  'drill-overdue': { type: 'drill.overdue', remind: true },
  'target-locked': { type: 'target.locked', remind: true },
};

/** All inputs of the conditions of one target. */
export interface Watched {
  readonly verdict: TargetRecoverability;
  /** The enabled schedules of backups and drills of the target. */
  readonly schedules: readonly Pick<ScheduleView, 'name' | 'kind' | 'last_run' | 'missed_runs'>[];
  /** The newest full backups of the target, newest first, without safety backups. */
  readonly newest: readonly Pick<BackupSummary, 'backup_id' | 'consistency'>[];
}

/** The conditions of a target that its operators should know. A pure function. */
export function conditionsOf({ verdict, schedules, newest }: Watched): Condition[] {
  const { recoverable, reasons } = verdict;
  // Several copies may have failed: one condition for each code.
  const texts = Map.groupBy(reasons, ({ code }) => code);
  const found: Condition[] = [...texts].flatMap(([code, same]) => {
    const reported = REPORTED[code];
    return reported ? [{ key: code, detail: same.map(({ text }) => text).join(' '), ...reported }] : [];
  });
  if (recoverable === 'no') {
    const causes = reasons.filter(({ severity }) => severity === 'no').map(({ text }) => text);
    found.push({
      key: 'not-recoverable',
      type: 'target.not_recoverable',
      detail: causes.join(' '),
      remind: true,
    });
  }
  for (const { name, kind, last_run, missed_runs } of schedules) {
    const [missed] = missed_runs;
    if (missed === undefined || (last_run && Date.parse(last_run.at) >= Date.parse(missed))) continue;
    found.push({
      key: `missed:${name}`,
      type: kind === 'drill' ? 'drill.overdue' : 'backup.missed',
      detail: `Schedule ${name} should have run at ${missed} and did not.`,
      schedule: name,
      remind: false,
    });
  }
  const last = newest.slice(0, DRIFTED_MIN);
  if (last.length === DRIFTED_MIN && last.every(({ consistency }) => consistency === 'drifted')) {
    found.push({
      key: 'drifted',
      type: 'backup.drifted',
      detail: `The stores changed during each of the last ${DRIFTED_MIN} backups.`,
      backup_id: last[0]?.backup_id,
      remind: false,
    });
  }
  return found;
}

/**
 * Compares the state of every target with what was reported, and records the differences as events. A target whose
 * state cannot be read or written does not prevent the others.
 */
export async function reportConditions(
  context: Pick<OperationsContext, 'bucket' | 'scheduler'> & Outbox & { readonly config: NgbakConfig },
  verdicts: readonly TargetRecoverability[],
  now = Date.now(),
): Promise<void> {
  const { config, log } = context;
  if (!config.notify) return;
  const targets = backedUpTargets(config);
  const schedules = context.scheduler ? (await listSchedules(context)).schedules : [];
  const newest = await newestBackups(context, targets);
  for (const verdict of verdicts) {
    const { target } = verdict;
    const own = schedules.filter(
      ({ enabled, backup, drill }) => enabled && isOf((backup ?? drill)?.target, target, targets),
    );
    const conditions = conditionsOf({ verdict, schedules: own, newest: newest.get(target) ?? [] });
    try {
      await reportTarget(context, target, conditions, now);
    } catch (error) {
      log('The state of a target could not be compared with what was reported.', {
        error_name: NOTIFICATION_LOST,
        target,
        problem: describeError(error),
      });
    }
  }
}

async function reportTarget(
  outbox: Outbox,
  target: string,
  conditions: readonly Condition[],
  now: number,
): Promise<void> {
  const found = await outbox.bucket.readRecord(watchStateKey(target), WatchState);
  const { state, events } = compareConditions(target, found?.value, conditions, now);
  // Events first: if the state is not written, the next run finds them recorded. Concurrent runs form the same IDs.
  for (const event of events) await postEvent(outbox, event);
  if (state === undefined) return;
  await outbox.bucket.writeRecord(
    watchStateKey(target),
    state,
    found ? { etag: found.etag } : { absent: true },
  );
  outbox.log('The state of a target has changed.', { target, events: events.map(({ type }) => type) });
}

/** A schedule without a target applies to the only one, or to `default`. */
function isOf(scheduled: string | undefined, target: string, targets: readonly string[]): boolean {
  return scheduled === undefined ? targets.length === 1 || target === 'default' : scheduled === target;
}

async function newestBackups(
  { bucket }: Pick<OperationsContext, 'bucket'>,
  targets: readonly string[],
): Promise<Map<string, BackupSummary[]>> {
  const newest = new Map<string, BackupSummary[]>(targets.map((target) => [target, []]));
  for await (const { listed } of allBackups(bucket)) {
    const own = listed && newest.get(listed.summary.target);
    if (!own || own.length >= DRIFTED_MIN) continue;
    const { type, tags } = listed.summary;
    if (type === 'full' && !tags.includes(SAFETY_TAG)) own.push(listed.summary);
  }
  return newest;
}
