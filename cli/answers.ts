import { z } from 'zod';
import { Deployment } from '../shared/operations/describe-deployment.ts';
import { BackupList, ListedBackup } from '../shared/operations/list-backups.ts';
import { ScheduleList, ScheduleView } from '../shared/operations/list-schedules.ts';
import { Overview } from '../shared/operations/overview.ts';
import { BackupView } from '../shared/operations/show-backup.ts';
import type { OperationsClient as Operations } from '../shared/operations/table.ts';

/**
 * Responses that the CLI accepts from deployments of earlier versions. A deployment always sends all fields of its own
 * version, and its schema requires them; fields added since a release are optional here. A test compares this with the
 * responses of every release.
 */
const SINCE_0_1_0 = {
  state: true,
  open_warnings: true,
  good: true,
  warnings: true,
  record_count: true,
  file_count: true,
  includes_files: true,
  storage_type: true,
  storage_class: true,
  storage_path: true,
  tag_pairs: true,
} as const;

const AnySummary = ListedBackup.partial({ ...SINCE_0_1_0, records: true });
/** A backup in a list, from a deployment of this version or an earlier one. */
export type AnySummary = z.infer<typeof AnySummary>;

const AnyDetails = BackupView.partial(SINCE_0_1_0);
/** A backup with all fields of this version or an earlier one. */
export type AnyDetails = z.infer<typeof AnyDetails>;

/** A schedule, from a deployment of this version or an earlier one, in which all schedules are of backups. */
const AnySchedule = ScheduleView.extend({ kind: ScheduleView.shape.kind.default('backup') });

const { targets, history } = Overview.shape;

/** The operations whose responses have gained required fields since the first release. */
export const ANSWERS = {
  listBackups: BackupList.extend({ backups: z.array(AnySummary) }),
  showBackup: AnyDetails,
  updateBackup: AnyDetails,
  deployment: Deployment.partial({ upload: true }),
  overview: Overview.extend({
    targets: z.array(
      targets.element
        .extend({
          newest: AnySummary.optional(),
          newest_full: AnySummary.optional(),
          newest_good: AnySummary.optional(),
        })
        .partial({ with_warnings: true, allowed_age_hours: true }),
    ),
    history: z.array(history.element.partial({ state: true })),
  }),
  listSchedules: ScheduleList.extend({ schedules: z.array(AnySchedule) }),
  showSchedule: AnySchedule,
  createSchedule: AnySchedule,
  changeSchedule: AnySchedule,
};

/** A function for each operation, which may call a deployment of an earlier version. */
export type AnyOperations = {
  [Name in keyof Operations]: Name extends keyof typeof ANSWERS
    ? (...args: Parameters<Operations[Name]>) => Promise<z.infer<(typeof ANSWERS)[Name]>>
    : Operations[Name];
};
