import { createHash } from 'node:crypto';
import { z } from 'zod';
import { detailOf, type NotifyEvent } from './event.ts';

/** The message that CloudWatch publishes when an alarm changes its state: the fields that ngbak uses. */
const CloudWatchAlarm = z.object({
  AlarmName: z.string(),
  AlarmDescription: z.string().nullish(),
  AlarmArn: z.string().nullish(),
  NewStateValue: z.string(),
  NewStateReason: z.string().nullish(),
  StateChangeTime: z.string(),
});

/** The event of an alarm. Undefined for any other message of the topic. */
export function alarmEvent(message: string): NotifyEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    return undefined;
  }
  const alarm = CloudWatchAlarm.safeParse(value).data;
  const at = alarm && new Date(alarm.StateChangeTime);
  if (!alarm || !at || Number.isNaN(at.getTime())) return undefined;
  const { AlarmName, AlarmArn, NewStateValue, AlarmDescription, NewStateReason } = alarm;
  const hash = createHash('sha256').update(`${AlarmArn ?? AlarmName} ${at.toISOString()} ${NewStateValue}`);
  return {
    id: `alarm.${hash.digest('hex').slice(0, 32)}`,
    type: 'alarm',
    at: at.toISOString(),
    alarm: { name: AlarmName.slice(0, 255), state: NewStateValue.slice(0, 30) },
    detail: detailOf([AlarmDescription, NewStateReason].filter((text) => text).join(' ')),
  };
}
