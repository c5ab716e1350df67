/** Delivery from the outbox to receivers: real objects, secrets and topics of the emulator, and a local HTTP server. */
import { randomBytes } from 'node:crypto';
import {
  CreateSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { CreateTopicCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns';
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { deliveryKey, OUTBOX, outboxKey } from '../../shared/aws/keys.ts';
import type { Json } from '../../shared/core/json.ts';
import { NotifyConfig } from '../../shared/core/notify-config.ts';
import {
  type DeliveryContext,
  DeliveryRecord,
  deliverEvent,
  deliverPending,
} from '../../shared/notify/deliver.ts';
import type { Verdict } from '../../shared/notify/message.ts';
import { postEvent } from '../../shared/notify/outbox.ts';
import { readReceivers } from '../../shared/notify/receivers.ts';
import { freshEnvironment } from '../support/aws.ts';
import { type ReceivedRequest, startReceiver, type TestReceiver } from '../support/receiver.ts';

const secrets = new SecretsManagerClient({});
const sns = new SNSClient({});
const sqs = new SQSClient({});
const HOUR = 3_600_000;
const KEY = `whsec_${randomBytes(32).toString('base64')}`;
const TOKEN = `T-${randomBytes(12).toString('hex')}`;
const VERDICT: Verdict = { recoverable: 'no', reasons: [{ severity: 'no', text: 'There is no backup.' }] };

let receiver: TestReceiver;
let context: DeliveryContext;
let logged: string[];
/** How a path answers; default 200. */
let answers: Map<string, { status: number; headers?: Record<string, string>; body?: string; fails?: number }>;

async function secretOf(value: object): Promise<string> {
  const Name = `webhook-${randomBytes(6).toString('hex')}`;
  await secrets.send(new CreateSecretCommand({ Name, SecretString: JSON.stringify(value) }));
  return Name;
}

/** A topic whose messages the test can read, from the queue that is subscribed to it. */
async function makeTopic() {
  const name = `topic-${randomBytes(6).toString('hex')}`;
  const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: name }));
  const { QueueUrl = '' } = await sqs.send(
    new CreateQueueCommand({
      QueueName: name,
      Attributes: {
        Policy: JSON.stringify({
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Principal: '*', Action: 'sqs:SendMessage', Resource: '*' }],
        }),
      },
    }),
  );
  const Endpoint = `arn:aws:sqs:us-east-1:000000000000:${name}`;
  await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint }));
  const messages = async () => {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }),
    );
    return Messages.map(({ Body = '' }) => JSON.parse(Body) as { Subject: string; Message: string });
  };
  return { arn: TopicArn, messages };
}

async function makeContext(notify: object): Promise<DeliveryContext> {
  const { bucket } = await freshEnvironment();
  return {
    bucket,
    config: { notify: NotifyConfig.parse(notify) },
    log: (message: string, fields: Record<string, Json> = {}) =>
      void logged.push(JSON.stringify([message, fields])),
    topicArn: (await makeTopic()).arn,
    deployment: 'Ngbak',
    verdictOf: async () => VERDICT,
  };
}

const webhook = async (kind: string, path: string, more: object = {}) => ({
  kind,
  secret: await secretOf({ webhook_url: `${receiver.origin}${path}?token=${TOKEN}`, ...more }),
  allow_http: true,
});
const post = (id = 'job-1.backup.failed', at = new Date().toISOString()) =>
  postEvent(context, {
    id,
    type: 'backup.failed',
    at,
    target: 'kb',
    job_id: 'job-1',
    detail: 'bolt://secret.internal:7687 did not respond.',
  });
const outbox = async () => {
  const keys: string[] = [];
  for await (const { key } of context.bucket.keys(OUTBOX)) keys.push(key);
  return keys;
};
const record = async (id = 'job-1.backup.failed') =>
  (await context.bucket.readRecord(deliveryKey(id), DeliveryRecord))?.value;
const pathOf = ({ path }: ReceivedRequest) => path.split('?')[0] ?? '';
const at = (path: string) => receiver.requests.filter((request) => pathOf(request) === path);

beforeEach(async () => {
  logged = [];
  answers = new Map();
  receiver = await startReceiver((request, response) => {
    const answer = answers.get(pathOf(request));
    if (!answer || (answer.fails !== undefined && at(pathOf(request)).length > answer.fails)) return false;
    response.writeHead(answer.status, answer.headers).end(answer.body ?? '');
    return true;
  });
});
afterEach(() => receiver.close());

