import { z } from 'zod';
import { Id } from '../core/ids.ts';

/** The events that receivers are notified of, as named in signed webhooks. */
export const EVENT_TYPES = [
  ...['backup.failed', 'backup.missed', 'backup.incomplete', 'backup.suspicious', 'backup.drifted'],
  'backup.not_copied',
  ...['drill.failed', 'drill.overdue'],
  ...['restore.started', 'restore.awaiting_approval', 'restore.completed', 'restore.failed'],
  ...['restore.rolled_back', 'data.changed', 'target.locked', 'target.not_recoverable'],
  ...['target.recoverable', 'target.reminder', 'alarm', 'test'],
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Longest text of an event, in characters. Messages shorten it further. */
const DETAIL_MAX = 4000;
/** Longest name of who requested a job, in characters. */
export const REQUESTER_MAX = 200;

/**
 * An event: `notifications/outbox/<id>.json`, until every receiver has it. Contains facts, from which the message is
 * composed when it is delivered.
 */
export const NotifyEvent = z.object({
  /** Unique, and derived from what happened, so that an event is recorded once even if a function is retried. */
  id: z
    .string()
    .max(200)
    .regex(/^[\w.-]+$/),
  type: z.enum(EVENT_TYPES),
  at: z.iso.datetime(),
  target: Id.optional(),
  job_id: Id.optional(),
  backup_id: Id.optional(),
  /** Why it happened: the message of an error, a reason of the verdict. May contain addresses, which messages omit. */
  detail: z.string().max(DETAIL_MAX).optional(),
  /** The conditions that a reminder repeats. */
  conditions: z.array(z.string().max(DETAIL_MAX)).max(20).optional(),
  requested_by: z.string().max(REQUESTER_MAX).optional(),
  records: z.number().optional(),
  bytes: z.number().optional(),
  seconds: z.number().optional(),
  /** Number of unacknowledged warnings of a backup. */
  warnings: z.number().optional(),
  /** A schedule whose run was missed. */
  schedule: z.string().max(64).optional(),
  /** A CloudWatch alarm and its new state. */
  alarm: z.object({ name: z.string().max(255), state: z.string().max(30) }).optional(),
});
export type NotifyEvent = z.infer<typeof NotifyEvent>;

/** The text of an error or reason, short enough for an event. */
export function detailOf(text: string): string {
  return text.length <= DETAIL_MAX ? text : `${text.slice(0, DETAIL_MAX - 1)}…`;
}

const SEVERITIES = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];
