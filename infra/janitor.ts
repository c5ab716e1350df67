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

/** How long an execution that could not be cleaned up after is kept for an operator, in days: the maximum of SQS. */
const UNCLEANED_DAYS = 14;
/** How often the janitor looks for lost events, in minutes. */
const RECONCILE_MINUTES = 15;

/**
 * Cleans up after every execution of both workflows, however it ended. It is started by an event, because a `Catch`
 * does not run in an execution that is stopped or times out. EventBridge delivers these events on a best-effort basis
 * only (https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-states.html), so the same function also looks
 * on a schedule for ended executions whose event is missing.
 */
export class Janitor extends Construct {
  /** Ended executions that the function failed to process after all retries. Normally empty. */
  readonly uncleaned: Queue;

  constructor(scope: Construct, id: string, { handler }: { readonly handler: StepHandler }) {
    super(scope, id);
    this.uncleaned = new Queue(this, 'Uncleaned', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(UNCLEANED_DAYS),
      // A message must not become visible again while the function processes it.
      visibilityTimeout: Duration.minutes(LEG_MINUTES),
    });
    Validations.of(this.uncleaned).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'It is a dead-letter queue.',
    });
    // EventBridge only delivers the event; if the function fails, Lambda retries.
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
        // The next run follows soon, so a failed one needs no dead-letter message.
        new LambdaFunction(handler.function, { event: RuleTargetInput.fromObject(look), retryAttempts: 0 }),
      ],
    });
    handler.allow(['sqs:ReceiveMessage', 'sqs:DeleteMessage'], [this.uncleaned.queueArn]);
    handler.function.addEnvironment('NGBAK_UNDELIVERED_QUEUE_URL', this.uncleaned.queueUrl);
  }
}
