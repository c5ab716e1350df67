import {
  Date as CypherDate,
  DateTime,
  Duration,
  LocalDateTime,
  LocalTime,
  Neo4jError,
  Time,
} from 'neo4j-driver';

/** Types whose text has fields of date and time. */
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
 * Reads the text that the driver's own `toString` makes of a temporal value; undefined where it is another text. The
 * driver's `fromString` is not the inverse: it multiplies fractions of seconds as floats, and loses a nanosecond of some.
 */
export function parseTemporal(text: string, type: TemporalType): unknown {
  const fields = PATTERNS[type].exec(text)?.groups;
  if (!fields) return undefined;
  const value = buildKnown(type, fields);
  if (value === undefined) return undefined;
  // A field out of its range, or written in another way, would not come back as the same text.
  if (value.toString() !== text) return undefined;
  if (!(value instanceof DateTime) || fields.zone === undefined) return value;
  return inRuntimeZone(value as DateTime<bigint>);
}

/**
 * The same instant and zone with the local time that this runtime's time-zone tables give. The rules of zones change, and the
 * archive may have been written with other tables: the driver hands out what servers keep, instant and zone, in these
 * terms, and what is compared has to be in the same ones. A zone or year that the tables do not have stays as written.
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
  // Unlike Date.UTC, this takes years below 100 as they are.
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  return date.getTime();
}

/** Zones whose formatter is kept. */
const ZONES_KEPT_MAX = 600;
const formatters = new Map<string, Intl.DateTimeFormat | undefined>();

/** Seconds by which local time is ahead of UTC there and then; undefined where the runtime does not know. */
function offsetAt(zone: string, instant: number): number | undefined {
  if (!Number.isFinite(instant)) return undefined;
  if (!formatters.has(zone) && formatters.size < ZONES_KEPT_MAX) formatters.set(zone, formatterOf(zone));
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

/** As the driver asks for it. */
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

/** Undefined for a zone that this runtime does not know: the driver would refuse to send it, and could not read it. */
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

/** Months and days apart from seconds, as Neo4j keeps them; the driver's own text folds seconds into hours. */
export function durationText(duration: Duration): string {
  const nanoseconds = toBigInt(duration.seconds) * NANOSECONDS + toBigInt(duration.nanoseconds);
  const magnitude = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = String(magnitude % NANOSECONDS).padStart(9, '0');
  const seconds = `${nanoseconds < 0n ? '-' : ''}${magnitude / NANOSECONDS}.${fraction}`;
  return `P${toBigInt(duration.months)}M${toBigInt(duration.days)}DT${seconds}S`;
}

/** Reads what {@link durationText} wrote; undefined for any other text. */
export function parseDuration(text: string): Duration<bigint> | undefined {
  const match = /^P(-?\d{1,19})M(-?\d{1,19})DT(-?)(\d{1,19})\.(\d{9})S$/.exec(text);
  if (!match) return undefined;
  const [, months = '', days = '', sign, whole = '', fraction = ''] = match;
  const magnitude = BigInt(whole) * NANOSECONDS + BigInt(fraction);
  const total = sign === '-' ? -magnitude : magnitude;
  // Neo4j keeps nanoseconds from 0 on, below the second.
  const nanoseconds = ((total % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  const seconds = (total - nanoseconds) / NANOSECONDS;
  return new Duration(BigInt(months), BigInt(days), seconds, nanoseconds);
}

/** The driver hands out members of temporal values and points as bigint, number or its own Integer. */
export function toBigInt(value: unknown): bigint {
  return typeof value === 'bigint' ? value : BigInt(String(value));
}
