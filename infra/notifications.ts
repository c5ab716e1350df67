import { Duration, RemovalPolicy, SecretValue, Stack, Validations } from 'aws-cdk-lib';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription, LambdaSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { OUTBOX } from '../shared/aws/keys.ts';
import type { ArchiveBucket } from './archive-bucket.ts';
import { type DeploymentConfig, type Notify, topicArn, webhookSecretName } from './config.ts';
import { setStateMachineVariables } from './operator-access.ts';
import { removalPolicyOf } from './removal.ts';
import type { Schedules } from './schedules.ts';
import type { StepHandler } from './step-handler.ts';
import { existingSecret } from './store-secrets.ts';

/** How often undelivered messages are sent again, and the receivers checked, in minutes. */
const PENDING_MINUTES = 10;

/**
 * Initial value of a webhook's secret, to be replaced by an administrator. Must not change: CloudFormation would
 * overwrite the value that was filled in.
 */
const PLACEHOLDER = { ngbak: 'Put webhook_url and signing_key here: docs/notifications.md shows the shape.' };

/** Publishes alarms. */
const ALARMS = new ServicePrincipal('cloudwatch.amazonaws.com');

export interface NotificationsProps {
  readonly notify: Notify;
  readonly deployment: Pick<DeploymentConfig, 'removal'>;
  readonly archive: ArchiveBucket;
  readonly handler: StepHandler;
  /** Absent without EventBridge Scheduler. */
  readonly schedules: Schedules | undefined;
}

/**
 * Delivers events to their receivers: e-mail addresses are subscribed to the topic, and the function serves webhooks
 * and topics of others. It is started by each new event in the bucket, by alarms on the topic, and periodically.
 */
export class Notifications extends Construct {
  /** The topic to which alarms publish as well. */
  readonly topic: Topic;

  constructor(
    scope: Construct,
    id: string,
    { notify, deployment, archive, handler, schedules }: NotificationsProps,
  ) {
    super(scope, id);
    const key = this.#makeKey();
    this.topic = new Topic(this, 'Topic', {
      topicName: `${Stack.of(this).stackName}-notifications`,
      displayName: `ngbak ${Stack.of(this).stackName}`,
      masterKey: key,
      enforceSSL: true,
    });
    // The policy of CDK replaces the default one, which would allow this.
    this.topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AllowAlarms',
        principals: [ALARMS],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: this.#ofThisAccount(),
      }),
    );
    for (const email of new Set(notify.emails)) this.topic.addSubscription(new EmailSubscription(email));
    this.topic.addSubscription(new LambdaSubscription(handler.function));
    for (const [name, { secret }] of Object.entries(notify.webhooks)) {
      const found =
        secret === undefined ? this.#makeSecret(name, deployment) : existingSecret(this, name, secret);
      found.grantRead(handler.function);
    }
    this.#allow(handler, notify, key);
    schedules?.allowReads(handler);
    setStateMachineVariables(handler);
    handler.function.addEnvironment('NGBAK_NOTIFY_TOPIC_ARN', this.topic.topicArn);
    handler.function.addEnvironment('NGBAK_STACK_NAME', Stack.of(this).stackName);
    this.#addRules(archive, handler);
  }

  /** CloudWatch cannot publish to a topic with the key that AWS manages for SNS, so the topic has its own. */
  #makeKey(): Key {
    const key = new Key(this, 'Key', {
      description: 'Encrypts the notifications of ngbak',
      enableKeyRotation: true,
      // It encrypts messages only until they are delivered.
      removalPolicy: RemovalPolicy.DESTROY,
    });
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AllowAlarms',
        principals: [ALARMS],
        actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        resources: ['*'],
        conditions: this.#ofThisAccount(),
      }),
    );
    return key;
  }

  #ofThisAccount(): Record<string, object> {
    return { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } };
  }

  #makeSecret(name: string, deployment: NotificationsProps['deployment']): Secret {
    const secret = new Secret(this, `Webhook-${name}`, {
      secretName: webhookSecretName(Stack.of(this).stackName, name),
      description: `Address and signing key of ngbak's webhook "${name}": fill in both`,
      secretObjectValue: { ngbak: SecretValue.unsafePlainText(PLACEHOLDER.ngbak) },
      removalPolicy: removalPolicyOf(deployment),
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason:
        'Address and key belong to the receiver, where they are changed; every delivery reads the secret.',
    });
    return secret;
  }

  /** Publishes to these topics only, and reads the subscriptions of its own. */
  #allow(handler: StepHandler, { topics }: Notify, key: Key): void {
    handler.allow(['sns:Publish', 'sns:ListSubscriptionsByTopic'], [this.topic.topicArn]);
    key.grant(handler.function, 'kms:Decrypt', 'kms:GenerateDataKey');
    if (topics.length > 0) handler.allow(['sns:Publish'], topics.map(topicArn));
    const keys = topics.flatMap((topic) => (typeof topic === 'string' ? [] : (topic.keyArn ?? [])));
    if (keys.length > 0) handler.allow(['kms:Decrypt', 'kms:GenerateDataKey'], keys);
  }

  #addRules(archive: ArchiveBucket, handler: StepHandler): void {
    new Rule(this, 'Recorded', {
      description: 'ngbak: an event was recorded, deliver it',
      eventPattern: {
        source: ['aws.s3'],
        detailType: ['Object Created'],
        detail: {
          bucket: { name: [archive.bucket.bucketName] },
          object: { key: [{ prefix: archive.prefix + OUTBOX }] },
        },
      },
      // What fails is delivered by the periodic run.
      targets: [new LambdaFunction(handler.function, { retryAttempts: 2, maxEventAge: Duration.hours(1) })],
    });
    new Rule(this, 'Pending', {
      description: 'ngbak: deliver notifications that were not delivered yet',
      schedule: Schedule.rate(Duration.minutes(PENDING_MINUTES)),
      targets: [
        new LambdaFunction(handler.function, {
          event: RuleTargetInput.fromObject({ pending: {} }),
          retryAttempts: 0,
        }),
      ],
    });
  }
}
