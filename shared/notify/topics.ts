import { ListSubscriptionsByTopicCommand, PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import { awsClient } from '../aws/clients.ts';
import { FORMATS } from './formats.ts';
import { type Message, plainText, subjectOf } from './message.ts';

/** What the function of notifications receives for its own messages: it has delivered them already. */
export const OWN_MESSAGE = JSON.stringify({ ngbak: 'delivered' });

/** A client for the region of a topic: others may have theirs elsewhere. */
function clientFor(topicArn: string): SNSClient {
  const region = topicArn.split(':')[3];
  return awsClient('sns', SNSClient, region ? { region } : {});
}

/**
 * Publishes a message to a topic: text for people, and the event as JSON for functions and queues. Attributes allow
 * subscribers to filter.
 *
 * @param own  to the topic of the stack, to which the function of notifications is subscribed
 */
export async function publishMessage(topicArn: string, message: Message, own: boolean): Promise<void> {
  const text = plainText(message);
  const event = JSON.stringify(FORMATS.generic(message));
  const byProtocol = own ? { lambda: OWN_MESSAGE } : { lambda: event, sqs: event };
  const attribute = (value: string | undefined) =>
    value === undefined ? undefined : { DataType: 'String', StringValue: value };
  const attributes = Object.entries({
    type: attribute(message.type),
    severity: attribute(message.severity),
    target: attribute(message.target),
  }).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  await clientFor(topicArn).send(
    new PublishCommand({
      TopicArn: topicArn,
      Subject: subjectOf(message),
      MessageStructure: 'json',
      Message: JSON.stringify({ default: text, ...byProtocol }),
      MessageAttributes: Object.fromEntries(attributes),
    }),
  );
}

/** The e-mail addresses whose subscription to a topic is confirmed. */
export async function confirmedEmails(topicArn: string): Promise<Set<string>> {
  const client = clientFor(topicArn);
  const confirmed = new Set<string>();
  let NextToken: string | undefined;
  do {
    const page = await client.send(
      new ListSubscriptionsByTopicCommand({ TopicArn: topicArn, ...(NextToken ? { NextToken } : {}) }),
    );
    for (const { Protocol, Endpoint, SubscriptionArn } of page.Subscriptions ?? []) {
      // Before the confirmation, the ARN is "PendingConfirmation".
      if (Protocol === 'email' && Endpoint && SubscriptionArn?.startsWith('arn:')) confirmed.add(Endpoint);
    }
    NextToken = page.NextToken;
  } while (NextToken);
  return confirmed;
}
