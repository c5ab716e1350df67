import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Logger } from '@aws-lambda-powertools/logger';
import type { z } from 'zod';
import { explainAwsError } from '../shared/aws/aws-error.ts';
import { redact, redactFields } from '../shared/aws/secrets.ts';
import { describeError, NgbakError, UnavailableError } from '../shared/core/errors.ts';
import { HELP } from '../shared/core/help.ts';
import { parseInput } from '../shared/core/input.ts';
import { type Environment, type LegLimits, readEnvironment } from '../shared/workflows/environment.ts';

/** How long before the platform's timeout a step stops taking new work, in milliseconds. */
const STOP_MARGIN_MS = 60_000;
/** How long before the platform's timeout a step that is still running is aborted, in milliseconds. */
const ABORT_MARGIN_MS = 10_000;

/** The fields of Lambda's context object that ngbak uses. */
interface InvocationContext {
  readonly functionName: string;
  readonly awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

let environment: Environment | undefined;

/**
 * Prevents the heap from growing with the size of the data.
 *
 * Old generation: V8 collects it when it has doubled since the last collection. By default, V8 first waits for some
 * hundred MB, regardless of how much is live; the initial collection here tells V8 how little that is. Young
 * generation: its size is fixed, because Lambda's runtime otherwise lets it grow to 15 % of the function's memory, with
 * a command-line flag that takes precedence over NODE_OPTIONS.
 */
function limitYoungGeneration(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
limitYoungGeneration();

/**
 * Whether an error is only the consequence of an abort, which drivers and SDKs report with their own errors. An error
 * that ngbak itself found in the meantime, such as data that fails its integrity check, is kept.
 */
function isCausedByAbort(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  if (!(error instanceof NgbakError)) return true;
  // Compares fields instead of using instanceof, because errors of Node's own modules may come from another realm.
  for (
    let cause = error.cause;
    typeof cause === 'object' && cause !== null;
    cause = Reflect.get(cause, 'cause')
  ) {
    if (cause === signal.reason || Reflect.get(cause, 'name') === 'AbortError') return true;
  }
  return false;
}

/** The error name that Retry and Catch match. Every retryable error gets the name that they know, whatever its own. */
function nameOf(error: unknown): string {
  if (error instanceof UnavailableError) return UnavailableError.name;
  return error instanceof Error ? error.name : 'Error';
}

/**
 * Creates the handler of one step of a workflow: validates the event with `schema`, runs `work`, and returns its result
 * to Step Functions. An error keeps its name, which Retry and Catch match, and gets a message that tells an operator
 * what to do, with every known credential masked. `NGBAK_LEG_SECONDS` shortens legs below what the platform allows.
 */
export function step<Input, Output>(
  schema: z.ZodType<Input>,
  work: (environment: Environment, input: Input, leg: LegLimits) => Promise<Output>,
): (event: unknown, context: InvocationContext) => Promise<Output> {
  const logger = new Logger();
  return async (event, context) => {
    logger.resetKeys();
    logger.appendKeys({ request_id: context.awsRequestId });
    const limit = Number(process.env.NGBAK_LEG_SECONDS ?? Number.POSITIVE_INFINITY) * 1000;
    const end = Date.now() + Math.min(context.getRemainingTimeInMillis() - STOP_MARGIN_MS, limit);
    const abort = new AbortController();
    const timer = setTimeout(
      () =>
        abort.abort(
          // Retryable, like a function that the platform has killed: a slow response is often temporary.
          new UnavailableError(`${context.functionName} ran out of time.`, {
            remedy:
              'ngbak retries automatically. If it happens again, check the load of the store that it was reading or writing.',
            help: HELP.outOfTime,
          }),
        ),
      Math.max(0, context.getRemainingTimeInMillis() - ABORT_MARGIN_MS),
    );
    try {
      environment ??= readEnvironment((message, fields) =>
        logger.info(redact(message), redactFields(fields)),
      );
      const input = parseInput(schema, event, `Input of ${context.functionName}`);
      if (input !== null && typeof input === 'object' && 'job_id' in input) {
        logger.appendKeys({ job_id: String(input.job_id) });
      }
      return await work(environment, input, { timeLeft: () => end - Date.now(), signal: abort.signal });
    } catch (thrown) {
      // The retriers of the workflows do not know the error names of SDKs.
      const error = isCausedByAbort(thrown, abort.signal) ? abort.signal.reason : explainAwsError(thrown);
      const redacted = new Error(redact(describeError(error)));
      redacted.name = nameOf(error);
      if (error instanceof Error && error.stack) redacted.stack = redact(error.stack);
      logger.error(redacted.message, { error_name: redacted.name, stack: redacted.stack ?? '' });
      throw redacted;
    } finally {
      clearTimeout(timer);
    }
  };
}
