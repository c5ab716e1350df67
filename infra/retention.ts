import { Duration } from 'aws-cdk-lib';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import type { ArchiveBucket } from './archive-bucket.ts';
import { allowDeletions, setStateMachineVariables } from './operator-access.ts';
import type { StepHandler } from './step-handler.ts';
import { stateMachineArn } from './workflows/state-machine.ts';

export interface RetentionProps {
  readonly archive: ArchiveBucket;
  readonly handler: StepHandler;
}

/** Applies the retention rules after each successful backup, and daily, because retentions also expire over time. */
export class Retention extends Construct {
  constructor(scope: Construct, id: string, { archive, handler }: RetentionProps) {
    super(scope, id);
    setStateMachineVariables(handler);
    allowDeletions(handler, archive);
    const target = new LambdaFunction(handler.function, {
      event: RuleTargetInput.fromObject({}),
      retryAttempts: 3,
      maxEventAge: Duration.hours(6),
    });
    new Rule(this, 'AfterBackup', {
      description: 'ngbak: a backup was created, retention applies',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: { stateMachineArn: [stateMachineArn(this, 'Backup')], status: ['SUCCEEDED'] },
      },
      targets: [target],
    });
    new Rule(this, 'Daily', {
      description: 'ngbak: daily retention run',
      schedule: Schedule.rate(Duration.days(1)),
      targets: [target],
    });
  }
}
