import cliProgress from 'cli-progress';
import pc from '../shared/colors.ts';
import type { StoreProgress } from '../shared/operations/job-progress.ts';
import { bytes, count, duration } from './format.ts';

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

/** A bar for bytes on their way. */
export function byteBar(name: string, total: number): { update(done: number): void; stop(): void } {
  const bar = new cliProgress.SingleBar(
    { ...BAR_OPTIONS, format: `{name} {bar} {percentage}% {text}`, gracefulExit: false },
    cliProgress.Presets.shades_classic,
  );
  const meter = new Meter(total);
  bar.start(total, 0, { name, text: '' });
  return {
    update: (done) => bar.update(done, { text: meter.tell(done) }),
    stop: () => bar.stop(),
  };
}

/** Tells bytes, rate and remaining time of a transfer that began when it was made. */
export class Meter {
  readonly #total: number;
  readonly #start = Date.now();

  constructor(total: number) {
    this.#total = total;
  }

  tell(done: number): string {
    const seconds = (Date.now() - this.#start) / 1000;
    const rate = seconds > 0 ? done / seconds : 0;
    const left = rate > 0 ? `, ${duration((this.#total - done) / rate)} left` : '';
    return `${bytes(done)} of ${bytes(this.#total)}, ${bytes(rate)}/s${done < this.#total ? left : ''}`;
  }
}

/** Items of all units together; bytes count only where there is nothing else. */
function sumUnits({ units }: StoreProgress): { done: number; total: number | undefined } {
  const all = Object.entries(units);
  const items = all.filter(([unit]) => unit !== 'bytes');
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
      const say = unit === 'bytes' ? bytes : count;
      const parts = [
        `${unit} ${say(done)}${total === undefined || (finished && done === total) ? '' : ` of ${say(total)}`}`,
        ...(rate === undefined || finished ? [] : [`${say(rate)}/s`]),
        ...(remaining_seconds === undefined ? [] : [`${duration(remaining_seconds)} left`]),
      ];
      return parts.join(', ');
    })
    .join(pc.dim(' · '));
}
