import {
  Date as CypherDate,
  DateTime,
  Duration,
  LocalDateTime,
  LocalTime,
  Neo4jError,
  Time,
} from 'neo4j-driver-core';

/** Types whose text has date and time fields. */
export type TemporalType = 'date' | 'time' | 'localtime' | 'datetime' | 'localdatetime';

const DATE = /(?<year>[+-]\d{4,9}|\d{4})-(?<month>\d{2})-(?<day>\d{2})/.source;
const CLOCK = /(?<hour>\d{2}):(?<minute>\d{2}):(?<second>\d{2})(?:\.(?<fraction>\d{9}))?/.source;
const OFFSET = /(?<offset>Z|(?<sign>[+-])(?<hours>\d{2}):(?<minutes>\d{2})(?::(?<seconds>\d{2}))?)/.source;
const ZONE = /(?:\[(?<zone>[^\]]{1,100})\])?/.source;

const PATTERNS: Record<TemporalType, RegExp> = {
  date: new RegExp(`^${DATE}$`),
  time: new RegExp(`^${CLOCK}${OFFSET}$`),
  localtime: new RegExp(`^${CLOCK}$`),
  datetime: new RegExp(`^${DATE}T${CLOCK}${OFFSET}${ZONE}$`),
  localdatetime: new RegExp(`^${DATE}T${CLOCK}$`),
};

const NANOSECONDS = 1_000_000_000n;

/**
 * Parses the text that the driver's own `toString` produces for a temporal value; undefined for any other text. The
 * driver's `fromString` is not its inverse: it multiplies fractions of seconds as floats, and is off by a nanosecond
 * for some.
 */
export function parseTemporal(text: string, type: TemporalType): unknown {
  const fields = PATTERNS[type].exec(text)?.groups;
  if (!fields) return undefined;
  const value = buildKnown(type, fields);
  if (value === undefined) return undefined;
  // A field out of range or in a different notation would not produce the same text again.
  if (value.toString() !== text) return undefined;
  if (!(value instanceof DateTime) || fields.zone === undefined) return value;
  return inRuntimeZone(value as DateTime<bigint>);
}

/**
 * Returns the same instant and zone with the local time according to this runtime's time-zone tables. Time-zone rules
 * change, and the archive may have been written with other tables: servers store instant and zone, and the driver
 * converts them with these tables, so values must be compared in the same form. A zone or year that is not in the
 * tables is left unchanged.
 */
function inRuntimeZone(value: DateTime<bigint>): DateTime<bigint> {
  const { timeZoneId, timeZoneOffsetSeconds: offset } = value;
  const [year, month, day, hour, minute, second] = (
    ['year', 'month', 'day', 'hour', 'minute', 'second'] as const
  ).map((name) => Number(value[name]));
  const local = utcMilliseconds(year ?? 0, month ?? 1, day ?? 1, hour ?? 0, minute ?? 0, second ?? 0);
  const instant = local - Number(offset) * 1000;
  const shifted = timeZoneId === undefined || timeZoneId === null ? undefined : offsetAt(timeZoneId, instant);
  if (shifted === undefined || shifted === Number(offset)) return value;
  const at = new Date(instant + shifted * 1000);
  const fields = [
    at.getUTCFullYear(),
    at.getUTCMonth() + 1,
    at.getUTCDate(),
    at.getUTCHours(),
    at.getUTCMinutes(),
    at.getUTCSeconds(),
  ].map(BigInt) as [bigint, bigint, bigint, bigint, bigint, bigint];
  return new DateTime(
    ...fields,
    toBigInt(value.nanosecond),
    BigInt(shifted),
    timeZoneId,
  ) as unknown as DateTime<bigint>;
}

