/** Largest absolute value of a `Date`, in milliseconds since the epoch (ECMA-262, "Time Values and Time Range"). */
const TIME_MAX = 8.64e15;
/** Up to this value, a number represents every multiple of 1,000 exactly. */
const EXACT_MAX = 2 ** 56;
/** The Gregorian calendar repeats after 400 years, including the days of the week and therefore time-zone rules. */
const CYCLE_YEARS = 400;
const CYCLE_MS = 146_097 * 86_400_000;

/**
 * Neo4j supports years up to 999,999,999, JavaScript up to 275,760. For every date-time with a zone, the driver calls
 * `Intl` for the local time while it decodes data from the socket, where an exception ends the process. This patch
 * makes `Intl` return the result for an earlier cycle of the calendar. For values that a number cannot represent
 * exactly it returns a year far off, which results in an offset that no zone has: see {@link isZoneKnown}. Other calls
 * are unaffected: the patch applies only where `Intl` threw before.
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
      // Years before year 1 are counted backwards from 1 BC.
      if (part.type === 'year') return { ...part, value: String(year > 0 ? year : 1 - year) };
      return part.type === 'era' && year <= 0 ? { ...part, value: 'B' } : part;
    });
  };
}

/** Maximum offset of a zone in Neo4j: 18 hours, in seconds. */
const OFFSET_MAX = 18 * 3600;

/** False for a date-time whose local time could not be computed. */
export function isZoneKnown(offset: unknown): boolean {
  return offset === undefined || offset === null || Math.abs(Number(offset)) <= OFFSET_MAX;
}
