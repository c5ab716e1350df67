import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { TargetRecoverability } from '../../shared/operations/recoverability.ts';
import { verdictMeasures } from '../../shared/operations/verdict-measures.ts';
import {
  BACKUP_TOO_OLD,
  BACKUP_WARNINGS,
  DRILL_OVERDUE,
  measuresOf,
  NOT_RECOVERABLE,
} from '../../shared/workflows/backup/measures.ts';
import type { BackupResult } from '../../shared/workflows/backup/record.ts';
import { synthesize, synthesizeIn } from './template.ts';

interface Properties {
  readonly [key: string]: unknown;
  readonly AlarmName?: string;
  readonly Name?: string;
  readonly QueryString?: string;
  readonly LogGroupNames?: unknown[];
}
const all = (template: Template, type: string) =>
  Object.values(template.findResources(type)).map(({ Properties }) => Properties as Properties);

let template: Template;
beforeAll(() => {
  template = synthesize({
    alarms: { backupAgeHours: 30, topicArns: ['arn:aws:sns:eu-central-1:111122223333:on-call'] },
  });
});

describe('alarms', () => {
  const named = (name: string, from = template) =>
    all(from, 'AWS::CloudWatch::Alarm').find(({ AlarmName }) => AlarmName === `Ngbak-${name}`);

  test('fire if a target is not recoverable or its newest good backup too old, and if neither is measured', () => {
    const [{ Properties: watcher }] = Object.values(
      template.findResources('AWS::Lambda::Function', {
        Properties: { FunctionName: 'Ngbak-watch-backups' },
      }),
    ) as [{ Properties: { Environment: { Variables: Record<string, string> } } }];
    expect(watcher.Environment.Variables).toMatchObject({
      POWERTOOLS_SERVICE_NAME: 'watch-backups',
      POWERTOOLS_METRICS_NAMESPACE: 'ngbak/Ngbak',
      NGBAK_CONFIG: expect.anything(),
    });
    // Configured: health and the dashboard of the API use it as well.
    expect(watcher.Environment.Variables.NGBAK_CONFIG).toContain('"backup_age_hours":30');
    for (const target of ['default', 'other']) {
      for (const [name, MetricName] of [
        ['No-backup', BACKUP_TOO_OLD],
        ['Not-recoverable', NOT_RECOVERABLE],
      ]) {
        expect(named(`${name}-${target}`)).toMatchObject({
          Namespace: 'ngbak/Ngbak',
          MetricName,
          Statistic: 'Maximum',
          Period: 3600,
          EvaluationPeriods: 1,
          ComparisonOperator: 'GreaterThanOrEqualToThreshold',
          Threshold: 1,
          TreatMissingData: 'breaching',
          Dimensions: [
            { Name: 'service', Value: 'watch-backups' },
            { Name: 'target', Value: target },
          ],
        });
      }
    }
  });

  test('of overdue drills exist if the deployment has schedules of drills', () => {
    const drills = synthesize({ drills: { expression: 'rate(7 days)' } });
    for (const target of ['default', 'other']) {
      expect(named(`Drill-overdue-${target}`)).toBeUndefined();
      expect(named(`Drill-overdue-${target}`, drills)).toMatchObject({
        MetricName: DRILL_OVERDUE,
        Threshold: 1,
        TreatMissingData: 'notBreaching',
      });
    }
  });

  test('of warnings watch exactly the metrics of the function that records backups', () => {
    const result = {
      job_id: 'j',
      target: 'default',
      type: 'full',
      bytes: 5,
      duration_seconds: 2,
    } as BackupResult;
    const { dimensions, values } = measuresOf(result) ?? { dimensions: {}, values: [] };
    const watched = named('Backup-warnings-default')?.Dimensions as { Name: string; Value: string }[];
    const expected = { service: 'catalog-backup', ...dimensions };
    expect(Object.fromEntries(watched.map(({ Name, Value }) => [Name, Value]))).toEqual(expected);
    expect(values.map(({ name }) => name)).toContain(BACKUP_WARNINGS);
    const [{ Properties: recorder }] = Object.values(
      template.findResources('AWS::Lambda::Function', {
        Properties: { FunctionName: 'Ngbak-catalog-backup' },
      }),
    ) as [{ Properties: { Environment: { Variables: Record<string, string> } } }];
    expect(recorder.Environment.Variables).toMatchObject({
      POWERTOOLS_SERVICE_NAME: 'catalog-backup',
      POWERTOOLS_METRICS_NAMESPACE: 'ngbak/Ngbak',
    });
  });

  test('are not cleared by the safety backup of a restore', () => {
    expect(
      measuresOf({ job_id: 'safety_x', target: 'default', type: 'full' } as BackupResult) ??
        measuresOf({ job_id: 'x', target: 'ngbak-selftest', type: 'full' } as BackupResult),
    ).toBeUndefined();
  });

  test.each([
    ['Backup-failed', 'ExecutionsFailed'],
    ['Backup-timed-out', 'ExecutionsTimedOut'],
    ['Restore-failed', 'ExecutionsFailed'],
    ['Restore-timed-out', 'ExecutionsTimedOut'],
    ['Retention-failed', 'Errors'],
    ['Ends-left', 'ApproximateNumberOfMessagesVisible'],
    ['Uploads-left', 'ApproximateNumberOfMessagesVisible'],
    ['Data-changed', 'ChecksumMismatches'],
  ])('%s fires at the first %s, and treats missing data as good', (name, metric) => {
    expect(named(name)).toMatchObject({
      MetricName: metric,
      Statistic: 'Sum',
      Threshold: 1,
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
      TreatMissingData: 'notBreaching',
    });
  });

  test('of the API fires at 1,000 rejected requests in five minutes, and does not exist without the API', () => {
    expect(named('Api-rejections')).toMatchObject({
      Namespace: 'AWS/ApiGateway',
      MetricName: '4xx',
      Statistic: 'Sum',
      Period: 300,
      Threshold: 1000,
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
      TreatMissingData: 'notBreaching',
    });
    const without = JSON.stringify(synthesize({ api: { enabled: false } }).toJSON());
    expect(without).not.toContain('Api-rejections');
  });

  test('cannot use a topic of another region, to which CloudWatch could not publish', () => {
    const region = (name: string) => ({
      alarms: { topicArns: [`arn:aws:sns:${name}:111122223333:on-call`] },
    });
    expect(() => synthesizeIn('eu-central-1', region('eu-central-1'))).not.toThrow();
    expect(() => synthesizeIn('eu-central-1', region('us-east-1'))).toThrow(
      /topicArns: arn:aws:sns:us-east-1:111122223333:on-call is not in eu-central-1/,
    );
  });

  test('and their recovery is published to the configured topics', () => {
    const topics = ['arn:aws:sns:eu-central-1:111122223333:on-call'];
    for (const alarm of all(template, 'AWS::CloudWatch::Alarm')) {
      expect(alarm).toMatchObject({ AlarmActions: topics, OKActions: topics });
    }
  });

  test('of changed data count errors of that name in the log of every function', () => {
    const filters = all(template, 'AWS::Logs::MetricFilter');
    expect(filters).toHaveLength(all(template, 'AWS::Lambda::Function').length);
    for (const filter of filters) {
      expect(filter).toMatchObject({
        FilterPattern: '{ $.error_name = "IntegrityError" }',
        MetricTransformations: [
          { MetricNamespace: 'ngbak/Ngbak', MetricName: 'ChecksumMismatches', MetricValue: '1' },
        ],
      });
    }
  });

  test('can be turned off; without a schedule, no alarm expects a backup', () => {
    expect(all(synthesize({ alarms: { enabled: false } }), 'AWS::CloudWatch::Alarm')).toEqual([]);
    const unscheduled = all(synthesize({ schedule: { enabled: false } }), 'AWS::CloudWatch::Alarm');
    expect(
      unscheduled
        .map(({ AlarmName }) => AlarmName)
        .filter((name) => /No-backup|Not-recoverable/.test(name ?? '')),
    ).toEqual([]);
    expect(unscheduled.length).toBeGreaterThan(5);
  });
});

