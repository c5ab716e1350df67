import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Logger } from '@aws-lambda-powertools/logger';
import type { z } from 'zod';
import { type Environment, type Leg, readEnvironment } from '../shared/environment.ts';
import { describeError } from '../shared/errors.ts';
import { parseInput } from '../shared/input.ts';
import { redact } from '../shared/secrets.ts';

/** A step stops taking new work this long before the platform would kill it, in milliseconds. */
const STOP_MARGIN_MS = 60_000;
/** A step that is still at work this long before that is told to let go, in milliseconds. */
const ABORT_MARGIN_MS = 10_000;

/** What we use of Lambda's context object. */
interface InvocationContext {
  readonly functionName: string;
  readonly awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

let environment: Environment | undefined;

/**
 * Makes V8 collect old objects when the heap has grown by a fifth since the last time. By itself it would wait for some
 * hundred MB first, whether there is anything worth keeping or not, and memory would follow the size of the data. The
 * first collection tells it how little is alive.
 */
function settleHeap(): void {
  setFlagsFromString('--heap-growing-percent=20');
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
settleHeap();

/**
 * Makes the handler of one step of a workflow: the event is checked with `schema`, `work` does the step, its result
 * goes back to Step Functions. An error keeps its name, which Retry and Catch match, and gets a message an operator
 * can act on, with every known credential masked. `NGBAK_LEG_SECONDS` shortens legs below what the platform allows.
 */
export function step<Input, Output>(
  schema: z.ZodType<Input>,
  work: (environment: Environment, input: Input, leg: Leg) => Promise<Output>,
): (event: unknown, context: InvocationContext) => Promise<Output> {
  const logger = new Logger();
  return async (event, context) => {
    logger.resetKeys();
    logger.appendKeys({ request_id: context.awsRequestId });
    const limit = Number(process.env.NGBAK_LEG_SECONDS ?? Number.POSITIVE_INFINITY) * 1000;
    const end = Date.now() + Math.min(context.getRemainingTimeInMillis() - STOP_MARGIN_MS, limit);
    const abort = new AbortController();
    const timer = setTimeout(
      () => abort.abort(new Error(`${context.functionName} ran out of time`)),
      Math.max(0, context.getRemainingTimeInMillis() - ABORT_MARGIN_MS),
    );
    try {
      environment ??= readEnvironment((message, fields) => logger.info(redact(message), { ...fields }));
      const input = parseInput(schema, event, `Input of ${context.functionName}`);
      if (input !== null && typeof input === 'object' && 'job_id' in input) {
        logger.appendKeys({ job_id: String(input.job_id) });
      }
      return await work(environment, input, { timeLeft: () => end - Date.now(), signal: abort.signal });
    } catch (error) {
      const told = new Error(redact(describeError(error)));
      told.name = error instanceof Error ? error.name : 'Error';
      if (error instanceof Error && error.stack) told.stack = redact(error.stack);
      logger.error(told.message, { error_name: told.name, stack: told.stack ?? '' });
      throw told;
    } finally {
      clearTimeout(timer);
    }
  };
}
