import Table from 'cli-table3';
import pc from '../shared/colors.ts';
import { printable } from './format.ts';

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

/**
 * Where a command says things. Results go to stdout; what is said meanwhile goes to stderr, so that a pipe gets results
 * only. With `--json` every line on stdout is one JSON object: `{"type": …, "time": …, "data": …}`. With `--quiet`
 * only results and errors are said.
 */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** True where a person sits at a terminal that can show progress bars and answer questions. */
  readonly interactive: boolean;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.quiet = options.quiet;
    this.interactive = process.stderr.isTTY === true && process.stdin.isTTY === true && !options.json;
  }

  /** A result: `data` as a JSON line, or `text` for people. */
  result(type: string, data: unknown, text: () => string): void {
    if (this.json) this.event(type, data);
    else process.stdout.write(`${text()}\n`);
  }

  /** A JSON line that has no form for people. */
  event(type: string, data: unknown): void {
    if (this.json) {
      process.stdout.write(`${JSON.stringify({ type, time: new Date().toISOString(), data })}\n`);
    }
  }

  /** Something worth knowing that is no result. */
  note(text: string): void {
    if (!this.json && !this.quiet) process.stderr.write(`${text}\n`);
  }

  /** Something that is not as it should be, and does not keep the command from its end. */
  warn(text: string): void {
    if (this.json) this.event('warning', { message: text });
    else process.stderr.write(`${pc.yellow('Warning:')} ${text}\n`);
  }
}

/** A table without frames, which pipes and narrow terminals take well. Texts are made safe for the terminal. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const none = '';
  const made = new Table({
    head: head.map((text) => pc.bold(text)),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: Object.fromEntries(
      ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
        .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
        .map((name) => [name, none]),
    ),
  });
  made.push(...rows.map((row) => row.map(printable)));
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Names and values, one on each line. */
export function facts(rows: readonly (readonly [string, string | undefined])[]): string {
  const shown = rows.flatMap(([name, value]): [string, string][] =>
    value === undefined || value === '' ? [] : [[name, value]],
  );
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${pc.dim(name.padEnd(width))}  ${printable(value)}`).join('\n');
}
