import { Metrics } from '@aws-lambda-powertools/metrics';
import { z } from 'zod';
import { OUTBOX } from '../shared/aws/keys.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import { alarmEvent } from '../shared/notify/alarm.ts';
import {
  type DeliveryContext,
  deliverEvent,
  deliverPending,
  NOTIFICATIONS_LATE,
} from '../shared/notify/deliver.ts';
import { postEvent } from '../shared/notify/outbox.ts';
import { recoverability } from '../shared/operations/recoverability.ts';
import type { Environment } from '../shared/workflows/environment.ts';
import { deployedScheduler } from './scheduler.ts';
import { step } from './step.ts';

const Settings = z.object({
  NGBAK_NOTIFY_TOPIC_ARN: z.string().startsWith('arn:'),
  /** Name of the deployment in messages. */
  NGBAK_STACK_NAME: z.string().min(1),
});

/** An event was recorded: EventBridge's "Object Created". */
const EventRecorded = z.object({ detail: z.object({ object: z.object({ key: z.string() }) }) });
/** Messages of the topic: alarms, and our own. */
const Published = z.object({ Records: z.array(z.object({ Sns: z.object({ Message: z.string() }) })) });
/** Every ten minutes. */
const Periodic = z.strictObject({ pending: z.strictObject({}) });

const metrics = new Metrics();

/** Delivers notifications: when an event is recorded, when CloudWatch raises an alarm, and again every ten minutes. */
export const handler = step(
  z.union([Periodic, Published, EventRecorded]),
  async (environment, input, leg) => {
    if ('Records' in input) {
      const alarms = input.Records.map(({ Sns }) => alarmEvent(Sns.Message)).filter(
        (event) => event !== undefined,
      );
      // Delivered like every other event, with its retries.
      for (const event of alarms) await postEvent(environment, event);
      return { alarms: alarms.length };
    }
    const context = deliveryContext(environment);
    if ('pending' in input) {
      const counts = await deliverPending(context, () => leg.timeLeft());
      metrics.addMetric(NOTIFICATIONS_LATE, 'Count', counts.late);
      metrics.publishStoredMetrics();
      return counts;
    }
    const key = environment.bucket.ownKey(input.detail.object.key) ?? '';
    if (!key.startsWith(OUTBOX) || !key.endsWith('.json')) return { outcome: 'absent' };
    return { outcome: await deliverEvent(context, key.slice(OUTBOX.length, -'.json'.length)) };
  },
);

function deliveryContext({ bucket, config, log }: Environment): DeliveryContext {
  const { NGBAK_NOTIFY_TOPIC_ARN: topicArn, NGBAK_STACK_NAME: deployment } = parseInput(
    Settings,
    process.env,
    'The environment of the function',
  );
  if (!config.notify) {
    throw new InvalidInputError('The configuration has no receivers of notifications.', {
      remedy: 'Deploy the stack again.',
    });
  }
  const { notify } = config;
  const scheduler = deployedScheduler();
  return {
    bucket,
    config: { notify },
    log,
    topicArn,
    deployment,
    verdictOf: async (target) => {
      if (!Object.hasOwn(config.targets, target)) return undefined;
      return (await recoverability({ bucket, config, ...scheduler }, { target })).targets[0];
    },
  };
}
