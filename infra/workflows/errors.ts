import { Duration } from 'aws-cdk-lib';
import {
  type CatchProps,
  Fail,
  JitterType,
  type RetryProps,
  type State,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';

/**
 * Lambda has to recreate what a function needs in its network, or did not get it at once (Lambda API reference, Invoke):
 * the network interfaces of a function that nobody invoked for weeks are reclaimed, and the invocations that follow fail
 * until they are there again. Those of restores are idle for months.
 */
export const PLATFORM_ERRORS = [
  'Lambda.ResourceNotReadyException',
  'Lambda.ResourceConflictException',
  'Lambda.ENINotReadyException',
  'Lambda.ENILimitReachedException',
  'Lambda.SubnetIPAddressLimitReachedException',
  'Lambda.EC2ThrottledException',
  'Lambda.EC2UnexpectedException',
  'Lambda.EFSMountConnectivityException',
  'Lambda.EFSMountTimeoutException',
  'Lambda.EFSMountFailureException',
  'Lambda.EFSIOException',
];

/** All concurrent executions that the account or the function may have are in use. */
export const CONCURRENCY_ERRORS = ['Lambda.TooManyRequestsException'];

/** The process needed more memory than its function has. The same data may need it again. */
export const MEMORY_ERRORS = ['Runtime.OutOfMemory'];

/**
 * Errors that pass by themselves: Lambda's own (developer guide of Step Functions, "Handle transient Lambda service
 * exceptions"; `Lambda.Unknown`, `Sandbox.Timedout` and `Runtime.ExitError` are invocations that were cut off: the last
 * one is what newer runtimes report when their process ended by itself, as where V8's own heap is full), and those of
 * ours that are `retryable`. Every step has the same effect when it is repeated, so each of them may be tried again.
 */
export const TRANSIENT_ERRORS = [
  'Lambda.ServiceException',
  'Lambda.AWSLambdaException',
  'Lambda.SdkClientException',
  'Lambda.ClientExecutionTimeoutException',
  'Lambda.Unknown',
  'Sandbox.Timedout',
  'Runtime.ExitError',
  'UnavailableError',
];

/** Errors that say that what was asked for can't be done as things are: somebody has to change something first. */
export const REFUSALS = [
  'InvalidInputError',
  'ObjectArchivedError',
  'AccessDeniedError',
  'TargetLockedError',
  'HookError',
];

/** What `answerConfirmation` fails the waiting task with, and the janitor reads as "cancelled". */
export const REJECTION = 'RestoreRejected';

/** Seven minutes, longer than Lambda needs to recreate network interfaces. Nothing has been done yet. */
const PLATFORM_RETRY: RetryProps = {
  errors: PLATFORM_ERRORS,
  interval: Duration.seconds(10),
  backoffRate: 1.5,
  maxDelay: Duration.minutes(1),
  maxAttempts: 10,
};

/**
 * About two hours on average: whatever holds the concurrent executions holds each for up to 15 minutes and more than one
 * after the other. Nothing has been done yet, so waiting is safe; each try takes three events of the history.
 */
const CONCURRENCY_RETRY: RetryProps = {
  errors: CONCURRENCY_ERRORS,
  interval: Duration.seconds(5),
  backoffRate: 1.5,
  maxDelay: Duration.minutes(2),
  maxAttempts: 120,
  jitterStrategy: JitterType.FULL,
};

const MEMORY_RETRY: RetryProps = { errors: MEMORY_ERRORS, interval: Duration.seconds(2), maxAttempts: 2 };

/** How every invocation is tried again before its own {@link RETRY}: what the platform could not do for a moment. */
export const PLATFORM_RETRIES: readonly RetryProps[] = [PLATFORM_RETRY, CONCURRENCY_RETRY, MEMORY_RETRY];

/** About four minutes of trying, spread at random, so that many exporters do not come back at the same moment. */
export const RETRY: RetryProps = {
  errors: TRANSIENT_ERRORS,
  interval: Duration.seconds(2),
  backoffRate: 2,
  maxDelay: Duration.seconds(90),
  maxAttempts: 7,
  jitterStrategy: JitterType.FULL,
};

/**
 * For the first look at the stores, when nothing has been done yet: about ten seconds. A server that does not answer
 * then is more often a wrong address than a moment of weakness, and somebody may be waiting.
 */
export const FIRST_LOOK_RETRY: RetryProps = { ...RETRY, maxAttempts: 3 };

/**
 * For a nested execution that Step Functions could not start: throttled, or not reached. Starting it again under the same
 * name is the same execution, so trying is safe; the errors of the execution itself (`States.TaskFailed`) are not tried again.
 */
export const START_RETRY: RetryProps = {
  ...RETRY,
  errors: [
    'StepFunctions.ThrottlingException',
    'StepFunctions.ExecutionLimitExceededException',
    'StepFunctions.SfnException',
    'StepFunctions.AWSStepFunctionsException',
    'StepFunctions.SdkClientException',
  ],
};

/** JSONata that parses an error's cause where it is a whole JSON object; text, and JSON that was cut off, is left as it is. */
const PARSE = `
  $read := function($text) {
    $type($text) = "string" and $substring($text, 0, 1) = "{" and $substring($text, -1) = "}" ? $parse($text) : $text
  };
  $cause := $read($states.errorOutput.Cause);`;

/** The error's name; for a nested execution, which fails as `States.TaskFailed`, the name that this one failed with. */
const NAME = `(${PARSE}
  $type($cause) = "object" and $exists($cause.ExecutionArn) and $exists($cause.Error)
    ? $cause.Error : $states.errorOutput.Error
)`;

/** The operator's message: Lambda's `errorMessage`, a nested execution's `Cause`, or the cause itself. */
const MESSAGE = `(${PARSE}
  $told := $type($cause) = "object"
    ? ($exists($cause.errorMessage) ? $cause.errorMessage : $exists($cause.Cause) ? $cause.Cause : $string($cause))
    : $cause;
  $exists($told) and $told != ""
    ? $told
    : "The step ended without a message. See its history in the Step Functions console."
)`;

const jsonata = (text: string) => `{% ${text.replaceAll(/\s+/g, ' ')} %}`;

/** The output of every catcher: what the Fail state that it leads to shows. */
export const CAUGHT: NonNullable<CatchProps['outputs']> = { error: jsonata(NAME), cause: jsonata(MESSAGE) };

/** Fails with an error that was caught with the output {@link CAUGHT}. */
export function failAgain(scope: Construct, name: string, comment: string): Fail {
  return Fail.jsonata(scope, name, {
    comment,
    error: '{% $states.input.error %}',
    cause: '{% $states.input.cause %}',
  });
}

/** One way in which a workflow ends badly. */
export interface FailureEnd {
  /** Name of the Fail state, as the console shows it. */
  readonly name: string;
  readonly comment: string;
  /** Names of the errors that lead there. */
  readonly errors: string[];
}

/** How a workflow can end badly: leads errors, by name, to Fail states with a cause that an operator can read. */
export class FailureEnds {
  readonly #ends: { errors: string[]; state: Fail }[];

  /** @param ends  most specific first; the last one takes `States.ALL` */
  constructor(scope: Construct, ends: readonly FailureEnd[]) {
    this.#ends = ends.map(({ name, comment, errors }) => ({
      errors,
      state: failAgain(scope, name, comment),
    }));
  }

  /** Leads every error of a state to the end that fits it. */
  catch<T extends { addCatch(handler: State, props: CatchProps): unknown }>(state: T): T {
    for (const { errors, state: end } of this.#ends) state.addCatch(end, { errors, outputs: CAUGHT });
    return state;
  }
}
