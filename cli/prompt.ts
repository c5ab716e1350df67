import { createInterface } from 'node:readline/promises';
import { InvalidInputError } from '../shared/core/errors.ts';
import type { Cli } from './cli.ts';

/** Asks at the terminal and returns the trimmed answer. Undefined after Ctrl-C or the end of input. */
export async function ask(question: string): Promise<string | undefined> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const abort = new AbortController();
  lines.once('SIGINT', () => abort.abort());
  lines.once('close', () => abort.abort());
  try {
    return (await lines.question(question, { signal: abort.signal })).trim();
  } catch (error) {
    if (abort.signal.aborted) return undefined;
    throw error;
  } finally {
    lines.removeAllListeners('close');
    lines.close();
  }
}

/** True if the operator answers yes or gave `--yes`. Throws InvalidInputError without a terminal. */
export async function confirm(cli: Cli, question: string): Promise<boolean> {
  if (cli.yes) return true;
  if (!cli.output.interactive) {
    throw new InvalidInputError(`${question} There is no terminal to ask at.`, {
      remedy: 'Add --yes, or run the command at a terminal.',
    });
  }
  const answer = await ask(`${question} [y/N] `);
  return answer !== undefined && /^y(es)?$/i.test(answer);
}
