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

/** A step stops taking new work this long before the platform would kill it, in milliseconds. */
const STOP_MARGIN_MS = 60_000;
/** A step that is still at work this long before that is aborted, in milliseconds. */
const ABORT_MARGIN_MS = 10_000;

/** What we use of Lambda's context object. */
interface InvocationContext {
  readonly functionName: string;
  readonly awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

let environment: Environment | undefined;

/**
 * Keeps the heap from following the size of the data. Objects that live longer: V8 collects them when they have doubled
 * since the last time; by itself it would wait for some hundred MB first, whether there is anything worth keeping or
 * not. The first collection tells it how little is alive. Young objects: their space keeps its size; Lambda's runtime lets
 * it grow to 15 % of the function's memory, by a command line that wins over NODE_OPTIONS.
 */
function limitYoungGeneration(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
limitYoungGeneration();

/**
 * Whether an error is only how aborted work ended: drivers and SDKs report an abort in words of their
 * own. What ngbak found out meanwhile, such as data that fails its integrity check, stays what it is.
 */
function cutShort(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false;
  if (!(error instanceof NgbakError)) return true;
  // By their fields and not by instanceof: errors of Node's own modules may come from another realm.
  for (
    let cause = error.cause;
    typeof cause === 'object' && cause !== null;
    cause = Reflect.get(cause, 'cause')
  ) {
    if (cause === signal.reason || Reflect.get(cause, 'name') === 'AbortError') return true;
  }
  return false;
}

/** The name that Retry and Catch match: what is worth another try has the one that they know, whatever its own is. */
function nameOf(error: unknown): string {
  if (error instanceof UnavailableError) return UnavailableError.name;
  return error instanceof Error ? error.name : 'Error';
}

/**
 * Makes the handler of one step of a workflow: the event is checked with `schema`, `work` does the step, its result
 * goes back to Step Functions. An error keeps its name, which Retry and Catch match, and gets a message an operator
 * can act on, with every known credential masked. `NGBAK_LEG_SECONDS` shortens legs below what the platform allows.
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
          // Retried, as a function is that the platform has killed: a slow answer is often a passing one.
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
      // An SDK's own names are unknown to the workflows' retriers.
      const error = cutShort(thrown, abort.signal) ? abort.signal.reason : explainAwsError(thrown);
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
