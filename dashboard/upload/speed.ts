/**
 * Averaging period of the rate, in milliseconds: long enough to be steady, short enough to show a change of network.
 */
const WINDOW_MS = 10_000;

/** Measures a rate over the last seconds. Times are milliseconds of any monotonic clock. */
export class Speed {
  #samples: { at: number; bytes: number }[] = [];

  /** Records the total of bytes done. A part that is sent again lowers the total: then the measurement starts over. */
  sample(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at, bytes });
    while ((this.#samples[1]?.at ?? at) < at - WINDOW_MS) this.#samples.shift();
  }

  /** Resets the measurement: after a pause, its duration must not be included. */
  reset(): void {
    this.#samples = [];
  }

  /** Bytes per second; undefined until there are enough measurements. */
  bytesPerSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at - first.at < 500 || last.bytes === first.bytes) return undefined;
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
  }
}
