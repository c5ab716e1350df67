import { z } from 'zod';
import { explainAwsError } from '../aws/aws-error.ts';
import { deliveryKey, OUTBOX, outboxKey, RECEIVERS_KEY } from '../aws/keys.ts';
import { redact } from '../aws/secrets.ts';
import { describeError, InvalidInputError } from '../core/errors.ts';
import type { NotifyConfig } from '../core/notify-config.ts';
import { NotifyEvent } from './event.ts';
import { composeMessage, type Message, type Verdict } from './message.ts';
import { NOTIFICATION_LOST, type Outbox } from './outbox.ts';
import { channels, checkReceivers, EMAIL_CHANNEL, type ReceiversRecord } from './receivers.ts';

/** Age from which a periodic run delivers an event: until then, the delivery that its creation started may run. */
const RETRY_AFTER_MS = 3 * 60_000;
/** Age at which an undelivered event raises an alarm. */
const LATE_MS = 15 * 60_000;
/** Age at which a delivery is given up. */
const GIVE_UP_MS = 24 * 3_600_000;

/** Age at which nobody waits for the outcome of a test any more. */
const TEST_VALID_MS = 10 * 60_000;

/** Metric: events that some receiver has not got after 15 minutes. An alarm fires on it, and if it is missing. */
export const NOTIFICATIONS_LATE = 'NotificationsLate';

/** `notifications/deliveries/<event>.json`: the outcome for each channel. */
export const DeliveryRecord = z.object({
  id: z.string(),
  type: z.string(),
  channels: z.record(
    z.string(),
    z.object({
      delivered: z.boolean(),
      at: z.iso.datetime(),
      attempts: z.number().int(),
      problem: z.string().optional(),
    }),
  ),
  /** True if every channel has the message, or if the delivery was given up. */
  done: z.boolean(),
});
export type DeliveryRecord = z.infer<typeof DeliveryRecord>;

/** What a delivery uses. */
export interface DeliveryContext extends Outbox {
  readonly config: { readonly notify: NotifyConfig };
  /** The topic of the stack. */
  readonly topicArn: string;
  /** Name of the stack. */
  readonly deployment: string;
  /** Determines whether a target is recoverable. May throw. */
  verdictOf(target: string): Promise<Verdict | undefined>;
}

/** Whether an event is delivered, still has to be, was given up, or is not in the outbox. */
export type Outcome = 'delivered' | 'pending' | 'lost' | 'absent';

/**
 * Delivers an event to every channel that does not have it yet, and removes it from the outbox afterwards. A failed
 * channel does not affect the others; it is recorded, and tried again by {@link deliverPending}. If two deliveries of
 * one event overlap, a receiver may get it twice.
 */
export async function deliverEvent(context: DeliveryContext, id: string, now = Date.now()): Promise<Outcome> {
  const { bucket, config, log, topicArn } = context;
  const event = (await bucket.readRecord(outboxKey(id), NotifyEvent))?.value;
  if (!event) return 'absent';
  if (event.type === 'test' && now - Date.parse(event.at) > TEST_VALID_MS) {
    // From before the deployment had receivers.
    await bucket.removeVersion({ key: outboxKey(id) });
    return 'absent';
  }
  const earlier = (await bucket.readRecord(deliveryKey(id), DeliveryRecord))?.value.channels ?? {};
  // A test reports their current state.
  if (event.type === 'test') await recordReceivers(context, now);
  // CloudWatch itself has sent the alarm to the subscribers of the topic.
  const skipped = event.type === 'alarm' ? EMAIL_CHANNEL : undefined;
  const wanted = channels(config.notify, topicArn).filter(({ name }) => name !== skipped);
  const missing = wanted.filter(({ name }) => earlier[name]?.delivered !== true);
  const message = missing.length === 0 ? undefined : await compose(context, event);
  const at = new Date(now).toISOString();
  const outcomes = await Promise.all(
    missing.map(async ({ name, deliver }) => {
      const attempts = (earlier[name]?.attempts ?? 0) + 1;
      try {
        if (message) await deliver(message);
        return [name, { delivered: true, at, attempts }] as const;
      } catch (error) {
        const problem = redact(describeError(explainAwsError(error)));
        log('A notification was not delivered.', { event: id, receiver: name, attempts, problem });
        return [name, { delivered: false, at, attempts, problem }] as const;
      }
    }),
  );
  const delivered = outcomes.every(([, outcome]) => outcome.delivered);
  const lost = !delivered && now - Date.parse(event.at) > GIVE_UP_MS;
  const record: DeliveryRecord = {
    id,
    type: event.type,
    channels: { ...earlier, ...Object.fromEntries(outcomes) },
    // The operator waits for the outcome, and can repeat the test.
    done: delivered || lost || event.type === 'test',
  };
  await bucket.writeRecord(deliveryKey(id), record);
  if (record.done) await bucket.removeVersion({ key: outboxKey(id) });
  if (lost) log('The delivery of a notification was given up.', { error_name: NOTIFICATION_LOST, event: id });
  return delivered ? 'delivered' : lost ? 'lost' : 'pending';
}

async function compose(context: DeliveryContext, event: NotifyEvent): Promise<Message> {
  const { deployment, config, verdictOf, log } = context;
  let verdict: Verdict | undefined;
  try {
    verdict = event.target === undefined ? undefined : await verdictOf(event.target);
  } catch (error) {
    // The message is sent without it: it may be about the very cause.
    log('The verdict for a notification could not be determined.', {
      event: event.id,
      problem: describeError(error),
    });
  }
  return composeMessage(event, { deployment, timeZone: config.notify.time_zone, verdict });
}

/** The result of a periodic run. */
export interface PendingResult {
  readonly delivered: number;
  /** Events that some receiver has not got after 15 minutes. */
  readonly late: number;
  readonly lost: number;
}

/** Delivers what earlier attempts did not, whether they failed or their event was lost, and checks the receivers. */
export async function deliverPending(
  context: DeliveryContext,
  timeLeft: () => number,
  now = Date.now(),
): Promise<PendingResult> {
  const { bucket } = context;
  const counts = { delivered: 0, late: 0, lost: 0 };
  for await (const { key, modified } of bucket.keys(OUTBOX)) {
    const age = now - (modified?.getTime() ?? 0);
    if (age < RETRY_AFTER_MS || timeLeft() <= 0) continue;
    const outcome = await deliverEvent(context, key.slice(OUTBOX.length, -'.json'.length), now).catch(
      async (error: unknown): Promise<Outcome> => {
        // An object that is not an event, which would be reported until it expires.
        if (!(error instanceof InvalidInputError) || age < GIVE_UP_MS) return 'pending';
        await bucket.removeVersion({ key });
        return 'lost';
      },
    );
    if (outcome === 'delivered') counts.delivered++;
    if (outcome === 'lost') counts.lost++;
    if (outcome === 'pending' && age > LATE_MS) counts.late++;
  }
  await recordReceivers(context, now);
  return counts;
}

/** Checks every receiver, and writes `notifications/receivers.json`. */
async function recordReceivers({ bucket, config, topicArn }: DeliveryContext, now: number): Promise<void> {
  const record: ReceiversRecord = {
    checked_at: new Date(now).toISOString(),
    receivers: await checkReceivers(config.notify, topicArn),
  };
  await bucket.writeRecord(RECEIVERS_KEY, record);
}