test('saved queries exist for common operator questions, each over existing logs', () => {
  const queries = all(template, 'AWS::Logs::QueryDefinition');
  expect(queries.map(({ Name }) => Name).sort()).toEqual([
    'Ngbak/Backups deleted by retention',
    'Ngbak/Ends of executions',
    'Ngbak/Errors',
    'Ngbak/One job',
    'Ngbak/Time and memory of functions',
    'Ngbak/Who changed what',
  ]);
  const logs = template.findResources('AWS::Logs::LogGroup') as Record<
    string,
    { Properties: { LogGroupName: string } }
  >;
  const names = Object.values(logs).map(({ Properties: { LogGroupName } }) => LogGroupName);
  for (const { Name, LogGroupNames = [] } of queries) {
    expect([Name, LogGroupNames.length > 0]).toEqual([Name, true]);
    for (const log of LogGroupNames) {
      const name =
        typeof log === 'string' ? log : logs[(log as { Ref: string }).Ref]?.Properties.LogGroupName;
      expect(names).toContain(name);
    }
  }
});

test('the janitor looks for lost events every 15 minutes, and may process the queue of undelivered ones', () => {
  const rules = all(template, 'AWS::Events::Rule').filter(
    ({ ScheduleExpression }) => ScheduleExpression === 'rate(15 minutes)',
  );
  expect(rules).toHaveLength(1);
  expect(JSON.stringify(rules[0])).toContain(JSON.stringify(JSON.stringify({ reconcile: {} })));
  const policies = JSON.stringify(template.findResources('AWS::IAM::Policy'));
  expect(policies).toMatch(/"sqs:ReceiveMessage","sqs:DeleteMessage"/);
});

