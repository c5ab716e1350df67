import { z } from 'zod';
import { BackupRequest, OwnTags } from '../catalog/request.ts';
import { Id } from '../core/ids.ts';
import { ScheduleExpression } from './expression.ts';
import { TimeZone } from './time-zone.ts';

/** EventBridge Scheduler's limit for names of schedules is 64 characters. */
export const ScheduleName = Id.max(64);

/** What a schedule backs up, with tags, note and retention of its own: a backup request without what only workflows say. */
export const ScheduledBackup = BackupRequest.omit({
  part_of: true,
  requested_by: true,
  schedule: true,
}).extend({ tags: OwnTags.default([]) });
export type ScheduledBackup = z.infer<typeof ScheduledBackup>;

/** What can be set in a schedule. */
export const ScheduleSettings = z.strictObject({
  expression: ScheduleExpression,
  /** Zone of the clock that `cron` and `at` follow, daylight saving included. */
  time_zone: TimeZone.default('UTC'),
  /** A run starts at any moment within so many minutes; 0: on time. AWS allows a day. */
  flexible_minutes: z.number().int().min(0).max(1440).default(0),
  enabled: z.boolean().default(true),
  description: z.string().max(512).default(''),
  backup: ScheduledBackup.prefault({}),
});
export type ScheduleSettings = z.infer<typeof ScheduleSettings>;

export const CreateScheduleInput = ScheduleSettings.extend({ name: ScheduleName });
export type CreateScheduleInput = z.infer<typeof CreateScheduleInput>;

/** What is left out stays; `backup` is replaced as a whole. */
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

/** A schedule as EventBridge Scheduler has it. */
export const Schedule = z.object({
  name: ScheduleName,
  ...ScheduleSettings.shape,
  /** Who made it; `deployment` where it comes from cdk.json. */
  made_by: z.string().optional(),
  created_at: z.iso.datetime(),
  changed_at: z.iso.datetime(),
});
export type Schedule = z.infer<typeof Schedule>;
