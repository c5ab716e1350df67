/** Notifications through a deployed stack: from jobs and alarms to e-mail, topics and webhooks. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, DeleteStackCommand } from '@aws-sdk/client-cloudformation';
import { CloudWatchLogsClient, FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { CreateTopicCommand, PublishCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import { deployStack } from '../../local/deploy.ts';
import { emulatorAddress } from '../../local/services/aws.ts';
import { run } from '../cli/run.ts';
import { servers } from '../servers.ts';
import { startReceiver, type TestReceiver } from '../support/receiver.ts';
import { until } from '../support/until.ts';
import { farTimeOfDay } from './context.ts';
import { deployedStack } from './harness.ts';
import { createUser } from './operator.ts';

const STACK = 'NgbakNotify';
const FILES = 'notify-files';
const STORE_SECRET = 'notify-kv';
const KEY = `whsec_${randomBytes(32).toString('base64')}`;
const TOKEN = `T0KEN${randomBytes(12).toString('hex')}`;
const ACCOUNT = '000000000000';
const OTHER_TOPIC = `arn:aws:sns:us-east-1:${ACCOUNT}:notify-others`;
const OWN_TOPIC = `arn:aws:sns:us-east-1:${ACCOUNT}:${STACK}-notifications`;

const sns = new SNSClient({});
const s3 = new S3Client({});
let receiver: TestReceiver;
let stack: ReturnType<typeof deployedStack>;
let folder: string;

/** SNS first asks an HTTP endpoint to confirm its subscription. */
async function confirm(body: string): Promise<void> {
  const { Type, SubscribeURL } = JSON.parse(body) as { Type: string; SubscribeURL: string };
  if (Type === 'SubscriptionConfirmation') {
    const { search } = new URL(SubscribeURL);
    await fetch(`${servers.aws.endpoint}/${search}`);
  }
}

/** The messages that a path has got, without confirmations of SNS. */
const at = (path: string) =>
  receiver.requests.filter(
    (one) => one.path.startsWith(path) && !one.body.includes('"SubscriptionConfirmation"'),
  );

/** Waits until a receiver has a message that matches. */
async function received(path: string, pattern: RegExp): Promise<string> {
  const bodies = () => at(path).map(({ body }) => body);
  const found = await until(`${path} has a message with ${pattern}`, bodies, {
    holds: (all) => all.some((body) => pattern.test(body)),
  });
  return found.find((body) => pattern.test(body)) ?? '';
}

/** Waits until every event was delivered. */
const delivered = () =>
  until('every event is delivered', () => stack.keys('notifications/outbox/'), {
    holds: ({ length }) => length === 0,
  });

/** The event types that the signed webhook has got, in order. */
const events = () =>
  at('/pager').map(({ body, headers }) => (new Webhook(KEY).verify(body, headers) as { type: string }).type);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-notify-'));
  receiver = await startReceiver((request) => {
    if (/^\/(email|topic)/.test(request.path)) void confirm(request.body);
    return false;
  });
  await s3.send(new CreateBucketCommand({ Bucket: FILES }));
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({
      Name: STORE_SECRET,
      SecretString: JSON.stringify({ location: `s3://${FILES}/kb` }),
    }),
  );
  await sns.send(new CreateTopicCommand({ Name: 'notify-others' }));
  const outputs = await deployStack(emulatorAddress(servers.aws.endpoint), {
    stackName: STACK,
    context: {
      ngbak: {
        stackName: STACK,
        targets: { kb: { stores: { kv: { kind: 'files', secret: STORE_SECRET, buckets: [FILES] } } } },
        schedule: { time: farTimeOfDay() },
        notify: {
          emails: ['ops@example.com'],
          topics: [OTHER_TOPIC],
          webhooks: {
            chat: { kind: 'slack', allowHttp: true },
            team: { kind: 'teams', allowHttp: true },
            pager: { kind: 'generic', allowHttp: true },
          },
        },
        api: { enabled: false },
        metricsDashboard: false,
        removal: 'destroy',
      },
    },
    folder,
  });
  stack = deployedStack(outputs);
  // The emulator delivers no e-mail: an HTTP subscription gets the same text and subject.
  for (const [TopicArn, path] of [
    [OWN_TOPIC, '/email'],
    [OTHER_TOPIC, '/topic'],
  ] as const) {
    await sns.send(
      new SubscribeCommand({ TopicArn, Protocol: 'http', Endpoint: `${receiver.origin}${path}` }),
    );
  }
  for (const [name, more] of [
    ['chat', {}],
    ['team', {}],
    ['pager', { signing_key: KEY }],
  ] as const) {
    const webhook_url = `${receiver.origin}/${name}/${TOKEN}`;
    await stack.putSecret(`${STACK}/webhook-${name}`, { webhook_url, ...more });
  }
});

