import { setTimeout as sleep } from 'node:timers/promises';
import type { LegContext } from '../leg.ts';
import type { PostgresClient } from './client.ts';
import { quoteText } from './names.ts';

/** First and longest pause between two looks at a statement that runs, in ms. */
const PAUSE_MS = { first: 20, longest: 1_000 };

/**
 * Runs statements that may take longer than a leg or a function can: they are one message, which the server completes
 * after its client has left. Returns `running` if the time was up, and `ended` if they are not running and not done.
 *
 * @param tag  name of the session, by which later legs find it
 * @param isDone whether the statements were completed
 */
export async function runLong(
  client: PostgresClient,
  tag: string,
  statements: readonly string[],
  isDone: () => Promise<boolean>,
  context: LegContext,
): Promise<'done' | 'running' | 'ended'> {
  if (await waitForOther(client, tag, context)) return 'running';
  if (await isDone()) return 'done';
  await client.rows(`SET application_name = ${quoteText(tag)}`);
  let isRunning = true;
  const run = client.script(statements).finally(() => {
    isRunning = false;
  });
  // Observed below, after the pause in which it may fail.
  run.catch(() => undefined);
  for (let pause = PAUSE_MS.first; isRunning; pause = Math.min(pause * 2, PAUSE_MS.longest)) {
    await Promise.race([run.catch(() => undefined), sleep(pause, undefined, { ref: false })]);
    context.signal.throwIfAborted();
    if (isRunning && context.timeLeft() <= 0 && pause === PAUSE_MS.longest) {
      client.drop();
      return 'running';
    }
  }
  await run;
  await client.rows(`SET application_name = 'ngbak'`);
  return (await isDone()) ? 'done' : 'ended';
}

/** Waits while the session of an earlier leg runs. Returns true if it still does. */
async function waitForOther(client: PostgresClient, tag: string, context: LegContext): Promise<boolean> {
  for (let pause = PAUSE_MS.first; ; pause = Math.min(pause * 2, PAUSE_MS.longest)) {
    const [other] = await client.rows(
      `SELECT 1 FROM pg_stat_activity
       WHERE application_name = $1 AND datname = current_database() AND usename = current_user
         AND state = 'active' AND pid <> pg_backend_pid()`,
      [tag],
    );
    if (!other) return false;
    context.signal.throwIfAborted();
    if (context.timeLeft() <= 0 && pause === PAUSE_MS.longest) return true;
    await sleep(pause, undefined, { signal: context.signal });
  }
}