describe('the CloudWatch dashboard', () => {
  test('shows good backups, failures, and p50, p95 and p99 of durations of each target', () => {
    const [{ DashboardName, DashboardBody } = {}] = all(synthesize(), 'AWS::CloudWatch::Dashboard');
    expect(DashboardName).toBe('Ngbak');
    const body = JSON.stringify(DashboardBody).replaceAll('\\', '');
    for (const target of ['default', 'other']) {
      for (const p of ['p50', 'p95', 'p99']) {
        expect(body).toContain(
          `["ngbak/Ngbak","BackupDuration","service","catalog-backup","target","${target}","type","full",{"label":"${p}","period":3600,"stat":"${p}"}]`,
        );
      }
      expect(body).toContain(`"GoodBackups","service","catalog-backup","target","${target}"`);
    }
    expect(body).toContain('"ExecutionsFailed"');
    expect(body).toContain('"ChecksumMismatches"');
  });

  test('shows verdict, RPO, RTO and the age of the last drill, as the function that assesses the targets sends them', () => {
    const [{ DashboardBody } = {}] = all(synthesize(), 'AWS::CloudWatch::Dashboard');
    const body = JSON.stringify(DashboardBody).replaceAll('\\', '');
    const verdict = TargetRecoverability.parse({
      target: 'default',
      recoverable: 'yes_with_warnings',
      reasons: [],
      rpo_seconds: 3600,
      rto_seconds: 90,
      drill: { job_id: 'd', backup_id: 'b', finished_at: '2026-01-01T00:00:00Z', newest: true },
    });
    const sent = verdictMeasures(verdict, Date.parse('2026-01-01T00:01:00Z'));
    expect(Object.fromEntries(sent.map(({ name, value }) => [name, value]))).toEqual({
      Recoverable: 0.5,
      NotRecoverable: 0,
      DrillOverdue: 0,
      Rpo: 3600,
      Rto: 90,
      DrillAge: 60,
    });
    for (const { name } of sent.filter((metric) => ![NOT_RECOVERABLE, DRILL_OVERDUE].includes(metric.name))) {
      for (const target of ['default', 'other']) {
        expect(body).toContain(`["ngbak/Ngbak","${name}","service","watch-backups","target","${target}"`);
      }
    }
    // Nothing is sent for what is unknown: a graph has a gap there.
    const { rpo_seconds, rto_seconds, drill, ...unknown } = verdict;
    expect(verdictMeasures(unknown, 0).map(({ name }) => name)).toEqual([
      'Recoverable',
      'NotRecoverable',
      'DrillOverdue',
    ]);
  });

  test('can be omitted', () => {
    expect(all(synthesize({ metricsDashboard: false }), 'AWS::CloudWatch::Dashboard')).toEqual([]);
  });
});
