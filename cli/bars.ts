import cliProgress from 'cli-progress';
import pc from '../shared/colors.ts';
import type { StoreProgress } from '../shared/operations/job-progress.ts';
import { bytes, count, duration } from './format.ts';
import type { Output } from './output.ts';

const BAR_OPTIONS = {
  stream: process.stderr,
  clearOnComplete: false,
  hideCursor: true,
  // More often than this, a terminal flickers and nobody reads it.
  fps: 5,
  barsize: 24,
  autopadding: true,
  forceRedraw: true,
} as const;

/** One bar for each store of a job, redrawn in place. */
export class JobBars {
  readonly #bars = new cliProgress.MultiBar(
    { ...BAR_OPTIONS, format: `{name} {bar} {percentage}% {text}`, gracefulExit: false },
    cliProgress.Presets.shades_classic,
  );
  readonly #byName = new Map<string, cliProgress.SingleBar>();

  update(progress: readonly StoreProgress[]): void {
    for (const store of progress) {
      const { done, total } = sumUnits(store);
      const known = total ?? Math.max(done, 1);
      const shown = store.finished ? known : total === undefined ? 0 : Math.min(done, known);
      const payload = {
        name: `${store.store} ${store.phase}`.padEnd(18),
        text: describeUnits(store),
      };
      const bar = this.#byName.get(store.store);
      if (bar) {
        bar.setTotal(known);
        bar.update(shown, payload);
      } else {
        this.#byName.set(store.store, this.#bars.create(known, shown, payload));
      }
    }
  }

  stop(): void {
    this.#bars.stop();
  }
}

/** How often a transfer is told, in milliseconds: redrawn, as JSON, and as a line. */
const REDRAW_MS = 200;
const TELL_JSON_MS = 1000;
const TELL_LINE_MS = 10_000;
/** A transfer that is over sooner, in milliseconds, shows nothing. */
const SHORT_MS = 1000;

/**
 * Shows how far bytes are on their way: a bar at a terminal, a line now and then without one, JSON lines with `--json`,
 * nothing with `--quiet`. The first call of `update` says how many were there already. By the clock, not by the calls:
 * one that stands still says so.
 */
export function showTransfer(
  output: Output,
  name: string,
): { update(done: number, total: number): void; stop(): void } {
  if (output.quiet && !output.json) return { update: () => undefined, stop: () => undefined };
  const begun = Date.now();
  const period = output.json ? TELL_JSON_MS : output.interactive ? REDRAW_MS : TELL_LINE_MS;
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
        bar.start(total, done, { name, text: meter.tell(done) });
      }
      bar.update(done, { text: meter.tell(done) });
    } else {
      output.note(`  ${name} ${meter.tell(done)}`);
    }
  };
  const timer = setInterval(show, period);
  timer.unref();
  return {
    update(done, total) {
      state = { done, total, meter: state?.meter ?? new Meter(done, total) };
    },
    stop() {
      clearInterval(timer);
      if (bar) show();
      bar?.stop();
      bar = undefined;
    },
  };
}

/** Tells bytes, rate and remaining time of a transfer that goes on from `base` bytes now. */
class Meter {
  readonly #base: number;
  readonly #total: number;
  readonly #start = Date.now();

  constructor(base: number, total: number) {
    this.#base = base;
    this.#total = total;
  }

  /** Bytes each second, and how many seconds the rest takes at that rate. */
  measure(done: number): { rate: number; remaining_seconds?: number } {
    const seconds = (Date.now() - this.#start) / 1000;
    const rate = seconds > 0 ? Math.max(0, Math.round((done - this.#base) / seconds)) : 0;
    return {
      rate,
      ...(rate > 0 ? { remaining_seconds: Math.round((this.#total - done) / rate) } : {}),
    };
  }

  tell(done: number): string {
    const { rate, remaining_seconds } = this.measure(done);
    const left =
      done < this.#total && remaining_seconds !== undefined ? `, ${duration(remaining_seconds)} left` : '';
    return `${bytes(done)} of ${bytes(this.#total)}, ${bytes(rate)}/s${left}`;
  }
}

/** `bytes`, and `bytes:<collection>`. */
function isBytes(unit: string): boolean {
  return unit === 'bytes' || unit.startsWith('bytes:');
}

/** Items of all units together; bytes count only where there is nothing else. */
function sumUnits({ units }: StoreProgress): { done: number; total: number | undefined } {
  const all = Object.entries(units);
  const items = all.filter(([unit]) => !isBytes(unit));
  const counted = items.length > 0 ? items : all;
  const totals = counted.map(([, { total }]) => total);
  return {
    done: counted.reduce((sum, [, { done }]) => sum + done, 0),
    total: totals.some((total) => total === undefined)
      ? undefined
      : totals.reduce<number>((sum, total) => sum + (total ?? 0), 0),
  };
}

/** `nodes 1,200 of 5,000, 300/s, 13 s left`. */
export function describeUnits({ units, finished }: StoreProgress): string {
  return Object.entries(units)
    .map(([unit, { done, total, rate, remaining_seconds }]) => {
      const say = isBytes(unit) ? bytes : count;
      const parts = [
        `${unit} ${say(done)}${total === undefined || (finished && done === total) ? '' : ` of ${say(total)}`}`,
        ...(rate === undefined || finished ? [] : [`${say(rate)}/s`]),
        ...(remaining_seconds === undefined ? [] : [`${duration(remaining_seconds)} left`]),
      ];
      return parts.join(', ');
    })
    .join(pc.dim(' · '));
}
