/**
 * Runs one step of a workflow in a separate process, as Lambda would: `node bench/run-step.ts <bundle>`, the event as
 * JSON on standard input. Writes `{"output": …, "peak_bytes": …}` on standard output, with the peak resident memory
 * of the process.
 */
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const [bundle = ''] = process.argv.slice(2);
const event: unknown = JSON.parse(await text(process.stdin));
const { handler } = (await import(pathToFileURL(bundle).href)) as {
  handler: (event: unknown, context: object) => Promise<unknown>;
};
const end = Date.now() + 15 * 60_000;
const output = await handler(event, {
  functionName: bundle,
  awsRequestId: 'bench',
  getRemainingTimeInMillis: () => end - Date.now(),
});
// Node reports kibibytes.
const peak = process.resourceUsage().maxRSS * 1024;
process.stdout.write(`\n${JSON.stringify({ output, peak_bytes: peak })}\n`);
process.exit(0);