afterAll(async () => {
  await new CloudFormationClient({}).send(new DeleteStackCommand({ StackName: STACK }));
  await receiver.close();
  await rm(folder, { recursive: true });
});

beforeEach(() => {
  receiver.requests.length = 0;
});

let user: Record<string, string> | undefined;
/** The environment of the CLI with the published policy for operators. */
async function operator(): Promise<NodeJS.ProcessEnv> {
  user ??= await createUser(servers.aws.endpoint, `${STACK}-operator`, [
    'AttachUserPolicy',
    { PolicyArn: stack.output('OperatorPolicyArn') },
  ]);
  return { NGBAK_STACK: STACK, TZ: 'UTC', ...user };
}

/** Whether any record or log of the deployment contains a text. */
async function logsContain(text: string): Promise<boolean> {
  for (const key of await stack.keys('notifications/')) {
    const found = await stack.bucket.readRecord(key, z.unknown());
    if (JSON.stringify(found?.value ?? '').includes(text)) return true;
  }
  const logs = new CloudWatchLogsClient({});
  const logGroupName = `/aws/lambda/${STACK}-notify`;
  const { events: lines = [] } = await logs.send(new FilterLogEventsCommand({ logGroupName }));
  expect(lines.length).toBeGreaterThan(0);
  return lines.some(({ message = '' }) => message.includes(text));
}

const putFile = (Key: string, Body: string) =>
  s3.send(new PutObjectCommand({ Bucket: FILES, Key: `kb/${Key}`, Body }));
const invoke = (name: string, payload: object) =>
  new LambdaClient({}).send(
    new InvokeCommand({ FunctionName: `${STACK}-${name}`, Payload: JSON.stringify(payload) }),
  );

test('the first look reports that the target is not recoverable, and the next one repeats nothing', async () => {
  await invoke('watch-backups', {});
  const message = JSON.parse(await received('/pager', /not_recoverable/));
  expect(message).toMatchObject({
    type: 'target.not_recoverable',
    data: { target: 'kb', next: 'ngbak status kb', recoverability: { verdict: 'no' } },
  });
  await delivered();
  const state = () => stack.bucket.readRecord('notifications/watch/kb.json', z.unknown());
  const before = await state();
  await invoke('watch-backups', {});
  expect(await state()).toEqual(before);
  expect(await stack.keys('notifications/outbox/')).toEqual([]);
  expect(events().filter((type) => type === 'target.not_recoverable')).toHaveLength(1);
});

test('a failed backup reaches every receiver, with verdict and next command, and without secrets or addresses', async () => {
  await stack.putSecret(STORE_SECRET, { location: 's3://no-such-bucket-of-anyone/kb' });
  const failed = await stack.run('Backup', { target: 'kb' });
  expect(failed.status).toBe('FAILED');
  await stack.putSecret(STORE_SECRET, { location: `s3://${FILES}/kb` });
  const bodies = await Promise.all(
    ['/chat', '/team', '/pager', '/email', '/topic'].map((path) =>
      received(path, /Backup of \\*"kb\\*" failed/),
    ),
  );
  for (const body of bodies) {
    expect(body).toContain(`ngbak job ${failed.name}`);
    expect(body).toContain('Recoverable: NO.');
    for (const secret of [TOKEN, KEY, 'no-such-bucket-of-anyone', receiver.origin]) {
      expect(body).not.toContain(secret);
    }
  }
  const [chat = '', team = '', pager = '', email = ''] = bodies;
  expect(JSON.parse(chat)).toMatchObject({ text: `[${STACK}] Backup of "kb" failed` });
  expect(JSON.parse(team)).toMatchObject({ type: 'message' });
  expect(JSON.parse(pager)).toMatchObject({
    type: 'backup.failed',
    data: { target: 'kb', deployment: STACK },
  });
  expect(JSON.parse(email)).toMatchObject({ Subject: `[${STACK}] Backup of "kb" failed` });
  expect(events()).toEqual(['backup.failed']);
});

