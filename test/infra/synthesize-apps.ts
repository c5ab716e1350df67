/**
 * Runs as a separate process: synthesizes the app with several contexts, as the CDK CLI has it done, in one process, since
 * loading the CDK takes longer than most of them. The first app makes the bundles of the functions; `everything` uses them.
 *
 *   node synthesize-apps.ts FOLDER '{"NAME": {"KEY": CONTEXT, …}, …}'
 *
 * Prints the exit code and the error output of each, by name.
 */
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import type { Bundles } from '../../infra/bundle.ts';
import { FUNCTION_NAMES } from '../../infra/functions.ts';
import { addStacks } from '../../infra/stacks.ts';

const [folder = '', apps = '{}'] = process.argv.slice(2);
const bundles = Object.fromEntries(
  FUNCTION_NAMES.map((name) => [name, join(folder, 'default', 'functions', name)]),
) as Bundles;

const results: Record<string, { code: number; stderr: string }> = {};
const write = process.stderr.write;
for (const [name, context] of Object.entries(JSON.parse(apps))) {
  let stderr = '';
  process.stderr.write = (text) => {
    stderr += text;
    return true;
  };
  process.exitCode = 0;
  Object.assign(process.env, { CDK_OUTDIR: join(folder, name), CDK_CONTEXT_JSON: JSON.stringify(context) });
  try {
    if (name === 'everything') await addStacks(new App(), () => Promise.resolve(bundles));
    // The query makes it another module, which is evaluated again.
    else await import(`../../infra/app.ts?${name}`);
    // The CDK synthesizes an app when Node has nothing left to do.
    process.emit('beforeExit', 0);
  } catch (error) {
    process.exitCode = 1;
    stderr += error instanceof Error ? error.stack : error;
  }
  results[name] = { code: Number(process.exitCode), stderr };
}
process.stderr.write = write;
process.exitCode = 0;
process.stdout.write(`\n${JSON.stringify(results)}\n`);
