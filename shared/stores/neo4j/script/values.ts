import { decodeScalar, type ScalarType } from '../scalars.ts';
import type { Properties } from '../values.ts';
import type { Scanner } from './scanner.ts';

/** The exporter escapes only these five characters in strings. */
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', r: '\r', t: '\t', '"': '"' };
const TEXT = /"((?:[^"\\]|\\[\\nrt"])*)"/y;
const FLOAT = /-?(?:\d+\.\d+(?:E-?\d+)?|Infinity)|NaN/y;
const INTEGER = /-?\d{1,19}/y;
const COORDINATE = /-?(?:\d+\.\d+(?:E-?\d+)?|Infinity)|NaN/y;
const CRS = /'(wgs-84|wgs-84-3d|cartesian|cartesian-3d)'/y;
const TEMPORAL = /(date|time|localtime|datetime|localdatetime|duration)\('([^'\\]{1,200})'\)/y;
const DURATION =
  /^P(?:(-?\d{1,19})Y)?(?:(-?\d{1,19})M)?(?:(-?\d{1,19})D)?(?:T(?:(-?\d{1,19})H)?(?:(-?\d{1,19})M)?(?:(-?)(\d{1,19})(?:\.(\d{1,9}))?S)?)?$/;

/** Properties in braces: `{a:1, b:"x"}`. */
export function readProperties(scanner: Scanner): Properties {
  scanner.expect('{');
  const members = scanner.list('}', (): [string, unknown] => {
    const name = scanner.name();
    scanner.expect(':');
    return [name, readValue(scanner)];
  });
  if (new Set(members.map(([name]) => name)).size < members.length) {
    throw scanner.refuse('properties of different names');
  }
  // Unlike an assignment, this creates a member for any name, including `__proto__`.
  return Object.fromEntries(members);
}

/**
 * A value as the driver accepts it: integers as bigint, floats as number. Lists have a single type, and contain no
 * lists.
 */
export function readValue(scanner: Scanner): unknown {
  if (!scanner.has('[')) return readScalar(scanner);
  const list = scanner.list(']', () => readScalar(scanner));
  if (new Set(list.map(kindOf)).size > 1) throw scanner.refuse('a list of values of one type');
  return list;
}

function kindOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? value.constructor : typeof value;
}

function readScalar(scanner: Scanner): unknown {
  const text = scanner.match(TEXT)?.[1];
  if (text !== undefined) return text.replaceAll(/\\(.)/g, (_all, character) => ESCAPES[character] ?? '');
  if (scanner.has('true')) return true;
  if (scanner.has('false')) return false;
  const float = scanner.match(FLOAT)?.[0];
  if (float !== undefined) return Number(float);
  const integer = scanner.match(INTEGER)?.[0];
  if (integer !== undefined) return known(scanner, decodeScalar(BigInt(integer), 'integer'));
  if (scanner.has('point(')) return readPoint(scanner);
  const temporal = scanner.match(TEMPORAL);
  if (!temporal) throw scanner.refuse('a value');
  const [, type, value = ''] = temporal;
  const normalized = type === 'duration' ? durationOf(value) : padded(value);
  return known(scanner, normalized === undefined ? undefined : decodeScalar(normalized, type as ScalarType));
}

/** `point({x: 1.5, y: -2.0, crs: 'cartesian'})`, in any coordinate system. */
function readPoint(scanner: Scanner): unknown {
  const axis = (name: string) => {
    scanner.expect(name, ':');
    const text = scanner.match(COORDINATE)?.[0];
    if (text === undefined) throw scanner.refuse('a coordinate');
    scanner.expect(',');
    return Number(text);
  };
  scanner.expect('{');
  const [x, y] = [axis('x'), axis('y')];
  const third = scanner.has('crs') ? {} : { z: axis('z') };
  if ('z' in third) scanner.expect('crs');
  scanner.expect(':');
  const crs = scanner.match(CRS)?.[1];
  scanner.expect('}', ')');
  return known(scanner, decodeScalar({ crs, x, y, ...third }, 'point'));
}

function known(scanner: Scanner, value: unknown): unknown {
  if (value === undefined) throw scanner.refuse('a value that Neo4j can store');
  return value;
}

/** Neo4j writes years and fractions in their shortest form; the archive's lines pad them to six and nine digits. */
function padded(text: string): string {
  return text
    .replace(/^([+-])(\d{4,9})-/, (_all, sign, year: string) => `${sign}${year.padStart(6, '0')}-`)
    .replace(/\.(\d{1,9})/, (_all, digits: string) => `.${digits.padEnd(9, '0')}`);
}

/** A duration in the form of the archive's lines: months, days and seconds only. */
function durationOf(text: string): string | undefined {
  const match = DURATION.exec(text);
  if (!match) return undefined;
  const [years, months, days, hours, minutes] = match.slice(1, 6).map((digits) => BigInt(digits ?? 0));
  const nanoseconds = BigInt(`${match[7] ?? '0'}${(match[8] ?? '').padEnd(9, '0')}`);
  const seconds = match[6] === '-' ? -nanoseconds : nanoseconds;
  const clock = ((hours ?? 0n) * 3600n + (minutes ?? 0n) * 60n) * 1_000_000_000n + seconds;
  const magnitude = String(clock < 0n ? -clock : clock).padStart(10, '0');
  const time = `${clock < 0n ? '-' : ''}${magnitude.slice(0, -9)}.${magnitude.slice(-9)}`;
  return `P${(years ?? 0n) * 12n + (months ?? 0n)}M${days ?? 0n}DT${time}S`;
}
