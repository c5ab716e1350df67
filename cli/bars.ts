import cliProgress from 'cli-progress';
import type { JobView } from '../shared/operations/show-job.ts';
import { bytes, duration } from './format.ts';
import type { Output } from './output.ts';
import { phaseText, progressText } from './progress-text.ts';
import { overallText, stageText } from './progress-units.ts';

const BAR_OPTIONS = {
  stream: process.stderr,
  clearOnComplete: false,
  hideCursor: true,
  // With a higher rate, a terminal flickers.
  fps: 5,
  barsize: 24,
  autopadding: true,
  forceRedraw: true,
} as const;

/** The bar of the whole job. */
const OVERALL = 'overall';

/** One bar for each store of a job, redrawn in place, after one for the whole job. */
export class JobBars {
  readonly #bars = new cliProgress.MultiBar(
    { ...BAR_OPTIONS, format: `{name} {bar} {percentage}% {text}`, gracefulExit: false },
    cliProgress.Presets.shades_classic,
  );
  readonly #byName = new Map<string, cliProgress.SingleBar>();

  update({ progress, overall }: Pick<JobView, 'progress' | 'overall'>): void {
    // A single store is its own total.
    if (overall && (progress.length > 1 || this.#byName.has(OVERALL))) {
      this.#show(OVERALL, overall.percent, stageText(overall), overallText(overall));
    }
    for (const store of progress) {
      this.#show(
        store.store,
        store.work?.percent ?? (store.finished ? 100 : 0),
        phaseText(store),
        progressText(store),
      );
    }
  }

  #show(id: string, percent = 0, name: string, text: string): void {
    const payload = { name: name.padEnd(22), text };
    const bar = this.#byName.get(id);
    if (bar) bar.update(percent, payload);
    else this.#byName.set(id, this.#bars.create(100, percent, payload));
  }

  stop(): void {
    this.#bars.stop();
  }
}

/** Interval at which the progress of a transfer is redrawn, printed as JSON or printed as a line, in milliseconds. */
const REDRAW_MS = 200;
const JSON_MS = 1000;
const LINE_MS = 10_000;
/** A transfer that takes less time than this shows no progress, in milliseconds. */
const SHORT_MS = 1000;

/**
 * Shows the progress of a transfer: a bar at a terminal, occasional lines without one, JSON lines with `--json`,
 * nothing with `--quiet`. The first call of `update` passes the bytes that were transferred before. Output is driven by
 * a timer instead of the calls, so that a stalled transfer is visible.
 *
 * @param amount  what is counted, as text
 */
export function showTransfer(
  output: Output,
  name: string,
  amount: (count: number) => string = bytes,
): { update(done: number, total: number): void; stop(): void } {
  if (output.quiet && !output.json) return { update: () => undefined, stop: () => undefined };
  const begun = Date.now();
  const period = output.json ? JSON_MS : output.interactive ? REDRAW_MS : LINE_MS;
  let state: { done: number; total: number; meter: Meter } | undefined;
  let bar: cliProgress.SingleBar | undefined;
  const show = () => {
    if (!state || Date.now() - begun < SHORT_MS) return;
    const { done, total, meter } = state;
    if (output.json) {
      output.event('transfer', { name, done, total, ...meter.measure(done) });
    } else if (output.interactive) {
      if (!bar) {
        bar = new cliProgress.SingleBar(
          { ...BAR_OPTIONS, format: `{name} {bar} {percentage}% {text}`, gracefulExit: false },
          cliProgress.Presets.shades_classic,
        );
        bar.start(total, done, { name, text: meter.text(done) });
      }
      bar.update(done, { text: meter.text(done) });
    } else {
      output.note(`  ${name} ${meter.text(done)}`);
    }
  };
  const timer = setInterval(show, period);
  timer.unref();
  return {
    update(done, total) {
      state = { done, total, meter: state?.meter ?? new Meter(done, total, amount) };
    },
    stop() {
      clearInterval(timer);
      if (bar) show();
      bar?.stop();
      bar = undefined;
    },
  };
}

/** Measures amount, rate and remaining time of a transfer that continues from `base`. */
class Meter {
  readonly #base: number;
  readonly #total: number;
  readonly #start = Date.now();
  readonly #amount: (count: number) => string;

  constructor(base: number, total: number, amount: (count: number) => string) {
    this.#base = base;
    this.#total = total;
    this.#amount = amount;
  }

  /** Bytes per second, and the remaining time at that rate, in seconds. */
  measure(done: number): { rate: number; remaining_seconds?: number } {
    const seconds = (Date.now() - this.#start) / 1000;
    const rate = seconds > 0 ? Math.max(0, Math.round((done - this.#base) / seconds)) : 0;
    return {
      rate,
      ...(rate > 0 ? { remaining_seconds: Math.round((this.#total - done) / rate) } : {}),
    };
  }

  text(done: number): string {
    const { rate, remaining_seconds } = this.measure(done);
    const left =
      done < this.#total && remaining_seconds !== undefined ? `, ${duration(remaining_seconds)} left` : '';
    const amount = this.#amount;
    return `${amount(done)} of ${amount(this.#total)}, ${amount(rate)}/s${left}`;
  }
}
