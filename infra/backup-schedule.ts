import { Duration, TimeZone } from 'aws-cdk-lib';
import { Schedule, ScheduleExpression, ScheduleTargetInput } from 'aws-cdk-lib/aws-scheduler';
import { StepFunctionsStartExecution } from 'aws-cdk-lib/aws-scheduler-targets';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import type { Deployment } from './config.ts';

export interface BackupScheduleProps {
  readonly backup: IStateMachine;
  readonly schedule: Deployment['schedule'];
  /** Name of the target, for the request. */
  readonly target: string;
}

/** The daily backup of one target. */
export class BackupSchedule extends Construct {
  constructor(scope: Construct, id: string, { backup, schedule, target }: BackupScheduleProps) {
    super(scope, id);
    const [hour, minute] = schedule.time.split(':').map(Number);
    new Schedule(this, 'Daily', {
      description: `ngbak: daily backup of "${target}"`,
      enabled: schedule.enabled,
      schedule: ScheduleExpression.cron({
        hour: String(hour),
        minute: String(minute),
        timeZone: TimeZone.of(schedule.timeZone),
      }),
      target: new StepFunctionsStartExecution(backup, {
        input: ScheduleTargetInput.fromObject({ target, requested_by: 'schedule' }),
        retryAttempts: 10,
        // A run that is hours late would work in the day that it was to be out of the way of.
        maxEventAge: Duration.hours(2),
      }),
    });
  }
}
