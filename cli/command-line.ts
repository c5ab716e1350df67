import { type Command, CommanderError } from 'commander';
import { explainAwsError } from '../shared/aws/aws-error.ts';
import pc from '../shared/core/colors.ts';
import { helpOf, NgbakError } from '../shared/core/errors.ts';
import { seeAlso } from '../shared/core/help.ts';
import { EXIT_CODES, ExitError, exitCodeOf, PassedOnError } from './exit-codes.ts';
import { printable } from './format.ts';
import { makeProgram } from './program.ts';

/** Runs a command line. Prints errors with their remedy, and returns the exit code of the process. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const program = makeProgram();
  throwInsteadOfExiting(program);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_CODES.usage[0];
    if (error instanceof ExitError || error instanceof PassedOnError) return error.code;
    const explained = explainAwsError(error);
    printError(explained, args.includes('--json'), args.includes('--debug'));
    return exitCodeOf(explained);
  }
}

/** Makes every command end through `main`, which determines the exit code. */
function throwInsteadOfExiting(command: Command): void {
  command.exitOverride();
  for (const inner of command.commands) throwInsteadOfExiting(inner);
}

function printError(error: unknown, json: boolean, debug: boolean): void {
  const name = error instanceof Error ? error.name : 'Error';
  const message = error instanceof Error ? error.message : String(error);
  const remedy =
    error instanceof NgbakError ? error.remedy : 'Run the command again with --debug and report its output.';
  const help = helpOf(error);
  if (json) {
    const data = { name, message, remedy, ...(help === undefined ? {} : { help }) };
    process.stdout.write(`${JSON.stringify({ type: 'error', time: new Date().toISOString(), data })}\n`);
  } else {
    process.stderr.write(`${pc.red('Error:')} ${printable(message)}\n${printable(remedy)}\n`);
    if (help !== undefined) process.stderr.write(`${printable(seeAlso(help))}\n`);
  }
  if (debug) process.stderr.write(`${error instanceof Error ? chain(error) : ''}\n`);
}

function chain(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${chain(error.cause)}` : '';
  return `${error.stack}${cause}`;
}
