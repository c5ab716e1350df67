import { DeleteMessageCommand, type Message, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { z } from 'zod';
import type { LegLimits } from '../environment.ts';
import { ExecutionEnded } from './janitor.ts';

/** Limit of SQS for one call. */
const MESSAGES_MAX = 10;

/** What Lambda sends to the destination of a failed asynchronous invocation, including the event. */
const DestinationEnvelope = z.object({ requestPayload: ExecutionEnded });

/** A failed periodic reconciliation. The next one has repeated it since. */
const FailedRun = z.object({ requestPayload: z.object({ reconcile: z.unknown() }) });

/** An event from the queue, and a function that removes it. */
export interface UndeliveredEvent {
  readonly event: ExecutionEnded;
  remove(): Promise<void>;
}

/**
 * The event of a message, whether sent by EventBridge, which could not reach the function, or by Lambda, where every
 * attempt of the function failed. Undefined for anything else.
 */
export function readUndelivered(body: string | undefined): ExecutionEnded | 'a look' | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body ?? '');
  } catch {
    return undefined;
  }
  if (FailedRun.safeParse(value).success) return 'a look';
  return ExecutionEnded.safeParse(value).data ?? DestinationEnvelope.safeParse(value).data?.requestPayload;
}

/** The dead-letter queue of the janitor. */
export class UndeliveredEvents {
  readonly #url: string;
  readonly #sqs: SQSClient;
  readonly #log: (message: string) => void;

  constructor(url: string, log: (message: string) => void, sqs = new SQSClient({})) {
    this.#url = url;
    this.#sqs = sqs;
    this.#log = log;
  }

  /**
   * Every visible event of the queue. One that is not removed reappears after the queue's visibility timeout. A message
   * that cannot be parsed stays in the queue, and keeps the alarm active.
   */
  async *receive(leg: LegLimits): AsyncGenerator<UndeliveredEvent> {
    while (leg.timeLeft() > 0) {
      const { Messages = [] } = await this.#sqs.send(
        new ReceiveMessageCommand({ QueueUrl: this.#url, MaxNumberOfMessages: MESSAGES_MAX }),
      );
      if (Messages.length === 0) return;
      for (const message of Messages) {
        const event = readUndelivered(message.Body);
        if (event === 'a look') await this.#remove(message);
        else if (event) yield { event, remove: () => this.#remove(message) };
        else this.#log('A message in the queue of undelivered events has an unknown format.');
      }
    }
  }

  async #remove({ ReceiptHandle }: Message): Promise<void> {
    await this.#sqs.send(new DeleteMessageCommand({ QueueUrl: this.#url, ReceiptHandle }));
  }
}
