import { z } from 'zod';
import type { Bucket } from '../aws/bucket.ts';
import { deliveryKey, outboxKey } from '../aws/keys.ts';
import { describeError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import type { NotifyConfig } from '../core/notify-config.ts';
import type { NotifyEvent } from './event.ts';

/** Value of `error_name` in the log for an event that is lost to its receivers. An alarm counts these lines. */
export const NOTIFICATION_LOST = 'NotificationLostError';

/** What is needed to record an event: a part of the environment of every function. */
export interface Outbox {
  readonly bucket: Bucket;
  readonly config: { readonly notify?: NotifyConfig | undefined };
  log(message: string, fields?: Record<string, Json>): void;
}

/**
 * Records an event, which starts its delivery (functions/notify.ts). Recorded again, it is ignored. Never throws:
 * notifications must not make a job fail. Without receivers, does nothing.
 *
 * The bucket, and not the topic, because functions in a VPC reach S3 in any case, and an object stays until it is
 * delivered (docs/adr/0015-notifications.md).
 */
export async function postEvent(
  { bucket, config, log }: Outbox,
  event: Omit<NotifyEvent, 'at'> & { readonly at?: string },
): Promise<void> {
  if (!config.notify) return;
  try {
    if (await bucket.readRecord(deliveryKey(event.id), z.unknown())) return;
    await bucket.writeOnce(outboxKey(event.id), { at: new Date().toISOString(), ...event });
  } catch (error) {
    log('An event could not be recorded for its notification.', {
      error_name: NOTIFICATION_LOST,
      event: event.id,
      problem: describeError(error),
    });
  }
}
