import { Duration } from 'aws-cdk-lib';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import { VERIFY_EVERY_HOURS, type VerifyNextInput } from '../shared/operations/verify-next.ts';
import type { StepHandler } from './step-handler.ts';

/**
 * Verifies stored archives and copies regularly. Without a workflow: a verification that takes longer than a function may
 * run continues in the next hour.
 */
export class Verification extends Construct {
  constructor(scope: Construct, id: string, { handler }: { readonly handler: StepHandler }) {
    super(scope, id);
    const event: VerifyNextInput = { verify: {} };
    new Rule(this, 'Hourly', {
      description: 'ngbak: verify what is stored',
      schedule: Schedule.rate(Duration.hours(VERIFY_EVERY_HOURS)),
      targets: [
        // The next run follows soon, and continues.
        new LambdaFunction(handler.function, { event: RuleTargetInput.fromObject(event), retryAttempts: 0 }),
      ],
    });
  }
}
