import { Date as CypherDate, DateTime, Duration, LocalDateTime, LocalTime, Time } from 'neo4j-driver';

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
 * driver's `fromString` is no way back: it multiplies fractions of seconds as floats, and loses a nanosecond of some.
 */
export function parseTemporal(text: string, type: TemporalType): unknown {
  const fields = PATTERNS[type].exec(text)?.groups;
  if (!fields) return undefined;
  const value = build(type, fields);
  // A field out of its range, or written in another way, would not come back as the same text.
  return value.toString() === text ? value : undefined;
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