test('a restore is reported when it awaits approval, starts and completes, and a good backup is not', async () => {
  await putFile('kv_store_docs.json', JSON.stringify({ a: { content: 'one' }, b: { content: 'two' } }));
  const backup = await stack.run('Backup', { target: 'kb' });
  expect(backup.cause).toBeUndefined();
  const { backup_id } = JSON.parse(backup.output ?? '{}') as { backup_id: string };
  await stack.waitForJob(backup.name ?? '');
  const { executionArn, name } = await stack.start('Restore', { backup_id, requested_by: 'ada' });
  const waiting = JSON.parse(await received('/email', /awaits approval/)) as { Message: string };
  expect(waiting.Message).toContain(`ngbak confirm ${name} kb`);
  const confirmed = await run(['confirm', name, 'kb'], await operator());
  expect([confirmed.code, confirmed.stderr]).toEqual([0, '']);
  expect((await stack.waitForExecution(executionArn)).cause).toBeUndefined();
  expect(JSON.parse(await received('/pager', /restore\.completed/))).toMatchObject({
    data: { job_id: name, backup_id, recoverability: { verdict: 'yes' } },
  });
  await received('/pager', /restore\.started/);
  expect(events().sort()).toEqual(['restore.awaiting_approval', 'restore.completed', 'restore.started']);
  await invoke('watch-backups', {});
  await received('/pager', /target\.recoverable/);
  await delivered();
});

test('an alarm reaches webhooks and topics of others, and subscribers of the topic once, from CloudWatch', async () => {
  const alarm = {
    AlarmName: `${STACK}-Ends-left`,
    AlarmDescription: 'An event could not be handled after every retry. It waits in a dead-letter queue.',
    AlarmArn: `arn:aws:cloudwatch:us-east-1:${ACCOUNT}:alarm:${STACK}-Ends-left`,
    NewStateValue: 'ALARM',
    NewStateReason: 'Threshold Crossed',
    StateChangeTime: new Date().toISOString(),
  };
  await sns.send(new PublishCommand({ TopicArn: OWN_TOPIC, Message: JSON.stringify(alarm) }));
  await received('/chat', /Alarm NgbakNotify-Ends-left: ALARM/);
  await received('/topic', /It waits in a dead-letter queue/);
  expect(at('/email')).toHaveLength(1);
});

test('`ngbak notify test` sends a message to every receiver, and names one that does not get it', async () => {
  const environment = await operator();
  const sent = await run(['notify', 'test', '--json'], environment);
  const outcomes = sent.lines().flatMap(({ type, data }) => (type === 'receiver' ? [data] : []));
  expect(outcomes).toEqual([
    { name: 'ops@example.com', kind: 'email', delivered: true },
    { name: OTHER_TOPIC, kind: 'topic', delivered: true },
    { name: 'chat', kind: 'slack', delivered: true },
    { name: 'team', kind: 'teams', delivered: true },
    { name: 'pager', kind: 'generic', delivered: true },
  ]);
  expect([sent.code, sent.stderr]).toEqual([0, '']);
  for (const path of ['/chat', '/team', '/pager', '/email', '/topic']) await received(path, /Test message/);

  await stack.putSecret(`${STACK}/webhook-chat`, { webhook_url: `http://127.0.0.1:9/${TOKEN}` });
  const failed = await run(['notify', 'test'], environment);
  expect(failed.code).toBe(1);
  expect(failed.stdout).toMatch(/chat +slack +not sent +Webhook chat: no response/);
  expect(failed.stdout + failed.stderr).not.toContain(TOKEN);
  const shown = await run(['notify', 'show'], environment);
  expect(shown.stdout).toMatch(/pager +generic +ready/);
  expect(await logsContain(TOKEN)).toBe(false);
});
