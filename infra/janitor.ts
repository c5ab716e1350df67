import { Duration, Validations } from 'aws-cdk-lib';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { SqsDestination } from 'aws-cdk-lib/aws-lambda-destinations';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { ReconcileInput } from '../shared/workflows/janitor/reconcile.ts';
import { LEG_MINUTES } from './functions.ts';
import type { StepHandler } from './step-handler.ts';
import { stateMachineArn } from './workflows/state-machine.ts';

/** How long an end of an execution that could not be cleaned up after waits for a person: SQS's longest, in days. */
const UNCLEANED_DAYS = 14;
/** How often lost events are looked for, in minutes. */
const RECONCILE_MINUTES = 15;

/**
 * Cleans up after every execution of both workflows, however it ended: started by the event, since a `Catch` never
 * runs in an execution that is stopped or times out. EventBridge delivers these events by best effort only
 * (https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-states.html), so the same function also looks for ends
 * that it was not told of, on a schedule.
 */
export class Janitor extends Construct {
  /** Ends that the function did not get through, after every retry. Empty in the normal case. */
  readonly uncleaned: Queue;

  constructor(scope: Construct, id: string, { handler }: { readonly handler: StepHandler }) {
    super(scope, id);
    this.uncleaned = new Queue(this, 'Uncleaned', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(UNCLEANED_DAYS),
      // A message that the function works on is not given out again while it does.
      visibilityTimeout: Duration.minutes(LEG_MINUTES),
    });
    Validations.of(this.uncleaned).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'It is a dead-letter queue.',
    });
    // EventBridge hands the event over; from there on, it is Lambda that tries again when the function fails.
    handler.function.configureAsyncInvoke({
      retryAttempts: 2,
      maxEventAge: Duration.hours(6),
      onFailure: new SqsDestination(this.uncleaned),
    });
    new Rule(this, 'ExecutionEnded', {
      description: 'ngbak: an execution of a workflow has ended',
      eventPattern: {
        source: ['aws.states'],
        detailType: ['Step Functions Execution Status Change'],
        detail: {
          stateMachineArn: [stateMachineArn(this, 'Backup'), stateMachineArn(this, 'Restore')],
          status: ['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED'],
        },
      },
      targets: [
        new LambdaFunction(handler.function, {
          deadLetterQueue: this.uncleaned,
          retryAttempts: 185,
          maxEventAge: Duration.hours(24),
        }),
      ],
    });
    const look: ReconcileInput = { reconcile: {} };
    new Rule(this, 'Reconcile', {
      description: 'ngbak: look for executions whose end was never handled',
      schedule: Schedule.rate(Duration.minutes(RECONCILE_MINUTES)),
      targets: [
        // The next one comes soon: what fails is not worth a message that waits.
        new LambdaFunction(handler.function, { event: RuleTargetInput.fromObject(look), retryAttempts: 0 }),
      ],
    });
    handler.allow(['sqs:ReceiveMessage', 'sqs:DeleteMessage'], [this.uncleaned.queueArn]);
    handler.function.addEnvironment('NGBAK_UNDELIVERED_QUEUE_URL', this.uncleaned.queueUrl);
  }
}
