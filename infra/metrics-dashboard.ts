import { Duration, Stack } from 'aws-cdk-lib';
import {
  Color,
  Dashboard,
  GraphWidget,
  type IMetric,
  type IWidget,
  Metric,
  Stats,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { backedUpTargets } from '../shared/core/config.ts';
import {
  BACKUP_DURATION,
  BACKUP_WARNINGS,
  DRILL_AGE,
  GOOD_BACKUPS,
  RECOVERABLE,
  RPO,
  RTO,
} from '../shared/workflows/backup/measures.ts';
import { MISMATCHES } from './alarms.ts';
import type { DeploymentConfig } from './config.ts';
import { metricsNamespace } from './step-handler.ts';

/** Width of each of three graphs in a row; a row has 24 units. */
const THIRD = 8;
/** Backups are rare: one data point per hour. */
const PERIOD = Duration.hours(1);

export interface MetricsDashboardProps {
  readonly deployment: Pick<DeploymentConfig, 'targets'>;
  readonly backup: IStateMachine;
  readonly restore: IStateMachine;
  /** Dead-letter queues. */
  readonly queues: Readonly<Record<string, IQueue>>;
}

/** The metrics of `GET /api/v1/metrics` as a CloudWatch dashboard with the name of the stack. */
export class MetricsDashboard extends Construct {
  readonly #namespace: string;

  constructor(scope: Construct, id: string, { deployment, backup, restore, queues }: MetricsDashboardProps) {
    super(scope, id);
    this.#namespace = metricsNamespace(this);
    const targets = backedUpTargets(deployment);
    const dashboard = new Dashboard(this, 'Dashboard', {
      dashboardName: Stack.of(this).stackName,
      defaultInterval: Duration.days(14),
    });
    const verdicts = (title: string, metricName: string, statistic: string) =>
      graph(
        title,
        targets.map((target) => this.#ofVerdict(metricName, target, statistic)),
      );
    dashboard.addWidgets(
      verdicts('Recoverable (1: yes, 0.5: with warnings, 0: no)', RECOVERABLE, Stats.MINIMUM),
      verdicts('A restore would lose (seconds)', RPO, Stats.MAXIMUM),
      verdicts('A restore would take (seconds)', RTO, Stats.MAXIMUM),
    );
    dashboard.addWidgets(
      verdicts('Time since the last restore drill (seconds)', DRILL_AGE, Stats.MAXIMUM),
      graph(
        'Duration of restores and drills (milliseconds)',
        [50, 95, 99].map((p) =>
          restore.metricTime({ statistic: Stats.percentile(p), period: PERIOD, label: `p${p}` }),
        ),
      ),
      graph('Restores and drills', [
        restore.metricStarted({ statistic: Stats.SUM, period: PERIOD, label: 'Started' }),
        restore.metricSucceeded({ statistic: Stats.SUM, period: PERIOD, label: 'Succeeded' }),
      ]),
    );
    dashboard.addWidgets(
      graph(
        'Good backups',
        targets.map((target) => this.#ofBackups(GOOD_BACKUPS, target, Stats.SUM)),
      ),
      graph('Failures', [
        failures(backup, 'Backups', Color.RED),
        failures(restore, 'Restores and drills', Color.ORANGE),
        this.#metric(MISMATCHES, { label: 'Failed integrity checks', color: Color.PURPLE }),
      ]),
      graph(
        'Events in dead-letter queues',
        Object.entries(queues).map(([label, queue]) =>
          queue.metricApproximateNumberOfMessagesVisible({ label, period: PERIOD }),
        ),
      ),
    );
    for (const target of targets) {
      dashboard.addWidgets(
        graph(
          `Duration of backups of ${target} (seconds)`,
          [50, 95, 99].map((p) => this.#ofBackups(BACKUP_DURATION, target, Stats.percentile(p), `p${p}`)),
        ),
        graph(`Size of archives of ${target} (bytes)`, [
          this.#ofBackups('BackupBytes', target, Stats.MAXIMUM),
        ]),
        graph(`Warnings of backups of ${target}`, [this.#ofBackups(BACKUP_WARNINGS, target, Stats.MAXIMUM)]),
      );
    }
  }

  #metric(metricName: string, options: { label: string; color?: string }): IMetric {
    return new Metric({
      namespace: this.#namespace,
      metricName,
      statistic: Stats.SUM,
      period: PERIOD,
      ...options,
    });
  }

  /** A metric sent by the function that assesses the targets. */
  #ofVerdict(metricName: string, target: string, statistic: string): IMetric {
    return new Metric({
      namespace: this.#namespace,
      metricName,
      dimensionsMap: { service: 'watch-backups', target },
      statistic,
      period: PERIOD,
      label: target,
    });
  }

  /** A metric sent by the function that records backups. */
  #ofBackups(metricName: string, target: string, statistic: string, label = target): IMetric {
    return new Metric({
      namespace: this.#namespace,
      metricName,
      dimensionsMap: { service: 'catalog-backup', target, type: 'full' },
      statistic,
      period: PERIOD,
      label,
    });
  }
}

function failures(machine: IStateMachine, label: string, color: string): IMetric {
  return machine.metricFailed({ statistic: Stats.SUM, period: PERIOD, label, color });
}

function graph(title: string, left: IMetric[]): IWidget {
  return new GraphWidget({ title, left, width: THIRD, leftYAxis: { min: 0 } });
}
