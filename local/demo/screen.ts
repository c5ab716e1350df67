import cliTruncate from 'cli-truncate';
import { createLogUpdate } from 'log-update';
import stringWidth from 'string-width';
import pc from '../../shared/core/colors.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const WIDTH_MAX = 100;
const INDENT = '   ';

/** Output of the work inside a step. */
export interface StepView {
  /** A permanent line. */
  line(text: string): void;
  /** Lines that the next call replaces and that disappear when the step ends. Not shown without a terminal. */
  live(lines: readonly string[]): void;
  /** A line for a log, where `live` shows nothing. Not shown on a terminal. */
  log(text: string): void;
}

/**
 * The demo's output: numbered steps, each with its results below it and its duration at its end. On a terminal, the
 * running step is redrawn in place; otherwise, plain lines are printed as they arrive.
 */
export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #isTerminal: boolean;
  #number = 0;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#isTerminal = out.isTTY === true && process.env.TERM !== 'dumb';
  }

  print(text = ''): void {
    this.#out.write(`${text}\n`);
  }

  /**
   * Shows a step from start to end, and returns the result of its work. Errors are marked with a cross and rethrown.
   */
  async step<T>(title: string, work: (view: StepView) => Promise<T>): Promise<T> {
    this.#number++;
    const view = this.#isTerminal
      ? new LiveStep(this.#out, this.#number, title)
      : new PlainStep(this.#out, this.#number, title);
    try {
      const result = await work(view);
      view.end(true);
      return result;
    } catch (error) {
      view.end(false);
      throw error;
    }
  }
}

interface EndingStep extends StepView {
  end(succeeded: boolean): void;
}

class PlainStep implements EndingStep {
  readonly #out: NodeJS.WriteStream;
  readonly #started = Date.now();

  constructor(out: NodeJS.WriteStream, number: number, title: string) {
    this.#out = out;
    out.write(`\n${number}. ${title}\n`);
  }

  line(text: string): void {
    this.#out.write(`${INDENT}${text}\n`);
  }

  live(): void {
    // Logs do not show progress bars.
  }

  log(text: string): void {
    this.line(text);
  }

  end(succeeded: boolean): void {
    this.line(`${succeeded ? 'done' : 'failed'} after ${formatDuration(Date.now() - this.#started)}`);
  }
}

class LiveStep implements EndingStep {
  readonly #out: NodeJS.WriteStream;
  readonly #number: number;
  readonly #title: string;
  readonly #started = Date.now();
  readonly #lines: string[] = [];
  readonly #update: ReturnType<typeof createLogUpdate>;
  readonly #timer: NodeJS.Timeout;
  #live: readonly string[] = [];
  #frame = 0;
  #hasEnded = false;

  constructor(out: NodeJS.WriteStream, number: number, title: string) {
    this.#out = out;
    this.#number = number;
    this.#title = title;
    out.write('\n');
    this.#update = createLogUpdate(out);
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
  }

  line(text: string): void {
    this.#lines.push(text);
    this.#draw();
  }

  live(lines: readonly string[]): void {
    this.#live = lines;
    this.#draw();
  }

  log(): void {
    // On a terminal, the live lines have already shown this.
  }

  end(succeeded: boolean): void {
    this.#hasEnded = true;
    clearInterval(this.#timer);
    const mark = succeeded ? pc.green('✔') : pc.red('✘');
    // Written in full and not wrapped, so that the scrollback is complete.
    this.#update.clear();
    this.#out.write(`${[this.#header(mark), ...this.#lines.map((line) => INDENT + line)].join('\n')}\n`);
    this.#update.done();
  }

  /** Draws the running step: its header, and as many of its latest lines as fit on the screen. */
  #draw(): void {
    // Interrupted work may report after its step has ended, when other steps are below it.
    if (this.#hasEnded) return;
    this.#frame++;
    const spinner = pc.cyan(FRAMES[this.#frame % FRAMES.length] ?? '');
    const rows = Math.max(1, this.#out.rows - 3);
    const body = [...this.#lines, ...this.#live].map((line) => INDENT + line).slice(-rows);
    const width = this.#out.columns;
    this.#update([this.#header(spinner), ...body].map((line) => cliTruncate(line, width - 1)).join('\n'));
  }

  #header(mark: string): string {
    const width = Math.min(this.#out.columns - 1, WIDTH_MAX);
    const left = `${mark}  ${pc.bold(`${this.#number}. ${this.#title}`)}`;
    const right = formatDuration(Date.now() - this.#started);
    return `${left}${' '.repeat(Math.max(2, width - stringWidth(left) - stringWidth(right)))}${pc.dim(right)}`;
  }
}

/** A bar of 24 cells; empty if the total is unknown. */
export function bar(done: number, total: number | undefined): string {
  const cells = 24;
  const filled = total === undefined || total === 0 ? 0 : Math.min(cells, Math.round((done / total) * cells));
  return pc.cyan('━'.repeat(filled)) + pc.dim('─'.repeat(cells - filled));
}

export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 100) / 10;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** Aligns columns: the first `left` of them to the left, the others to the right. Cells may be coloured. */
export function alignColumns(rows: readonly (readonly string[])[], left = 1): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, stringWidth(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const space = ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
        return column < left ? cell + space : space + cell;
      })
      .join('  ')
      .trimEnd(),
  );
}
