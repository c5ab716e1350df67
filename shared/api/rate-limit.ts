import { HELP } from '../core/help.ts';
import { RateLimitedError } from './access.ts';

/** Maximum number of callers that are tracked. Beyond that, the least recently seen one is dropped. */
const CALLERS_MAX = 1000;

/**
 * A token bucket for each caller: `burst` calls at once, then one every `seconds`. It is local to one instance of the
 * function; the stage of the API Gateway limits the calls to all instances together.
 */
export class RateLimit {
  readonly #burst: number;
  readonly #seconds: number;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(burst: number, seconds: number, now: () => number = Date.now) {
    this.#burst = burst;
    this.#seconds = seconds;
    this.#now = now;
  }

  /** Consumes one call. Throws RateLimitedError if none is left. */
  take(caller: string): void {
    const now = this.#now();
    const known = this.#buckets.get(caller) ?? { tokens: this.#burst, at: now };
    const gained = (now - known.at) / 1000 / this.#seconds;
    const tokens = Math.min(this.#burst, known.tokens + gained);
    this.#buckets.delete(caller);
    this.#buckets.set(caller, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    if (this.#buckets.size > CALLERS_MAX) {
      const oldest = this.#buckets.keys().next();
      if (!oldest.done) this.#buckets.delete(oldest.value);
    }
    if (tokens >= 1) return;
    const wait = Math.ceil((1 - tokens) * this.#seconds);
    throw new RateLimitedError('Too many requests of this kind.', {
      remedy: `Try again in ${wait} seconds.`,
      help: HELP.requests,
      retryable: true,
    });
  }
}