function utcMilliseconds(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number {
  const date = new Date(0);
  // Unlike Date.UTC, this does not interpret years below 100 as 19xx.
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  return date.getTime();
}

/** Number of zones whose formatter is cached. */
const CACHED_ZONES_MAX = 600;
const formatters = new Map<string, Intl.DateTimeFormat | undefined>();

/** Offset of the zone from UTC at that instant, in seconds; undefined if unknown to the runtime. */
function offsetAt(zone: string, instant: number): number | undefined {
  if (!Number.isFinite(instant)) return undefined;
  if (!formatters.has(zone) && formatters.size < CACHED_ZONES_MAX) formatters.set(zone, formatterOf(zone));
  const formatter = formatters.get(zone) ?? formatterOf(zone);
  if (formatter === undefined || Number.isNaN(new Date(instant).getTime())) return undefined;
  const parts = Object.fromEntries(formatter.formatToParts(instant).map(({ type, value }) => [type, value]));
  const named = Number(parts.year);
  const year = parts.era?.startsWith('B') ? 1 - named : named;
  const local = utcMilliseconds(
    year,
    Number(parts.month),
    Number(parts.day),
    Number(parts.hour) % 24,
    Number(parts.minute),
    Number(parts.second),
  );
  return Math.round((local - Math.floor(instant / 1000) * 1000) / 1000);
}

/** Uses the same options as the driver. */
function formatterOf(zone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
      hour12: false,
      era: 'narrow',
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Undefined for a zone unknown to this runtime: the driver would refuse to send it, and could not read it. */
function buildKnown(type: TemporalType, fields: Readonly<Record<string, string | undefined>>) {
  try {
    return build(type, fields);
  } catch (error) {
    if (error instanceof Neo4jError) return undefined;
    throw error;
  }
}

function build(type: TemporalType, fields: Readonly<Record<string, string | undefined>>) {
  const field = (name: string) => BigInt(fields[name] ?? 0);
  const clock = () => [field('hour'), field('minute'), field('second'), field('fraction')] as const;
  const date = () => [field('year'), field('month'), field('day')] as const;
  const size = field('hours') * 3600n + field('minutes') * 60n + field('seconds');
  const offset = fields.sign === '-' ? -size : size;
  switch (type) {
    case 'date':
      return new CypherDate(...date());
    case 'time':
      return new Time(...clock(), offset);
    case 'localtime':
      return new LocalTime(...clock());
    case 'datetime':
      return new DateTime(...date(), ...clock(), offset, fields.zone);
    case 'localdatetime':
      return new LocalDateTime(...date(), ...clock());
  }
}

/** Keeps months and days apart from seconds, as Neo4j does; the driver's own text converts seconds to hours. */
export function durationText(duration: Duration): string {
  const nanoseconds = toBigInt(duration.seconds) * NANOSECONDS + toBigInt(duration.nanoseconds);
  const magnitude = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = String(magnitude % NANOSECONDS).padStart(9, '0');
  const seconds = `${nanoseconds < 0n ? '-' : ''}${magnitude / NANOSECONDS}.${fraction}`;
  return `P${toBigInt(duration.months)}M${toBigInt(duration.days)}DT${seconds}S`;
}

/** Parses the text from {@link durationText}; undefined for any other text. */
export function parseDuration(text: string): Duration<bigint> | undefined {
  const match = /^P(-?\d{1,19})M(-?\d{1,19})DT(-?)(\d{1,19})\.(\d{9})S$/.exec(text);
  if (!match) return undefined;
  const [, months = '', days = '', sign, whole = '', fraction = ''] = match;
  const magnitude = BigInt(whole) * NANOSECONDS + BigInt(fraction);
  const total = sign === '-' ? -magnitude : magnitude;
  // Neo4j stores nanoseconds as a non-negative fraction of a second.
  const nanoseconds = ((total % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  const seconds = (total - nanoseconds) / NANOSECONDS;
  return new Duration(BigInt(months), BigInt(days), seconds, nanoseconds);
}

/** The driver returns components of temporal values and points as bigint, number or its own Integer. */
export function toBigInt(value: unknown): bigint {
  return typeof value === 'bigint' ? value : BigInt(String(value));
}