describe('an event', () => {
  test('is delivered to e-mail, topics and webhooks of every kind, once, and leaves the outbox', async () => {
    const topic = await makeTopic();
    context = await makeContext({
      emails: ['ops@example.com'],
      topics: [topic.arn],
      webhooks: {
        chat: await webhook('slack', '/slack'),
        team: await webhook('teams', '/teams'),
        pager: await webhook('generic', '/pager', { signing_key: KEY }),
      },
    });
    await post();
    await post();
    expect(await outbox()).toEqual([outboxKey('job-1.backup.failed')]);
    expect(await deliverEvent(context, 'job-1.backup.failed')).toBe('delivered');
    expect(await outbox()).toEqual([]);

    const [slack] = at('/slack');
    expect(JSON.parse(slack?.body ?? '')).toMatchObject({ text: '[Ngbak] Backup of "kb" failed' });
    expect(slack?.headers).not.toHaveProperty('webhook-signature');
    expect(JSON.parse(at('/teams')[0]?.body ?? '')).toMatchObject({ type: 'message' });
    const [signed] = at('/pager');
    expect(signed && new Webhook(KEY).verify(signed.body, signed.headers)).toMatchObject({
      type: 'backup.failed',
      data: { target: 'kb', recoverability: { verdict: 'no' } },
    });
    const [message] = await topic.messages();
    expect(message?.Subject).toBe('[Ngbak] Backup of "kb" failed');
    expect(JSON.parse(message?.Message ?? '')).toMatchObject({ type: 'backup.failed' });

    // Recorded again by a retried function, and started again by a repeated event: nothing happens.
    await post();
    expect(await deliverEvent(context, 'job-1.backup.failed')).toBe('absent');
    expect(receiver.requests).toHaveLength(3);
    const everything = JSON.stringify([
      receiver.requests.map(({ body }) => body),
      message,
      await record(),
      logged,
    ]);
    for (const secret of [TOKEN, KEY, 'secret.internal', receiver.origin])
      expect(everything).not.toContain(secret);
  });

  test('whose verdict cannot be determined is delivered without it', async () => {
    context = await makeContext({ webhooks: { chat: await webhook('slack', '/slack') } });
    context = { ...context, verdictOf: () => Promise.reject(new Error('The key is disabled.')) };
    await post();
    expect(await deliverEvent(context, 'job-1.backup.failed')).toBe('delivered');
    expect(at('/slack')[0]?.body).toContain('could not be determined');
  });

  test('is not recorded without receivers', async () => {
    context = await makeContext({});
    const { notify: _, ...without } = context.config;
    await postEvent({ ...context, config: without }, { id: 'x', type: 'test' });
    expect(await outbox()).toEqual([]);
  });

  test('that cannot be recorded fails nothing, and is logged under the name that an alarm counts', async () => {
    context = await makeContext({});
    const failing = Object.create(context.bucket, {
      writeOnce: { value: () => Promise.reject(new Error('S3 is unavailable.')) },
    }) as DeliveryContext['bucket'];
    await postEvent({ ...context, bucket: failing }, { id: 'x', type: 'test' });
    expect(logged.join()).toContain('"error_name":"NotificationLostError"');
  });
});

describe('a receiver that fails', () => {
  test('does not affect the others, and gets the event later, which they do not get again', async () => {
    context = await makeContext({
      webhooks: { chat: await webhook('slack', '/slack'), broken: await webhook('slack', '/broken') },
    });
    answers.set('/broken', { status: 404, body: `no_service ${TOKEN}` });
    await post();
    expect(await deliverEvent(context, 'job-1.backup.failed')).toBe('pending');
    expect((await record())?.channels).toMatchObject({
      'webhook chat': { delivered: true, attempts: 1 },
      'webhook broken': {
        delivered: false,
        attempts: 1,
        problem: expect.stringContaining('HTTP 404: no_service ***'),
      },
    });
    // A permanent error is not repeated at once.
    expect(at('/broken')).toHaveLength(1);
    answers.clear();
    const later = Date.now() + HOUR;
    expect(await deliverPending(context, () => 60_000, later)).toEqual({ delivered: 1, late: 0, lost: 0 });
    expect([at('/slack').length, at('/broken').length]).toEqual([1, 2]);
    expect(at('/broken')[0]?.body).toBe(at('/broken')[1]?.body);
    expect(logged.join()).not.toContain(TOKEN);
  });

  test('for a moment gets the event in the same delivery', async () => {
    context = await makeContext({ webhooks: { chat: await webhook('generic', '/x', { signing_key: KEY }) } });
    answers.set('/x', { status: 503, fails: 1 });
    await post();
    expect(await deliverEvent(context, 'job-1.backup.failed')).toBe('delivered');
    const ids = at('/x').map(({ headers }) => headers['webhook-id']);
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
  });

  test('raises an alarm after 15 minutes, and the event is given up after a day', async () => {
    context = await makeContext({ webhooks: { chat: await webhook('slack', '/slack') } });
    answers.set('/slack', { status: 410 });
    await post();
    const in20Minutes = Date.now() + 20 * 60_000;
    expect(await deliverPending(context, () => 60_000, in20Minutes)).toEqual({
      delivered: 0,
      late: 1,
      lost: 0,
    });
    expect(await outbox()).toHaveLength(1);
    const tomorrow = Date.now() + 25 * HOUR;
    expect(await deliverPending(context, () => 60_000, tomorrow)).toEqual({ delivered: 0, late: 0, lost: 1 });
    expect(await outbox()).toEqual([]);
    expect(logged.join()).toContain('"error_name":"NotificationLostError"');
    await post();
    expect(await outbox()).toEqual([]);
  });
});

