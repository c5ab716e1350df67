import Table from 'cli-table3';
import pc from '../shared/core/colors.ts';
import { printable } from './format.ts';

/** Limits without `--verbose`: items of one kind (collections, namespaces) that are listed, and lines of one kind. */
export const LINES_MAX = 10;

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose?: boolean;
}

/**
 * The output of a command. Results go to stdout, everything else to stderr, so that a pipe gets results only. With
 * `--json` every line on stdout is one JSON object: `{"type": …, "time": …, "data": …}`. With `--quiet` only results
 * and errors are printed.
 */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** True: lists are complete. Otherwise long ones are grouped, counted and truncated. */
  readonly verbose: boolean;
  /** True at an interactive terminal, which can show progress bars and answer questions. */
  readonly interactive: boolean;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.quiet = options.quiet;
    this.verbose = options.verbose ?? false;
    this.interactive = process.stderr.isTTY === true && process.stdin.isTTY === true && !options.json;
  }

  /** A result: `data` as a JSON line, or `text` for people. */
  result(type: string, data: unknown, text: () => string): void {
    if (this.json) this.event(type, data);
    else process.stdout.write(`${text()}\n`);
  }

  /** A JSON line without a text form. */
  event(type: string, data: unknown): void {
    if (this.json) {
      process.stdout.write(`${JSON.stringify({ type, time: new Date().toISOString(), data })}\n`);
    }
  }

  /** A message that is not a result. */
  note(text: string): void {
    if (!this.json && !this.quiet) process.stderr.write(`${text}\n`);
  }

  /** A problem that does not stop the command. */
  warn(text: string): void {
    if (this.json) this.event('warning', { message: text });
    else process.stderr.write(`${pc.yellow('Warning:')} ${text}\n`);
  }
}

/** A table without borders, which suits pipes and narrow terminals. Control characters in the cells are replaced. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const none = '';
  const table = new Table({
    head: head.map((text) => pc.bold(text)),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: Object.fromEntries(
      ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
        .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
        .map((name) => [name, none]),
    ),
  });
  table.push(...rows.map((row) => row.map(printable)));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Labels and values, one pair on each line: `Target:  default`. A row without a label continues the one above. */
export function fields(rows: readonly (readonly [string, string | undefined])[]): string {
  const shown = rows.flatMap(([name, value]): [string, string][] =>
    value === undefined || value === '' ? [] : [[labelOf(name), value]],
  );
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${pc.dim(name.padEnd(width))}  ${printable(value)}`).join('\n');
}

function labelOf(name: string): string {
  return name === '' ? '' : `${name.charAt(0).toUpperCase()}${name.slice(1)}:`;
}
