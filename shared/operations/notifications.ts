import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { deliveryKey, outboxKey } from '../aws/keys.ts';
import { RefusedError } from '../core/refusals.ts';
import { sleep } from '../core/retry.ts';
import { DeliveryRecord } from '../notify/deliver.ts';
import type { NotifyEvent } from '../notify/event.ts';
import { channelOf, Receiver, readReceivers } from '../notify/receivers.ts';
import type { OperationsContext } from './context.ts';

/** Interval at which the outcome of a test is read, in milliseconds. */
const POLL_MS = 500;
/** Longest wait for the outcome of a test, in milliseconds. */
const TEST_MS = 60_000;
/** Time before the response is due at which a test ends, in milliseconds. */
const MARGIN_MS = 4000;
/** Age at which the state of the receivers is too old to rely on, in milliseconds: it is written every ten minutes. */
const STALE_MS = 3_600_000;

export const Notifications = z.object({
  receivers: z.array(Receiver),
  /** When they were checked. Absent before the first check after a deployment. */
  checked_at: z.iso.datetime().optional(),
  /** Set if nobody is notified, or if some receiver cannot receive anything. */
  warning: z.object({ text: z.string(), remedy: z.string() }).optional(),
});
export type Notifications = z.infer<typeof Notifications>;

export const TestedNotifications = z.object({
  event_id: z.string(),
  /** True if every receiver has the message. */
  delivered: z.boolean(),
  receivers: z.array(
    Receiver.pick({ name: true, kind: true }).extend({
      delivered: z.boolean(),
      problem: z.string().optional(),
    }),
  ),
});
export type TestedNotifications = z.infer<typeof TestedNotifications>;

const CONFIGURE =
  'Configure receivers under "notify" in cdk.json and deploy (docs/notifications.md), then run `ngbak notify test`.';

/** Who is notified of events, and whether messages reach them. */
export async function showNotifications(
  { bucket, config }: Pick<OperationsContext, 'bucket' | 'config'>,
  now = Date.now(),
): Promise<Notifications> {
  const record = await readReceivers(bucket);
  // Without the configuration, a recent record proves that the deployment has receivers.
  const recent = record !== undefined && now - Date.parse(record.checked_at) < STALE_MS;
  if (config ? config.notify === undefined : !recent) {
    const text =
      'Nobody is notified if a backup fails or a target cannot be recovered: no receiver is configured.';
    return { receivers: [], warning: { text, remedy: CONFIGURE } };
  }
  if (!record) return { receivers: [] };
  const { checked_at, receivers } = record;
  const unready = receivers.filter(({ ready }) => !ready);
  const describe = ({ kind, name, problem }: Receiver) => `${kind} ${name}: ${problem}`;
  const [first] = unready;
  const warning = !recent
    ? {
        text: `The receivers of notifications were last checked at ${checked_at}: the function of notifications does not run.`,
        remedy: 'Read the log of the function notify, and the alarm Notifications-late.',
      }
    : first && {
        text:
          unready.length === receivers.length
            ? `Nobody is notified: no receiver is ready. ${describe(first)}`
            : `${unready.length} of ${receivers.length} receivers of notifications cannot receive anything. ${describe(first)}`,
        remedy: 'Then run `ngbak notify test`.',
      };
  return { receivers, checked_at, ...(warning ? { warning } : {}) };
}

/**
 * Sends a test message to every receiver, in the same way as every other message, and waits for the outcome of each.
 * Throws RefusedError if there is no receiver.
 */
export async function testNotifications(
  context: Pick<OperationsContext, 'bucket' | 'config'>,
  requestedBy: string,
  timeLeft: () => number,
): Promise<TestedNotifications> {
  const { bucket, config } = context;
  if (config && !config.notify) throw new RefusedError('No receiver is configured.', { remedy: CONFIGURE });
  const id = `test.${randomUUID()}`;
  const event: NotifyEvent = { id, type: 'test', at: new Date().toISOString(), requested_by: requestedBy };
  await bucket.writeRecord(outboxKey(id), event);
  const until = Date.now() + Math.min(TEST_MS, timeLeft() - MARGIN_MS);
  let record: DeliveryRecord | undefined;
  do {
    await sleep(POLL_MS);
    record = (await bucket.readRecord(deliveryKey(id), DeliveryRecord))?.value;
  } while (!record && Date.now() < until);
  if (!record) {
    throw new RefusedError(
      'The test message was not delivered in time: no receiver is configured, or the function of notifications does not run.',
      { remedy: `${CONFIGURE} If there are receivers, read the log of the function notify.` },
    );
  }
  const { channels } = record;
  // The delivery of a test checks them first.
  const receivers = (await readReceivers(bucket))?.receivers ?? [];
  const outcomes = receivers.map(({ kind, name, ready, problem }) => {
    const outcome = channels[channelOf({ kind, name })];
    // The topic accepts messages in any case, and SNS sends them to confirmed addresses only.
    const delivered = outcome?.delivered === true && (kind !== 'email' || ready);
    return { name, kind, delivered, ...(delivered ? {} : { problem: outcome?.problem ?? problem ?? '' }) };
  });
  return { event_id: id, delivered: outcomes.every(({ delivered }) => delivered), receivers: outcomes };
}
