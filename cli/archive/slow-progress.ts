import { byteBar, Meter } from '../bars.ts';
import type { Output } from '../output.ts';

/** Work that is over sooner, in milliseconds, needs no progress. */
const QUIET_MS = 1000;
/** Without a terminal, one line for each so many milliseconds. */
const LINE_MS = 10_000;

/** Progress of work that may be short: a bar, or lines where there is no terminal, only once it takes a while. */
export class SlowProgress {
  readonly #output: Output;
  readonly #name: string;
  readonly #start = Date.now();
  #bar: ReturnType<typeof byteBar> | undefined;
  #meter: Meter | undefined;
  #lastLine = Date.now();

  constructor(output: Output, name: string) {
    this.#output = output;
    this.#name = name;
  }

  readonly update = (done: number, total: number): void => {
    this.#meter ??= new Meter(total);
    if (this.#output.quiet || Date.now() - this.#start < QUIET_MS) return;
    if (this.#output.interactive) {
      this.#bar ??= byteBar(this.#name, total);
      this.#bar.update(done);
    } else if (Date.now() - this.#lastLine >= LINE_MS) {
      this.#lastLine = Date.now();
      this.#output.note(`${this.#name}: ${this.#meter.tell(done)}`);
    }
  };

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
