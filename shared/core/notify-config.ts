import { z } from 'zod';
import { Id } from './ids.ts';

/** What a webhook expects: a message for Slack or Teams, or a signed event. */
export const WEBHOOK_KINDS = ['slack', 'teams', 'generic'] as const;
export type WebhookKind = (typeof WEBHOOK_KINDS)[number];

export const WebhookConfig = z.strictObject({
  kind: z.enum(WEBHOOK_KINDS),
  /** ARN or name of the secret with its address, which is a credential, and its signing key. */
  secret: z.string().min(1),
  /** Allows `http:` and addresses of this machine. For the local stack: the messages are not encrypted. */
  allow_http: z.boolean().default(false),
});
export type WebhookConfig = z.infer<typeof WebhookConfig>;

/** The receivers of notifications, as the functions read them. Contains no secrets. */
export const NotifyConfig = z.strictObject({
  /** E-mail addresses, which are subscribed to the topic of the stack. */
  emails: z.array(z.string()).default([]),
  /** ARNs of SNS topics of others. */
  topics: z.array(z.string()).default([]),
  webhooks: z.record(Id, WebhookConfig).default({}),
  /** Time zone of the times in messages, as named in the IANA database. */
  time_zone: z.string().default('UTC'),
});
export type NotifyConfig = z.infer<typeof NotifyConfig>;
