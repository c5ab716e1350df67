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
 * Lambda has to recreate a function's network interfaces, or could not get them at once (Lambda API reference,
 * Invoke): those of a function that was idle for weeks are reclaimed, and subsequent invocations fail until they
 * exist again. The functions of restores are idle for months.
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

/** The process needed more memory than its function has. A retry with the same data may fail again. */
export const MEMORY_ERRORS = ['Runtime.OutOfMemory'];

/**
 * Transient errors: Lambda's own (developer guide of Step Functions, "Handle transient Lambda service exceptions";
 * `Lambda.Unknown`, `Sandbox.Timedout` and `Runtime.ExitError` are interrupted invocations: newer runtimes report the
 * last one if their process exits by itself, for example because V8's heap is full), and the `retryable` errors of
 * ngbak. All steps are idempotent, so all of these may be retried.
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

/** Errors for requests that are not possible in the current state: someone has to change something first. */
export const REFUSALS = [
  'InvalidInputError',
  'ObjectArchivedError',
  'AccessDeniedError',
  'TargetLockedError',
  'HookError',
];

/** The error with which `answerConfirmation` fails the waiting task; the janitor treats it as "cancelled". */
export const REJECTION = 'RestoreRejected';

/**
 * Seven minutes, longer than Lambda needs to recreate network interfaces. The function has not started, so retrying
 * is safe.
 */
const PLATFORM_RETRY: RetryProps = {
  errors: PLATFORM_ERRORS,
  interval: Duration.seconds(10),
  backoffRate: 1.5,
  maxDelay: Duration.minutes(1),
  maxAttempts: 10,
};

/**
 * About two hours on average: other executions take up to 15 minutes each, and several may run in sequence. The
 * function has not started, so waiting is safe; each attempt takes three events of the history.
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

/** Retries of every invocation, before its own {@link RETRY}, for temporary failures of the platform. */
export const PLATFORM_RETRIES: readonly RetryProps[] = [PLATFORM_RETRY, CONCURRENCY_RETRY, MEMORY_RETRY];

/** About four minutes, with full jitter, so that many exporters do not retry at the same moment. */
export const RETRY: RetryProps = {
  errors: TRANSIENT_ERRORS,
  interval: Duration.seconds(2),
  backoffRate: 2,
  maxDelay: Duration.seconds(90),
  maxAttempts: 7,
  jitterStrategy: JitterType.FULL,
};

/**
 * For the first access to the stores, before anything was done: about ten seconds. If a server does not answer then,
 * a wrong address is more likely than a temporary failure, and an operator may be waiting.
 */
export const FIRST_LOOK_RETRY: RetryProps = { ...RETRY, maxAttempts: 3 };

/**
 * For a nested execution that Step Functions could not start, because of throttling or a network error. Starting it
 * again with the same name gives the same execution, so this is safe; errors of the execution itself
 * (`States.TaskFailed`) are not retried.
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

/** JSONata that parses an error's cause if it is a complete JSON object; text and truncated JSON are left unchanged. */
const PARSE = `
  $read := function($text) {
    $type($text) = "string" and $substring($text, 0, 1) = "{" and $substring($text, -1) = "}" ? $parse($text) : $text
  };
  $cause := $read($states.errorOutput.Cause);`;

/** The error's name; for a nested execution, which fails as `States.TaskFailed`, the name of its own error. */
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

/** The output of every catcher, which its Fail state shows. */
export const CAUGHT: NonNullable<CatchProps['outputs']> = { error: jsonata(NAME), cause: jsonata(MESSAGE) };

/** Fails with an error that was caught with the output {@link CAUGHT}. */
export function failAgain(scope: Construct, name: string, comment: string): Fail {
  return Fail.jsonata(scope, name, {
    comment,
    error: '{% $states.input.error %}',
    cause: '{% $states.input.cause %}',
  });
}

/** One kind of failure of a workflow. */
export interface FailureEnd {
  /** Name of the Fail state, as the console shows it. */
  readonly name: string;
  readonly comment: string;
  /** Names of the errors of this kind. */
  readonly errors: string[];
}

/** The failures of a workflow: routes errors, by name, to Fail states with a cause for operators. */
export class FailureEnds {
  readonly #ends: { errors: string[]; state: Fail }[];

  /** @param ends  most specific first; the last one takes `States.ALL` */
  constructor(scope: Construct, ends: readonly FailureEnd[]) {
    this.#ends = ends.map(({ name, comment, errors }) => ({
      errors,
      state: failAgain(scope, name, comment),
    }));
  }

  /** Routes every error of a state to the matching end. */
  catch<T extends { addCatch(handler: State, props: CatchProps): unknown }>(state: T): T {
    for (const { errors, state: end } of this.#ends) state.addCatch(end, { errors, outputs: CAUGHT });
    return state;
  }
}
