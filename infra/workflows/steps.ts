import { Duration } from 'aws-cdk-lib';
import {
  Chain,
  Choice,
  Condition,
  type IChainable,
  type INextable,
  IntegrationPattern,
  Parallel,
  Pass,
  type RetryProps,
  type State,
  TaskInput,
  Timeout,
} from 'aws-cdk-lib/aws-stepfunctions';
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
import type { StepHandler } from '../step-handler.ts';
import { PLATFORM_RETRIES, RETRY } from './errors.ts';

/** How much longer than its function's time limit a task waits for an answer. */
const GRACE = Duration.minutes(1);

/** The id of the job: a variable of the workflow, set by its first step and available in every branch. */
export const JOB = '{% $job_id %}';

/** The execution that a step belongs to: `ExecutionInfo` in shared/workflows/job/execution.ts. */
export const EXECUTION = {
  name: '{% $states.context.Execution.Name %}',
  arn: '{% $states.context.Execution.Id %}',
  start: '{% $states.context.Execution.StartTime %}',
};

export interface StepProps {
  readonly handler: StepHandler;
  /** Comment that the console shows with the state. */
  readonly comment: string;
  /** What the function receives, as values and JSONata expressions. @default - the state's input */
  readonly payload?: Record<string, unknown>;
  /** Output of the state. @default - what the function returned */
  readonly outputs?: unknown;
  /** Variables of the workflow that are set from the result. @default - none */
  readonly assign?: Record<string, unknown>;
  /** Retries of transient errors. @default RETRY */
  readonly retry?: RetryProps;
}

/** One invocation of one function, retried after transient errors. */
export function step(scope: Construct, name: string, props: StepProps): LambdaInvoke {
  const task = LambdaInvoke.jsonata(scope, name, {
    comment: props.comment,
    lambdaFunction: props.handler.function,
    payload: props.payload ? TaskInput.fromObject(props.payload) : TaskInput.fromText('{% $states.input %}'),
    outputs: props.outputs ?? '{% $states.result.Payload %}',
    ...(props.assign === undefined ? {} : { assign: props.assign }),
    taskTimeout: Timeout.duration(props.handler.timeout.plus(GRACE)),
    retryOnServiceExceptions: false,
  });
  for (const retry of [...PLATFORM_RETRIES, props.retry ?? RETRY]) task.addRetry(retry);
  return task;
}

/** One invocation, after which the workflow waits for an answer with the task's token. */
export function question(
  scope: Construct,
  name: string,
  props: StepProps & { readonly wait: Duration },
): LambdaInvoke {
  const task = LambdaInvoke.jsonata(scope, name, {
    comment: props.comment,
    lambdaFunction: props.handler.function,
    integrationPattern: IntegrationPattern.WAIT_FOR_TASK_TOKEN,
    payload: TaskInput.fromObject({ ...props.payload, task_token: '{% $states.context.Task.Token %}' }),
    outputs: props.outputs,
    taskTimeout: Timeout.duration(props.wait),
    retryOnServiceExceptions: false,
  });
  for (const retry of [...PLATFORM_RETRIES, RETRY]) task.addRetry(retry);
  return task;
}

/**
 * Repeats a step, with its output as the input of its next leg, until the output has `done`; then continues with
 * `next`.
 */
export function repeat(
  scope: Construct,
  name: string,
  leg: State & INextable & IChainable,
  next: IChainable,
): Chain {
  const complete = Choice.jsonata(scope, name, { comment: 'A leg ends before its function runs out of time' })
    .when(Condition.jsonata('{% $states.input.done %}'), next)
    .otherwise(leg);
  return Chain.start(leg.next(complete));
}

/** The end of one branch. It has no output, so that the workflow's state does not grow. */
export function endOfBranch(scope: Construct, name: string): Pass {
  return Pass.jsonata(scope, name, { outputs: {} });
}

/** Processes all stores at the same time. The results of the branches are discarded unless `outputs` uses them. */
export function everyStore(
  scope: Construct,
  name: string,
  comment: string,
  branches: IChainable[],
  outputs: unknown = {},
): Parallel {
  return Parallel.jsonata(scope, name, { comment, outputs }).branch(...branches);
}
