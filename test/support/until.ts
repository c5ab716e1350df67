import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

/** Longest wait, in milliseconds: a deadline for hangs, below that of a test (jest.config.js). */
const DEADLINE_MS = 180_000;
/** The first pause between two looks, and the longest one, in milliseconds: looking takes processor time too. */
const PAUSE_MS = 20;
const PAUSE_MS_MAX = 500;

export interface UntilOptions {
  /** Longest wait, in milliseconds. @default 180_000 */
  readonly deadlineMs?: number;
  /** Pause between two looks, in milliseconds, for states that do not last. @default from 20, growing to 500 */
  readonly pauseMs?: number;
}

/**
 * Waits for a condition, and returns the first result of `look` that fulfils it: one that is neither `false` nor
 * `undefined`, or for which `holds` is true. It looks once more after the deadline, so that a machine that stands still
 * between two looks does not fail a test.
 *
 * @param what  the condition, as a sentence
 * @throws an error with the condition and the last result; every error of `look`
 */
export async function until<T, Found extends T>(
  what: string,
  look: () => T | Promise<T>,
  options: UntilOptions & { readonly holds: (found: T) => found is Found },
): Promise<Found>;
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  options: UntilOptions & { readonly holds: (found: T) => boolean },
): Promise<T>;
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  options?: UntilOptions,
): Promise<Exclude<T, false | undefined>>;
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  {
    holds = (found) => found !== false && found !== undefined,
    deadlineMs = DEADLINE_MS,
    pauseMs,
  }: UntilOptions & { readonly holds?: (found: T) => boolean } = {},
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (let pause = pauseMs ?? PAUSE_MS; ; pause = pauseMs ?? Math.min(pause * 1.3, PAUSE_MS_MAX)) {
    const isLast = performance.now() > end;
    const found = await look();
    if (holds(found)) return found;
    if (isLast) throw new Error(`Not within ${deadlineMs / 1000} s: ${what}. Last seen: ${inspect(found)}`);
    await sleep(pause);
  }
}
