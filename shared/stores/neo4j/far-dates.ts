/** What a `Date` can be, in milliseconds from the epoch on (ECMA-262, "Time Values and Time Range"). */
const TIME_MAX = 8.64e15;
/** Up to here a number holds every multiple of 1,000 exactly. */
const EXACT_MAX = 2 ** 56;
/** The Gregorian calendar repeats itself after 400 years, days of the week and so rules of zones included. */
const CYCLE_YEARS = 400;
const CYCLE_MS = 146_097 * 86_400_000;

/**
 * Neo4j's years go to 999,999,999, those of JavaScript to 275,760. The driver asks `Intl` for the local time of every
 * date-time with a zone while it decodes what the socket received, where an exception ends the process. So `Intl` answers
 * for such times as for those of an earlier cycle of the calendar; for what a number can't hold exactly it gives a year far
 * off, which makes an offset that no zone has: see {@link isZoneKnown}. Other calls are not touched: they threw before.
 */
export function answerForFarDates(): void {
  const { prototype } = Intl.DateTimeFormat;
  const native = prototype.formatToParts;
  prototype.formatToParts = function formatToParts(this: Intl.DateTimeFormat, date?: number | Date) {
    const time = typeof date === 'number' ? date : Number.NaN;
    if (Number.isNaN(time) || Math.abs(time) <= TIME_MAX) return native.call(this, date);
    const cycles = Math.abs(time) <= EXACT_MAX ? Math.floor(time / CYCLE_MS) : 0;
    const parts = native.call(this, cycles === 0 ? 0 : time - cycles * CYCLE_MS);
    const year = Number(parts.find(({ type }) => type === 'year')?.value) + cycles * CYCLE_YEARS;
    return parts.map((part) => {
      // Years before the first one are counted from 1 BC on.
      if (part.type === 'year') return { ...part, value: String(year > 0 ? year : 1 - year) };
      return part.type === 'era' && year <= 0 ? { ...part, value: 'B' } : part;
    });
  };
}

/** Offsets of zones, in seconds: Neo4j has none beyond 18 hours. */
const OFFSET_MAX = 18 * 3600;

/** False for a date-time whose local time could not be computed. */
export function isZoneKnown(offset: unknown): boolean {
  return offset === undefined || offset === null || Math.abs(Number(offset)) <= OFFSET_MAX;
}