test('a periodic run delivers an event whose start was lost, and leaves a new one alone', async () => {
  context = await makeContext({ webhooks: { chat: await webhook('slack', '/slack') } });
  await post();
  expect(await deliverPending(context, () => 60_000)).toEqual({ delivered: 0, late: 0, lost: 0 });
  expect(at('/slack')).toEqual([]);
  expect((await deliverPending(context, () => 60_000, Date.now() + 10 * 60_000)).delivered).toBe(1);
  expect(at('/slack')).toHaveLength(1);
});

test('an object in the outbox that is not an event is reported as late, and removed after a day', async () => {
  context = await makeContext({ webhooks: { chat: await webhook('slack', '/slack') } });
  await context.bucket.writeRecord(outboxKey('odd'), { not: 'an event' });
  expect(await deliverPending(context, () => 60_000, Date.now() + HOUR)).toMatchObject({ late: 1 });
  expect(await deliverPending(context, () => 60_000, Date.now() + 25 * HOUR)).toMatchObject({ lost: 1 });
  expect(await outbox()).toEqual([]);
});

describe('a webhook', () => {
  const outcome = async (config: object) => {
    context = await makeContext({ webhooks: { chat: config } });
    await post();
    await deliverEvent(context, 'job-1.backup.failed');
    return (await record())?.channels['webhook chat'];
  };

  test('does not follow redirects', async () => {
    answers.set('/moved', { status: 302, headers: { location: `${receiver.origin}/elsewhere` } });
    expect(await outcome(await webhook('slack', '/moved'))).toMatchObject({
      delivered: false,
      problem: expect.stringContaining('HTTP 302: redirects are not followed'),
    });
    expect(at('/elsewhere')).toEqual([]);
  });

  test('that responds without end is not read to the end', async () => {
    await receiver.close();
    receiver = await startReceiver((_, response) => {
      response.writeHead(200);
      const write = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
        if (!response.destroyed) response.once('drain', write);
      };
      write();
      return true;
    });
    expect(await outcome(await webhook('slack', '/endless'))).toMatchObject({ delivered: true });
  });

  test.each([
    ['http://hooks.example.com/x', {}, 'must begin with https://'],
    ['file:///etc/passwd', { allow_http: true }, 'must begin with https://'],
    ['https://127.0.0.1:9001/x', {}, 'must not be an address of the machine itself'],
    ['https://169.254.169.254/latest', {}, 'must not be an address of the machine itself'],
    ['https://[::1]/x', {}, 'must not be an address of the machine itself'],
    ['https://[::ffff:127.0.0.1]/x', {}, 'must not be an address of the machine itself'],
    ['https://2130706433/x', {}, 'must not be an address of the machine itself'],
    ['https://localhost./x', {}, 'must not be an address of the machine itself'],
    ['hooks.example.com/x', {}, 'is not a URL'],
  ])('at %s is refused', async (webhook_url, more, problem) => {
    const config = { kind: 'slack', secret: await secretOf({ webhook_url }), ...more };
    const found = await outcome(config);
    expect(found).toMatchObject({ delivered: false, problem: expect.stringContaining(problem) });
    expect(found?.problem).not.toContain(webhook_url);
  });

  test('of kind generic requires a key', async () => {
    const webhook_url = `${receiver.origin}/x`;
    const without = { kind: 'generic', secret: await secretOf({ webhook_url }), allow_http: true };
    expect((await outcome(without))?.problem).toContain('signing_key is missing');
    const weak = { ...without, secret: await secretOf({ webhook_url, signing_key: 'hunter2-hunter2' }) };
    const { problem } = (await outcome(weak)) ?? {};
    expect(problem).toContain('signing_key must be "whsec_"');
    expect(problem).not.toContain('hunter2');
    expect(receiver.requests).toEqual([]);
  });
});

test('receivers are checked without sending anything: addresses must be confirmed, and secrets filled in', async () => {
  const empty = await secretOf({ ngbak: 'Put webhook_url and signing_key here.' });
  context = await makeContext({
    emails: ['ops@example.com', 'ada@example.com'],
    webhooks: { chat: await webhook('slack', '/slack'), empty: { kind: 'slack', secret: empty } },
  });
  const { topicArn: TopicArn } = context;
  await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'email', Endpoint: 'ops@example.com' }));
  await deliverPending(context, () => 60_000);
  const { receivers = [] } = (await readReceivers(context.bucket)) ?? {};
  expect(receivers.map(({ name, ready }) => [name, ready])).toEqual([
    // The emulator treats every subscription as confirmed.
    ['ops@example.com', true],
    ['ada@example.com', false],
    ['chat', true],
    ['empty', false],
  ]);
  expect(receivers[3]?.problem).toContain('webhook_url');
  expect(receiver.requests).toEqual([]);
  await secrets.send(
    new PutSecretValueCommand({
      SecretId: empty,
      SecretString: JSON.stringify({ webhook_url: 'https://hooks.example.com/x' }),
    }),
  );
  await deliverPending(context, () => 60_000);
  expect((await readReceivers(context.bucket))?.receivers[3]).toMatchObject({ name: 'empty', ready: true });
});
