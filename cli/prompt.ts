import { createInterface } from 'node:readline/promises';
import { InvalidInputError } from '../shared/errors.ts';
import type { Cli } from './cli.ts';

/** Asks at the terminal; the answer without its white space. Undefined where Ctrl-C or the end of input came instead. */
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

/** True where the operator says yes, or said so with `--yes`. Throws InvalidInputError where nobody can be asked. */
export async function confirm(cli: Cli, question: string): Promise<boolean> {
  if (cli.yes) return true;
  if (!cli.output.interactive) {
    throw new InvalidInputError(`${question} Nobody can be asked here.`, {
      remedy: 'Add --yes, or run it at a terminal.',
    });
  }
  const answer = await ask(`${question} [y/N] `);
  return answer !== undefined && /^y(es)?$/i.test(answer);
}
