import { Duration, Stack, Token } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { FilterPattern, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { backedUpTargets } from '../shared/core/config.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { HELP } from '../shared/core/help.ts';
import { NOTIFICATIONS_LATE } from '../shared/notify/deliver.ts';
import { NOTIFICATION_LOST } from '../shared/notify/outbox.ts';
import {
  BACKUP_TOO_OLD,
  BACKUP_WARNINGS,
  DRILL_OVERDUE,
  NOT_RECOVERABLE,
} from '../shared/workflows/backup/measures.ts';
import type { DeploymentConfig } from './config.ts';
import { POSTING } from './functions.ts';
import type { HttpApi } from './http-api.ts';
import { metricsNamespace } from './step-handler.ts';
import { handlersOf, type StepHandlers } from './step-handlers.ts';

/** Data that failed verification is counted separately from other errors: it is the most serious one. */
export const MISMATCHES = 'ChecksumMismatches';

/** Requests that the API may reject within five minutes without an alarm: a browser that retries causes fewer. */
const REJECTIONS_MAX = 1000;

/** Receivers of notifications get a message of ngbak about the same, so that the alarm would only repeat it. */
const REPORTED = true;

/** Metric: events that no receiver, or not every one, was notified of. */
const LOST = 'NotificationsLost';

const ANY: AlarmRule = {
  threshold: 1,
  comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
  evaluationPeriods: 1,
  treatMissingData: TreatMissingData.NOT_BREACHING,
};

export interface AlarmsProps {
  readonly deployment: Pick<DeploymentConfig, 'alarms' | 'schedule' | 'drills' | 'targets'>;
  readonly handlers: StepHandlers;
  readonly api: Pick<HttpApi, 'rejections'> | undefined;
  readonly backup: IStateMachine;
  readonly restore: IStateMachine;
  /** Dead-letter queues. */
  readonly queues: Readonly<Record<string, IQueue>>;
  /** The topic of the receivers of notifications. */
  readonly notifications: ITopic | undefined;
}

interface AlarmRule {
  readonly threshold: number;
  readonly comparisonOperator: ComparisonOperator;
  readonly evaluationPeriods: number;
  readonly treatMissingData: TreatMissingData;
}

/** Alarms for backups that fail, are missing, or fail verification. */
export class Alarms extends Construct {
  readonly #topics: ITopic[];
  readonly #notifications: ITopic | undefined;

  constructor(
    scope: Construct,
    id: string,
    { deployment, handlers, api, backup, restore, queues, notifications }: AlarmsProps,
  ) {
    super(scope, id);
    this.#notifications = notifications;
    const { topicArns } = deployment.alarms;
    const { region } = Stack.of(this);
    const foreignTopic = topicArns.find((arn) => !Token.isUnresolved(region) && arn.split(':')[3] !== region);
    if (foreignTopic !== undefined) {
      throw new InvalidInputError(`ngbak.alarms.topicArns: ${foreignTopic} is not in ${region}.`, {
        remedy:
          'CloudWatch publishes to topics of its own region only: name a topic of the region of the stack.',
        help: HELP.topicRegion,
      });
    }
    this.#topics = topicArns.map((arn, index) => Topic.fromTopicArn(this, `Topic${index}`, arn));
    for (const [name, machine] of [
      ['Backup', backup],
      ['Restore', restore],
    ] as const) {
      this.#any(
        `${name}-failed`,
        `A ${name.toLowerCase()} has failed: \`ngbak jobs\` says why.`,
        machine.metricFailed(),
        REPORTED,
      );
      this.#any(
        `${name}-timed-out`,
        `A ${name.toLowerCase()} has timed out.`,
        machine.metricTimedOut(),
        REPORTED,
      );
    }
    this.#any(
      'Retention-failed',
      'The retention rules could not be applied: see the log of the function.',
      handlers['apply-retention'].function.metricErrors(),
    );
    for (const [name, queue] of Object.entries(queues)) {
      this.#any(
        `${name}-left`,
        'An event could not be handled after every retry. It waits in a dead-letter queue.',
        queue.metricApproximateNumberOfMessagesVisible(),
      );
    }
    if (api) {
      this.#alarm(
        'Api-rejections',
        `The HTTP API rejected ${REJECTIONS_MAX} requests within five minutes: without a valid key, or more than it accepts.`,
        sumOf(api.rejections),
        { ...ANY, threshold: REJECTIONS_MAX },
      );
    }
    // Each function logs an error with its name before it fails.
    for (const [name, { logGroup }] of handlersOf(handlers)) {
      new MetricFilter(this, `Mismatches-${name}`, {
        logGroup,
        filterPattern: FilterPattern.stringValue('$.error_name', '=', 'IntegrityError'),
        metricNamespace: metricsNamespace(this),
        metricName: MISMATCHES,
        metricValue: '1',
      });
    }
    this.#any(
      'Data-changed',
      'An integrity check failed. See `ngbak jobs` and `ngbak list`.',
      new Metric({ namespace: metricsNamespace(this), metricName: MISMATCHES }),
    );
    for (const target of backedUpTargets(deployment)) {
      this.#any(
        `Backup-warnings-${target}`,
        `A full backup of "${target}" has unacknowledged warnings: \`ngbak show\` lists them.`,
        new Metric({
          namespace: metricsNamespace(this),
          metricName: BACKUP_WARNINGS,
          dimensionsMap: { service: 'catalog-backup', target, type: 'full' },
        }),
        REPORTED,
      );
    }
    if (notifications) this.#ofNotifications(handlers);
    for (const target of backedUpTargets(deployment)) {
      const measured = (metricName: string) =>
        new Metric({
          namespace: metricsNamespace(this),
          metricName,
          dimensionsMap: { service: 'watch-backups', target },
          statistic: 'Maximum',
          period: Duration.hours(1),
        });
      if (deployment.drills) {
        this.#alarm(
          `Drill-overdue-${target}`,
          `The last drill of "${target}" that passed is older than its schedules allow: \`ngbak status ${target}\` says more.`,
          measured(DRILL_OVERDUE),
          ANY,
        );
      }
      if (!deployment.schedule.enabled) continue;
      this.#alarm(
        `No-backup-${target}`,
        `The newest good full backup of "${target}" is older than its schedules allow, or there is none: verified, with records, not far smaller than before.`,
        measured(BACKUP_TOO_OLD),
        // Missing measurements raise the alarm, because backups may be missing as well.
        { ...ANY, treatMissingData: TreatMissingData.BREACHING },
      );
      this.#alarm(
        `Not-recoverable-${target}`,
        `"${target}" cannot be recovered: \`ngbak status ${target}\` says why.`,
        measured(NOT_RECOVERABLE),
        { ...ANY, treatMissingData: TreatMissingData.BREACHING },
      );
    }
  }

  /** Raises an alarm if the metric exceeded zero within five minutes. */
  #any(name: string, description: string, metric: IMetric, reported = false): void {
    this.#alarm(name, description, sumOf(metric), ANY, reported);
  }

  /** Messages that were not delivered. E-mail addresses get these alarms from CloudWatch, without the function. */
  #ofNotifications(handlers: StepHandlers): void {
    for (const [name, { logGroup }] of handlersOf(handlers)) {
      if (!POSTING.includes(name)) continue;
      new MetricFilter(this, `Lost-${name}`, {
        logGroup,
        filterPattern: FilterPattern.stringValue('$.error_name', '=', NOTIFICATION_LOST),
        metricNamespace: metricsNamespace(this),
        metricName: LOST,
        metricValue: '1',
      });
    }
    this.#any(
      'Notifications-lost',
      'A notification could not be recorded, or was not delivered within a day: see the log of the function notify.',
      new Metric({ namespace: metricsNamespace(this), metricName: LOST }),
    );
    this.#alarm(
      'Notifications-late',
      'A receiver has not got a notification after 15 minutes, or the function notify does not run: `ngbak notify` says why.',
      new Metric({
        namespace: metricsNamespace(this),
        metricName: NOTIFICATIONS_LATE,
        dimensionsMap: { service: 'notify' },
        statistic: 'Maximum',
        period: Duration.hours(1),
      }),
      { ...ANY, treatMissingData: TreatMissingData.BREACHING },
    );
  }

  /** @param reported  if ngbak itself notifies the receivers of the same, with more details */
  #alarm(name: string, alarmDescription: string, metric: IMetric, rule: AlarmRule, reported = false): void {
    const alarm = new Alarm(this, name, {
      alarmName: `${Stack.of(this).stackName}-${name}`,
      alarmDescription,
      metric,
      ...rule,
    });
    const topics = [...this.#topics, ...(this.#notifications && !reported ? [this.#notifications] : [])];
    alarm.addAlarmAction(...topics.map((topic) => new SnsAction(topic)));
    alarm.addOkAction(...topics.map((topic) => new SnsAction(topic)));
  }
}

function sumOf(metric: IMetric): IMetric {
  return metric instanceof Metric ? metric.with({ statistic: 'Sum', period: Duration.minutes(5) }) : metric;
}
