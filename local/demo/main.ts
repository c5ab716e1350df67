import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pc from '../../shared/core/colors.ts';
import { describeError, NgbakError } from '../../shared/core/errors.ts';
import { withTemporaryFolder } from '../temporary.ts';
import { runDemo } from './demo.ts';
import { HELP, readOptions } from './options.ts';
import { Screen } from './screen.ts';

/** Exit code of a shell command that was ended by Ctrl-C. */
const INTERRUPTED = 130;

class DemoInterruptedError extends NgbakError {}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) return;
    stop.abort(new DemoInterruptedError('Interrupted.', { remedy: 'Nothing was left behind.' }));
  });
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const screen = new Screen(options.json ? process.stderr : process.stdout);
  return withTemporaryFolder(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-demo-'));
    const result = await runDemo(options, { screen, folder, signal: stop.signal });
    if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    return result.identical ? 0 : 1;
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  const interrupted = stop.signal.aborted;
  process.stderr.write(`\n${pc.red(interrupted ? 'Interrupted.' : describeError(error))}\n`);
  process.exitCode = interrupted ? INTERRUPTED : 1;
}
