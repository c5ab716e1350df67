/** The rate is that of so many milliseconds: long enough to be calm, short enough to show a change of network. */
const WINDOW_MS = 10_000;

/** Measures a rate over the last seconds. Times are milliseconds of any monotonic clock. */
export class Speed {
  #samples: { at: number; bytes: number }[] = [];

  /** Records the total of bytes done. A part that is sent again lowers the total: then it starts over. */
  sample(bytes: number, at: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at, bytes });
    while ((this.#samples[1]?.at ?? at) < at - WINDOW_MS) this.#samples.shift();
  }

  /** Forgets everything: after a pause, the time of the pause must not count. */
  reset(): void {
    this.#samples = [];
  }

  /** Bytes for each second; undefined until there is something to tell from. */
  bytesPerSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at - first.at < 500 || last.bytes === first.bytes) return undefined;
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
  }
}
