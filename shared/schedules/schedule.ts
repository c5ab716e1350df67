import { z } from 'zod';
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

/** Settings of a schedule. */
export const ScheduleSettings = z.strictObject({
  expression: ScheduleExpression,
  /** Time zone of `cron` and `at`, including daylight saving time. */
  time_zone: TimeZone.default('UTC'),
  /** A run starts at any time within this many minutes. 0: on time. AWS allows up to a day. */
  flexible_minutes: z.number().int().min(0).max(1440).default(0),
  enabled: z.boolean().default(true),
  description: z.string().max(512).default(''),
  backup: ScheduledBackup.prefault({}),
});
export type ScheduleSettings = z.infer<typeof ScheduleSettings>;

export const CreateScheduleInput = ScheduleSettings.extend({ name: ScheduleName });
export type CreateScheduleInput = z.infer<typeof CreateScheduleInput>;

/** Absent fields stay unchanged. `backup` is replaced as a whole. */
export const ScheduleChanges = z
  .strictObject({
    expression: ScheduleSettings.shape.expression.optional(),
    time_zone: TimeZone.optional(),
    flexible_minutes: ScheduleSettings.shape.flexible_minutes.unwrap().optional(),
    enabled: z.boolean().optional(),
    description: ScheduleSettings.shape.description.unwrap().optional(),
    backup: ScheduledBackup.optional(),
  })
  .refine(
    (changes) => Object.values(changes).some((value) => value !== undefined),
    'there is nothing to change',
  );
export type ScheduleChanges = z.infer<typeof ScheduleChanges>;

/** A schedule as stored in EventBridge Scheduler. */
export const Schedule = z.object({
  name: ScheduleName,
  ...ScheduleSettings.shape,
  /** Its creator. `deployment` if it comes from cdk.json. */
  made_by: z.string().optional(),
  created_at: z.iso.datetime(),
  changed_at: z.iso.datetime(),
});
export type Schedule = z.infer<typeof Schedule>;
