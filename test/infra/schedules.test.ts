import { describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { BackupRequest } from '../../shared/catalog/request.ts';
import { readScheduledRequest } from '../../shared/schedules/target.ts';
import { permissions, statementsOf, synthesize, write } from './template.ts';

type Resource = { Properties: Record<string, never> & { [key: string]: unknown } };
const only = (template: Template, type: string): [string, Resource] => {
  const found = Object.entries(template.findResources(type)) as [string, Resource][];
  if (found.length !== 1 || !found[0]) throw new Error(`There are ${found.length} of ${type}.`);
  return found[0];
};
const schedulesOf = (template: Template) =>
  (Object.values(template.findResources('AWS::Scheduler::Schedule')) as Resource[]).map(
    ({ Properties }) => Properties,
  );

describe('the schedules of a deployment', () => {
  test('start with a daily one for each target, in the configured zone, that reads back like any other', () => {
    const template = synthesize({ schedule: { time: '02:30', timeZone: 'Europe/Berlin' } });
    const found = schedulesOf(template);
    expect(found.map(({ Name }) => Name).sort()).toEqual(['daily', 'daily-other']);
    for (const properties of found) {
      expect(properties).toMatchObject({
        ScheduleExpression: 'cron(30 2 * * ? *)',
        ScheduleExpressionTimezone: 'Europe/Berlin',
        State: 'ENABLED',
        Target: { RetryPolicy: { MaximumEventAgeInSeconds: 7200, MaximumRetryAttempts: 10 } },
      });
      const { Input } = properties.Target as unknown as { Input: string };
      const { work, madeBy } = readScheduledRequest(String(properties.Name), Input);
      expect(work.backup?.target).toBe(properties.Name === 'daily' ? 'default' : 'other');
      expect(madeBy).toBe('deployment');
    }
  });

  test('include drills of each target if they are configured', () => {
    const template = synthesize({ drills: { expression: 'cron(0 4 ? * SUN *)', timeZone: 'Europe/Berlin' } });
    const drills = schedulesOf(template).filter(({ Name }) => String(Name).startsWith('drill'));
    expect(drills.map(({ Name }) => Name).sort()).toEqual(['drill', 'drill-other']);
    for (const { Name, Target, ...properties } of drills) {
      expect(properties).toMatchObject({
        ScheduleExpression: 'cron(0 4 ? * SUN *)',
        ScheduleExpressionTimezone: 'Europe/Berlin',
      });
      const { Input, Arn } = Target as unknown as { Input: string; Arn: unknown };
      expect(write(Arn)).toMatch(/^<Restore/);
      expect(readScheduledRequest(String(Name), Input)).toEqual({
        work: { drill: { target: Name === 'drill' ? 'default' : 'other' } },
        madeBy: 'deployment',
      });
    }
    for (const wrong of [{ expression: 'weekly' }, { expression: 'at(2030-01-01T00:00:00)' }])
      expect(() => synthesize({ drills: wrong })).toThrow(/ngbak\.drills\.expression: must be cron/);
    const rules = { schedule: { service: 'rules' }, drills: { expression: 'rate(7 days)' } };
    expect(() => synthesize(rules)).toThrow(/ngbak\.drills needs EventBridge Scheduler/);
  });

  test('are rules of EventBridge in UTC where a region has no Scheduler, with requests that the backup accepts', () => {
    const template = synthesize({ schedule: { service: 'rules', time: '02:30' } });
    const text = JSON.stringify(template.toJSON());
    expect(text).not.toMatch(
      /AWS::Scheduler|scheduler:|scheduler\.amazonaws|NGBAK_SCHEDULE|ScheduleGroupName/,
    );
    const rules = (Object.values(template.findResources('AWS::Events::Rule')) as Resource[])
      .map(({ Properties }) => Properties as Record<string, unknown>)
      .filter(({ ScheduleExpression }) => ScheduleExpression === 'cron(30 2 * * ? *)');
    const requests = rules.map(({ Targets }) => {
      const [{ InputTransformer }] = Targets as [
        { InputTransformer: { InputPathsMap: Record<string, string>; InputTemplate: string } },
      ];
      const [[variable = '', path] = []] = Object.entries(InputTransformer.InputPathsMap);
      expect(path).toBe('$.time');
      const time = '2026-01-02T02:30:00Z';
      return BackupRequest.parse(
        JSON.parse(InputTransformer.InputTemplate.replace(`<${variable}>`, `"${time}"`)),
      );
    });
    expect(requests.map(({ target }) => target).sort()).toEqual(['default', 'other']);
    expect(requests[0]?.schedule).toEqual({
      name: expect.stringMatching(/^daily/),
      scheduled_at: '2026-01-02T02:30:00Z',
      made_by: 'deployment',
    });
  });

  test('include none from the deployment if turned off there, but have a group nevertheless', () => {
    const template = synthesize({ schedule: { enabled: false } });
    expect(schedulesOf(template)).toEqual([]);
    expect(only(template, 'AWS::Scheduler::ScheduleGroup')[1].Properties.Name).toBe('Ngbak');
  });

  test('may only start the two workflows; and only Scheduler, for this group, may use that role', () => {
    const template = synthesize();
    const [role, { Properties }] = (
      Object.entries(template.findResources('AWS::IAM::Role')) as [string, Resource][]
    ).find(([id]) => id.startsWith('SchedulesRole')) as [string, Resource];
    const policies = (Object.values(template.findResources('AWS::IAM::Policy')) as Resource[]).filter(
      ({ Properties: policy }) =>
        (policy.Roles as unknown as { Ref: string }[]).some(({ Ref }) => Ref === role),
    );
    const allowed = policies.flatMap((policy) => statementsOf(policy.Properties));
    expect(new Set(allowed.flatMap(({ actions }) => actions))).toEqual(new Set(['states:StartExecution']));
    expect(allowed.flatMap(({ resources }) => resources).sort()).toEqual([
      expect.stringMatching(/^<Backup/),
      expect.stringMatching(/^<Restore/),
    ]);
    const [trust] = (Properties.AssumeRolePolicyDocument as unknown as { Statement: object[] }).Statement;
    const condition = (trust as { Condition: { StringEquals: Record<string, unknown> } }).Condition;
    expect(write(condition.StringEquals['aws:SourceArn'])).toMatch(/:schedule-group\/Ngbak$/);
  });

  test('are changed by the API alone, in this group alone, and with that role alone', () => {
    const all = permissions(synthesize());
    const scheduling = [...all].flatMap(([name, statements]) =>
      statements
        .filter(({ actions }) => actions.some((action) => /^(scheduler|iam):/.test(action)))
        .map((statement) => ({ name, ...statement })),
    );
    // The one that measures whether backups are too old reads them.
    const readers = scheduling.filter(({ actions }) => actions.every((name) => /:(Get|List)/.test(name)));
    expect([...new Set(readers.map(({ name }) => name))].sort()).toEqual(['api', 'watch-backups']);
    const changes = scheduling.filter((statement) => !readers.includes(statement));
    expect(new Set(changes.map(({ name }) => name))).toEqual(new Set(['api']));
    const where = (action: string) => [
      ...new Set(
        scheduling.filter(({ actions }) => actions.includes(action)).flatMap(({ resources }) => resources),
      ),
    ];
    for (const verb of ['Get', 'Create', 'Update', 'Delete']) {
      expect(where(`scheduler:${verb}Schedule`)).toEqual([expect.stringMatching(/:schedule\/Ngbak\/\*$/)]);
    }
    expect(where('scheduler:ListSchedules')).toEqual([expect.stringMatching(/:schedule\/\*\/\*$/)]);
    expect(where('iam:PassRole')).toEqual([expect.stringMatching(/^<SchedulesRole/)]);
    const passing = scheduling.find(({ actions }) => actions.includes('iam:PassRole'));
    expect(passing?.condition).toEqual({
      StringEquals: { 'iam:PassedToService': 'scheduler.amazonaws.com' },
    });
  });
});
