import { createHash } from 'node:crypto';
import { Duration, RemovalPolicy, Stack, TimeZone } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Schedule, ScheduleExpression, ScheduleGroup, ScheduleTargetInput } from 'aws-cdk-lib/aws-scheduler';
import { StepFunctionsStartExecution } from 'aws-cdk-lib/aws-scheduler-targets';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { CREATED_BY_DEPLOYMENT } from '../shared/core/allowed.ts';
import { backedUpTargets } from '../shared/core/config.ts';
import { RETRY, scheduledBackup, scheduledDrill } from '../shared/schedules/target.ts';
import type { DeploymentConfig } from './config.ts';
import type { StepHandler } from './step-handler.ts';
import { acceptWildcard } from './wildcards.ts';

/** EventBridge Scheduler's limit for the name of a schedule, in characters. */
const NAME_LENGTH_MAX = 64;

/** Name of the schedule of a target's daily backup. */
export function dailyName(target: string): string {
  return nameOf('daily', target);
}

/** Name of a schedule of the deployment. Long names end in a hash, because two targets may have a common beginning. */
function nameOf(what: 'daily' | 'drill', target: string): string {
  const name = target === 'default' ? what : `${what}-${target}`;
  if (name.length <= NAME_LENGTH_MAX) return name;
  const hash = createHash('sha256').update(target).digest('hex').slice(0, 8);
  return `${name.slice(0, NAME_LENGTH_MAX - hash.length - 1)}-${hash}`;
}

export interface SchedulesProps {
  /** Runs backups. */
  readonly backup: IStateMachine;
  /** Runs drills. */
  readonly restore: IStateMachine;
  readonly deployment: Pick<DeploymentConfig, 'schedule' | 'drills' | 'targets'>;
}

/**
 * An EventBridge Scheduler group with all schedules of the deployment, and the role that allows them only to start
 * the two workflows. The stack creates a daily schedule for each target and, if configured, one for its drills; all
 * others are managed without a deployment.
 */
export class Schedules extends Construct {
  /** Name of the group: that of the stack. */
  readonly groupName: string;
  readonly role: Role;

  constructor(scope: Construct, id: string, { backup, restore, deployment }: SchedulesProps) {
    super(scope, id);
    const stack = Stack.of(this);
    this.groupName = stack.stackName;
    const group = new ScheduleGroup(this, 'Group', {
      scheduleGroupName: this.groupName,
      // Without the workflow, its schedules have nothing to start.
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.role = new Role(this, 'Role', {
      description: 'Lets the schedules of ngbak start backups and drills',
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: {
          StringEquals: {
            'aws:SourceAccount': stack.account,
            'aws:SourceArn': this.#arn('schedule-group', this.groupName),
          },
        },
      }),
    });
    // A policy for each: the role may start these two and nothing else.
    for (const workflow of [backup, restore]) workflow.grantStartExecution(this.role);
    const start = (workflow: IStateMachine, input: object) =>
      new StepFunctionsStartExecution(workflow, {
        role: this.role,
        input: ScheduleTargetInput.fromObject(input),
        retryAttempts: RETRY.attempts,
        maxEventAge: Duration.seconds(RETRY.seconds),
      });
    const { schedule, drills } = deployment;
    for (const target of backedUpTargets(deployment)) {
      if (schedule.enabled) {
        const scheduleName = dailyName(target);
        const [hour, minute] = schedule.time.split(':').map(Number);
        new Schedule(this, `Daily-${target}`, {
          scheduleName,
          scheduleGroup: group,
          description: `Daily backup of "${target}"`,
          schedule: ScheduleExpression.cron({
            hour: String(hour),
            minute: String(minute),
            timeZone: TimeZone.of(schedule.timeZone),
          }),
          target: start(backup, scheduledBackup(scheduleName, { target }, CREATED_BY_DEPLOYMENT)),
        });
      }
      if (drills) {
        const scheduleName = nameOf('drill', target);
        const { expression, timeZone } = drills;
        new Schedule(this, `Drill-${target}`, {
          scheduleName,
          scheduleGroup: group,
          description: `Drill of "${target}"`,
          schedule: ScheduleExpression.expression(expression, TimeZone.of(timeZone)),
          target: start(restore, scheduledDrill(scheduleName, { target }, CREATED_BY_DEPLOYMENT)),
        });
      }
    }
  }

  /** Lets a function read the schedules of this group. */
  allowReads(handler: StepHandler): void {
    const [ownSchedules, all] = this.#arns(handler);
    handler.allow(['scheduler:GetSchedule'], [ownSchedules]);
    handler.allow(['scheduler:ListSchedules'], [all]);
    this.#setVariables(handler);
  }

  /** Allows a function to list, create, change and delete the schedules of this group, with this role only. */
  allowChanges(handler: StepHandler): void {
    for (const statement of this.statements(handler)) handler.function.addToRolePolicy(statement);
    this.#setVariables(handler);
  }

  #setVariables(handler: StepHandler): void {
    handler.function.addEnvironment('NGBAK_SCHEDULE_GROUP', this.groupName);
    handler.function.addEnvironment('NGBAK_SCHEDULE_ROLE_ARN', this.role.roleArn);
  }

  /** The schedules of this group, and the resource that authorizes listing them. */
  #arns(scope: Construct): [own: string, all: string] {
    const ownSchedules = this.#arn('schedule', `${this.groupName}/*`);
    const all = this.#arn('schedule', '*/*');
    acceptWildcard(scope, ownSchedules, 'All schedules of our own group.');
    acceptWildcard(scope, all, 'Scheduler authorizes lists against all schedules, even a list of one group.');
    return [ownSchedules, all];
  }

  /** The statements that allow changes to schedules. @param scope  of the policy that contains them */
  statements(scope: Construct): PolicyStatement[] {
    const [ownSchedules, all] = this.#arns(scope);
    const changes = ['GetSchedule', 'CreateSchedule', 'UpdateSchedule', 'DeleteSchedule'];
    return [
      new PolicyStatement({ actions: changes.map((name) => `scheduler:${name}`), resources: [ownSchedules] }),
      new PolicyStatement({ actions: ['scheduler:ListSchedules'], resources: [all] }),
      new PolicyStatement({
        actions: ['iam:PassRole'],
        resources: [this.role.roleArn],
        conditions: { StringEquals: { 'iam:PassedToService': 'scheduler.amazonaws.com' } },
      }),
    ];
  }

  #arn(resource: 'schedule' | 'schedule-group', resourceName: string): string {
    return Stack.of(this).formatArn({ service: 'scheduler', resource, resourceName });
  }
}
