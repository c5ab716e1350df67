import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { readDeployment } from '../../infra/config.ts';
import { readConfig } from '../../shared/core/config-text.ts';
import { DEPLOYMENT, permissions, type Statement, synthesize } from './template.ts';
import { VARIANTS } from './variants.ts';

type Properties = Record<string, unknown>;
const all = (from: Template, type: string): Properties[] =>
  Object.values(from.findResources(type)).map(({ Properties: found }) => found as Properties);

let template: Template;
let granted: Map<string, Statement[]>;
beforeAll(() => {
  template = synthesize(VARIANTS['every kind of receiver']);
  granted = permissions(template);
});

/** The functions with a permission on a resource that matches, and what they are allowed. */
const who = (action: string, resource: RegExp) =>
  [...granted]
    .filter(([, statements]) =>
      statements.some(
        ({ actions, resources }) => actions.includes(action) && resources.some((one) => resource.test(one)),
      ),
    )
    .map(([name]) => name)
    .sort();

describe('permissions', () => {
  test('only the function of notifications publishes, and only to the configured topics', () => {
    expect(who('sns:Publish', /./)).toEqual(['notify']);
    const topics = (granted.get('notify') ?? [])
      .filter(({ actions }) => actions.includes('sns:Publish'))
      .flatMap(({ resources }) => resources);
    expect(topics).toEqual([
      expect.stringMatching(/^<NotificationsTopic/),
      'arn:aws:sns:eu-central-1:111122223333:on-call',
      'arn:aws:sns:us-east-1:444455556666:other-team',
    ]);
  });

  test('only that function reads the secrets of webhooks', () => {
    const readers = who('secretsmanager:GetSecretValue', /Webhook|teams-webhook/);
    expect(readers).toEqual(['notify']);
    const read = (granted.get('notify') ?? [])
      .filter(({ actions }) => actions.includes('secretsmanager:GetSecretValue'))
      .flatMap(({ resources }) => resources);
    expect(read).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^<NotificationsWebhookchat/),
        expect.stringMatching(/^<NotificationsWebhookpager/),
        expect.stringMatching(/team\/teams-webhook/),
      ]),
    );
    expect(read).toHaveLength(3);
  });

  test('functions that decide about events record them, and change nothing else of notifications', () => {
    const posting = ['api', 'await-confirmation', 'begin-restore', 'janitor', 'watch-backups'];
    expect(who('s3:PutObject', /notifications\/outbox\/\*$/)).toEqual(posting);
    expect(who('s3:PutObject', /notifications\/watch\/\*\.json$/)).toEqual(['watch-backups']);
    expect(who('s3:PutObject', /notifications\/\*$/)).toEqual(['notify']);
    expect(who('s3:DeleteObject', /notifications\//)).toEqual(['notify']);
    expect(who('s3:GetObject', /notifications\//)).toEqual([...posting, 'notify'].sort());
  });

  test('the key of another team is used for its topic only', () => {
    expect(who('kms:GenerateDataKey', /444455556666/)).toEqual(['notify']);
  });
});

describe('the topic', () => {
  test('is encrypted with a key that alarms may use, accepts TLS only, and has the addresses as subscribers', () => {
    const [topic] = all(template, 'AWS::SNS::Topic');
    expect(topic?.KmsMasterKeyId).toEqual({
      'Fn::GetAtt': [expect.stringMatching(/^NotificationsKey/), 'Arn'],
    });
    const [policy] = all(template, 'AWS::SNS::TopicPolicy');
    const text = JSON.stringify(policy);
    expect(text).toContain('"aws:SecureTransport":"false"');
    expect(text).toContain('"Service":"cloudwatch.amazonaws.com"');
    const key = JSON.stringify(
      all(template, 'AWS::KMS::Key').find(
        ({ Description }) => Description === 'Encrypts the notifications of ngbak',
      ),
    );
    expect(key).toContain('"Service":"cloudwatch.amazonaws.com"');
    expect(key).toContain('"aws:SourceAccount"');
    const subscriptions = all(template, 'AWS::SNS::Subscription');
    const emails = subscriptions.filter(({ Protocol }) => Protocol === 'email');
    expect(emails.map(({ Endpoint }) => Endpoint)).toEqual(['ops@example.com', 'ada@example.com']);
    expect(subscriptions.map(({ Protocol }) => Protocol).sort()).toEqual(['email', 'email', 'lambda']);
  });

  test('gets every alarm, except those that ngbak itself reports with more details', () => {
    const topicOf = ({ AlarmActions }: Properties) =>
      JSON.stringify(AlarmActions ?? []).includes('NotificationsTopic');
    const alarms = all(template, 'AWS::CloudWatch::Alarm');
    const silent = alarms.filter((alarm) => !topicOf(alarm)).map(({ AlarmName }) => AlarmName);
    expect(silent.sort()).toEqual([
      ...['Ngbak-Backup-failed', 'Ngbak-Backup-timed-out'],
      ...['Ngbak-Backup-warnings-default', 'Ngbak-Backup-warnings-other'],
      ...['Ngbak-Restore-failed', 'Ngbak-Restore-timed-out'],
    ]);
    for (const alarm of alarms) expect(alarm.OKActions).toEqual(alarm.AlarmActions);
  });
});

describe('alarms', () => {
  const alarm = (name: string) =>
    all(template, 'AWS::CloudWatch::Alarm').find(
      ({ AlarmName }) => AlarmName === `Ngbak-Notifications-${name}`,
    );

  test('fire if a message is late, or if the function that delivers them does not run', () => {
    expect(alarm('late')).toMatchObject({
      MetricName: 'NotificationsLate',
      Namespace: 'ngbak/Ngbak',
      Dimensions: [{ Name: 'service', Value: 'notify' }],
      Threshold: 1,
      TreatMissingData: 'breaching',
    });
  });

  test('fire if an event is lost, in any function that records events', () => {
    expect(alarm('lost')).toMatchObject({
      MetricName: 'NotificationsLost',
      TreatMissingData: 'notBreaching',
    });
    const filters = all(template, 'AWS::Logs::MetricFilter').filter(({ FilterPattern }) =>
      String(FilterPattern).includes('NotificationLostError'),
    );
    expect(filters).toHaveLength(6);
  });
});

test('events start the function, and so does a schedule, which delivers what was not delivered', () => {
  const rules = all(template, 'AWS::Events::Rule').filter(({ Targets }) =>
    JSON.stringify(Targets).includes('notify'),
  );
  expect(rules.map(({ ScheduleExpression }) => ScheduleExpression)).toEqual([undefined, 'rate(10 minutes)']);
  expect(JSON.stringify(rules[0])).toContain('"prefix":"notifications/outbox/"');
  expect(JSON.stringify(rules[1])).toContain(JSON.stringify(JSON.stringify({ pending: {} })));
});

test('functions know the receivers, and no secret', () => {
  const found = all(template, 'AWS::Lambda::Function').find(
    ({ FunctionName }) => FunctionName === 'Ngbak-janitor',
  ) as {
    Environment: { Variables: Record<string, string> };
  };
  expect(readConfig({ NGBAK_CONFIG: found.Environment.Variables.NGBAK_CONFIG }).notify).toEqual({
    emails: ['ops@example.com', 'ada@example.com'],
    topics: [
      'arn:aws:sns:eu-central-1:111122223333:on-call',
      'arn:aws:sns:us-east-1:444455556666:other-team',
    ],
    webhooks: {
      chat: { kind: 'slack', secret: 'Ngbak/webhook-chat', allow_http: false },
      team: { kind: 'teams', secret: 'team/teams-webhook', allow_http: false },
      pager: { kind: 'generic', secret: 'Ngbak/webhook-pager', allow_http: false },
    },
    time_zone: 'UTC',
  });
});

test('without receivers, there is neither topic nor key nor function', () => {
  const none = synthesize();
  expect(all(none, 'AWS::SNS::Topic')).toEqual([]);
  expect(all(none, 'AWS::KMS::Key')).toHaveLength(1);
  expect(JSON.stringify(all(none, 'AWS::Lambda::Function'))).not.toContain('Ngbak-notify');
});

test.each([
  [{}, /ngbak\.notify: must have a receiver: "emails", "topics" or "webhooks"/],
  [{ emails: ['ops'] }, /ngbak\.notify\.emails\.0: must be an e-mail address \(received "ops"\)/],
  [{ topics: ['on-call'] }, /ngbak\.notify\.topics\.0/],
  [{ webhooks: { chat: { kind: 'irc' } } }, /ngbak\.notify\.webhooks\.chat\.kind/],
  [
    { webhooks: { chat: { kind: 'slack', url: 'https://hooks.slack.com/x' } } },
    /ngbak\.notify\.webhooks\.chat/,
  ],
])('refuses notify: %j', (notify, message) => {
  expect(() => readDeployment({ ...DEPLOYMENT, notify })).toThrow(message);
});
