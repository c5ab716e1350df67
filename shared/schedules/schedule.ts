import { z } from 'zod';
import { DrillInput } from '../catalog/drill-request.ts';
import { BackupRequest, OwnTags } from '../catalog/request.ts';
import { Id } from '../core/ids.ts';
import { ScheduleExpression } from './expression.ts';
import { TimeZone } from './time-zone.ts';

/** EventBridge Scheduler's limit for names of schedules is 64 characters. */
export const ScheduleName = Id.max(64);

/**
 * The backup request of a schedule, with tags, note and retention, but without the fields for internal use between
 * workflows.
 */
export const ScheduledBackup = BackupRequest.omit({
  part_of: true,
  requested_by: true,
  schedule: true,
}).extend({ tags: OwnTags.default([]) });
export type ScheduledBackup = z.infer<typeof ScheduledBackup>;

/** The drill of a schedule. It restores the newest good backup at the time of each run. */
export const ScheduledDrill = DrillInput.omit({ backup_id: true });
export type ScheduledDrill = z.infer<typeof ScheduledDrill>;

/** What a schedule starts. */
export type ScheduledWork =
  | { readonly backup: ScheduledBackup; readonly drill?: undefined }
  | { readonly backup?: undefined; readonly drill: ScheduledDrill };

/** What a schedule with these settings starts: a full backup if it states nothing. */
export function workOf({
  backup,
  drill,
}: {
  readonly backup?: ScheduledBackup | undefined;
  readonly drill?: ScheduledDrill | undefined;
}): ScheduledWork {
  return drill ? { drill } : { backup: backup ?? ScheduledBackup.parse({}) };
}

/** Settings of a schedule. */
export const ScheduleSettings = z.strictObject({
  expression: ScheduleExpression,
  /** Time zone of `cron` and `at`, including daylight saving time. */
  time_zone: TimeZone.default('UTC'),
  /** A run starts at any time within this many minutes. 0: on time. AWS allows up to a day. */
  flexible_minutes: z.number().int().min(0).max(1440).default(0),
  enabled: z.boolean().default(true),
  description: z.string().max(512).default(''),
  /** What it backs up. Default, without `drill`: the only target, or the target `default`. */
  backup: ScheduledBackup.optional(),
  /** Makes it a schedule of drills. Excludes `backup`. */
  drill: ScheduledDrill.optional(),
});
export type ScheduleSettings = z.infer<typeof ScheduleSettings>;

const ONE_KIND = 'a schedule starts backups or drills, not both: give "backup" or "drill"';
const isOfOneKind = ({ backup, drill }: { readonly backup?: unknown; readonly drill?: unknown }) =>
  backup === undefined || drill === undefined;

export const CreateScheduleInput = ScheduleSettings.extend({ name: ScheduleName }).refine(
  isOfOneKind,
  ONE_KIND,
);
export type CreateScheduleInput = z.infer<typeof CreateScheduleInput>;

/** Absent fields stay unchanged. `backup` and `drill` are replaced as a whole; the kind of a schedule cannot change. */
export const ScheduleChanges = z
  .strictObject({
    expression: ScheduleSettings.shape.expression.optional(),
    time_zone: TimeZone.optional(),
    flexible_minutes: ScheduleSettings.shape.flexible_minutes.unwrap().optional(),
    enabled: z.boolean().optional(),
    description: ScheduleSettings.shape.description.unwrap().optional(),
    backup: ScheduledBackup.optional(),
    drill: ScheduledDrill.optional(),
  })
  .refine(
    (changes) => Object.values(changes).some((value) => value !== undefined),
    'there is nothing to change',
  )
  .refine(isOfOneKind, ONE_KIND);
export type ScheduleChanges = z.infer<typeof ScheduleChanges>;

/** A schedule as stored in EventBridge Scheduler. */
export const Schedule = z.object({
  name: ScheduleName,
  /** What it starts: `backup` or `drill` has the details. */
  kind: z.enum(['backup', 'drill']),
  ...ScheduleSettings.shape,
  /** Its creator. `deployment` if it comes from cdk.json. */
  made_by: z.string().optional(),
  created_at: z.iso.datetime(),
  changed_at: z.iso.datetime(),
});
export type Schedule = z.infer<typeof Schedule>;
