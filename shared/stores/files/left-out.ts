import { createHash } from 'node:crypto';
import { WARNING_SAMPLES_MAX } from '../warning.ts';

/** Names that a listing leaves out: how many, the first of them, and a digest of all in the order of the listing. */
export class LeftOut {
  count = 0;
  readonly samples: string[] = [];
  readonly #hash = createHash('sha256');

  add(name: string): void {
    this.count++;
    if (this.samples.length < WARNING_SAMPLES_MAX) this.samples.push(name);
    this.#hash.update(JSON.stringify(name));
  }

  /** A text that differs if any of the names does. */
  digest(): string {
    return `${this.count} ${this.#hash.copy().digest('hex')}`;
  }
}
