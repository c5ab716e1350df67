import { Duration } from 'aws-cdk-lib';
import { EventField, Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { SfnStateMachine } from 'aws-cdk-lib/aws-events-targets';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { CREATED_BY_DEPLOYMENT } from '../shared/core/allowed.ts';
import { backedUpTargets } from '../shared/core/config.ts';
import { RETRY, scheduledBackup } from '../shared/schedules/target.ts';
import type { DeploymentConfig } from './config.ts';
import { dailyName } from './schedules.ts';

export interface DailyRulesProps {
  readonly backup: IStateMachine;
  readonly deployment: Pick<DeploymentConfig, 'schedule' | 'targets'>;
}

/**
 * The daily backup of every target by EventBridge rules, for regions without EventBridge Scheduler: in UTC, and
 * changed by deployments only.
 */
export class DailyRules extends Construct {
  constructor(scope: Construct, id: string, { backup, deployment }: DailyRulesProps) {
    super(scope, id);
    const { enabled, time } = deployment.schedule;
    if (!enabled) return;
    const [hour, minute] = time.split(':').map(Number);
    for (const target of backedUpTargets(deployment)) {
      const { schedule, ...request } = scheduledBackup(dailyName(target), { target }, CREATED_BY_DEPLOYMENT);
      new Rule(this, `Daily-${target}`, {
        description: `ngbak: daily backup of "${target}"`,
        schedule: Schedule.cron({ hour: String(hour), minute: String(minute) }),
        targets: [
          new SfnStateMachine(backup, {
            input: RuleTargetInput.fromObject({
              ...request,
              // The time of a scheduled event is the planned time.
              schedule: { ...schedule, scheduled_at: EventField.time },
            }),
            retryAttempts: RETRY.attempts,
            maxEventAge: Duration.seconds(RETRY.seconds),
          }),
        ],
      });
    }
  }
}
