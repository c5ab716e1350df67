import { Duration } from 'aws-cdk-lib';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import type { Schedules } from './schedules.ts';
import type { StepHandler } from './step-handler.ts';
import { stateMachineArn } from './workflows/state-machine.ts';

/**
 * How often the age of backups is measured, in minutes: at least once in each period of the alarm, which is an hour.
 */
const WATCH_MINUTES = 20;

export interface WatchProps {
  readonly handler: StepHandler;
  /** Absent without EventBridge Scheduler. */
  readonly schedules: Schedules | undefined;
}

/**
 * Measures the age of the newest good backup of each target. It is a function, because the maximum age depends on the
 * schedules, which change without a deployment. It runs outside of any VPC, so EventBridge Scheduler needs no
 * endpoint.
 */
export class Watch extends Construct {
  constructor(scope: Construct, id: string, { handler, schedules }: WatchProps) {
    super(scope, id);
    schedules?.allowReads(handler);
    for (const workflow of ['Backup', 'Restore'] as const) {
      const variable = `NGBAK_${workflow.toUpperCase()}_STATE_MACHINE_ARN`;
      handler.function.addEnvironment(variable, stateMachineArn(this, workflow));
    }
    new Rule(this, 'Ages', {
      description: 'ngbak: measure how old the newest backups are',
      schedule: Schedule.rate(Duration.minutes(WATCH_MINUTES)),
      targets: [
        new LambdaFunction(handler.function, { event: RuleTargetInput.fromObject({}), retryAttempts: 2 }),
      ],
    });
  }
}
