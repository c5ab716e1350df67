import { z } from 'zod';
import type { Bucket } from '../aws/bucket.ts';
import { RECEIVERS_KEY } from '../aws/keys.ts';
import { describeError } from '../core/errors.ts';
import { type NotifyConfig, WEBHOOK_KINDS } from '../core/notify-config.ts';
import type { Message } from './message.ts';
import { confirmedEmails, publishMessage } from './topics.ts';
import { openWebhook, postWebhook } from './webhook.ts';

/** A receiver, and whether messages reach it. */
export const Receiver = z.object({
  /** The e-mail address, the ARN of the topic, or the name of the webhook. */
  name: z.string(),
  kind: z.enum(['email', 'topic', ...WEBHOOK_KINDS]),
  /** False if it cannot receive anything yet, for the reason in `problem`. */
  ready: z.boolean(),
  problem: z.string().optional(),
});
export type Receiver = z.infer<typeof Receiver>;

/** `notifications/receivers.json`, which the function of notifications writes every ten minutes. */
export const ReceiversRecord = z.object({ checked_at: z.iso.datetime(), receivers: z.array(Receiver) });
export type ReceiversRecord = z.infer<typeof ReceiversRecord>;

/** One way to deliver a message: all e-mail addresses, one topic, or one webhook. */
export interface Channel {
  /** Stable: deliveries are recorded under it. */
  readonly name: string;
  deliver(message: Message): Promise<void>;
}

/** The name of the channel of all e-mail addresses. */
export const EMAIL_CHANNEL = 'email';

/** The channel of a receiver. */
export function channelOf({ kind, name }: Pick<Receiver, 'kind' | 'name'>): string {
  if (kind === 'email') return EMAIL_CHANNEL;
  return `${kind === 'topic' ? 'topic' : 'webhook'} ${name}`;
}

/** @param topicArn  the topic of the stack, to which the e-mail addresses are subscribed */
export function channels({ emails, topics, webhooks }: NotifyConfig, topicArn: string): Channel[] {
  return [
    ...(emails.length === 0
      ? []
      : [{ name: EMAIL_CHANNEL, deliver: (message: Message) => publishMessage(topicArn, message, true) }]),
    ...topics.map((arn) => ({
      name: channelOf({ kind: 'topic', name: arn }),
      deliver: (message: Message) => publishMessage(arn, message, false),
    })),
    ...Object.entries(webhooks).map(([name, config]) => ({
      name: channelOf({ kind: config.kind, name }),
      deliver: (message: Message) => postWebhook(name, config, message),
    })),
  ];
}

/** Every receiver, and whether it is ready. Sends nothing. */
export async function checkReceivers(
  { emails, topics, webhooks }: NotifyConfig,
  topicArn: string,
): Promise<Receiver[]> {
  const confirmed = emails.length === 0 ? new Set<string>() : await confirmedEmails(topicArn);
  const ofWebhooks = Object.entries(webhooks).map(async ([name, config]): Promise<Receiver> => {
    try {
      await openWebhook(name, config);
      return { name, kind: config.kind, ready: true };
    } catch (error) {
      return { name, kind: config.kind, ready: false, problem: describeError(error) };
    }
  });
  return [
    ...emails.map(
      (name): Receiver =>
        confirmed.has(name)
          ? { name, kind: 'email', ready: true }
          : {
              name,
              kind: 'email',
              ready: false,
              problem:
                'The subscription is not confirmed. Open the link in the e-mail from AWS Notifications.',
            },
    ),
    // Only a message shows whether a topic of others accepts it: `ngbak notify test`.
    ...topics.map((name): Receiver => ({ name, kind: 'topic', ready: true })),
    ...(await Promise.all(ofWebhooks)),
  ];
}

/** The receivers as last checked; undefined if they were never checked. */
export async function readReceivers(bucket: Bucket): Promise<ReceiversRecord | undefined> {
  return (await bucket.readRecord(RECEIVERS_KEY, ReceiversRecord))?.value;
}
