import {
  Date as CypherDate,
  DateTime,
  Duration,
  isUnsupportedType,
  LocalDateTime,
  LocalTime,
  Point,
  Time,
  UUID,
} from 'neo4j-driver-core';
import { InvalidInputError } from '../../core/errors.ts';
import { isZoneKnown } from './far-dates.ts';
import { durationText, parseDuration, parseTemporal, toBigInt } from './temporal.ts';

/** A scalar value as JSON text, with the name of its type if the text alone would be ambiguous. */
export interface EncodedScalar {
  readonly json: string;
  readonly type: ScalarType | undefined;
}

export const SCALAR_TYPES = [
  'integer',
  'float',
  'bytes',
  'date',
  'time',
  'localtime',
  'datetime',
  'localdatetime',
  'duration',
  'point',
  'uuid',
] as const;
export type ScalarType = (typeof SCALAR_TYPES)[number];

/** Names of Neo4j's coordinate systems by SRID (Cypher manual, "Spatial values"). */
const CRS_NAMES = new Map([
  [4326n, 'wgs-84'],
  [4979n, 'wgs-84-3d'],
  [7203n, 'cartesian'],
  [9157n, 'cartesian-3d'],
]);
const SRIDS = new Map([...CRS_NAMES].map(([srid, name]) => [name, srid]));

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Encodes a value returned by the driver. Throws InvalidInputError for a type unknown to ngbak. */
export function encodeScalar(value: unknown): EncodedScalar {
  switch (typeof value) {
    case 'string':
      return { json: JSON.stringify(value), type: undefined };
    case 'boolean':
      return { json: String(value), type: undefined };
    case 'bigint':
      return { json: String(value), type: isSafe(value) ? undefined : 'integer' };
    case 'number':
      return encodeFloat(value);
    default:
      return encodeObject(value);
  }
}

/**
 * A float is recognized by its fraction or exponent. Many parsers read `1.0` as the integer 1, so it gets a type name.
 * JavaScript writes the shortest decimal that parses to the same float.
 */
function encodeFloat(value: number): EncodedScalar {
  if (!Number.isFinite(value)) return { json: `"${value}"`, type: 'float' };
  if (!Number.isInteger(value)) return { json: String(value), type: undefined };
  const text = Object.is(value, -0) ? '-0' : String(value);
  return { json: text.includes('e') ? text : `${text}.0`, type: 'float' };
}

function encodeObject(value: unknown): EncodedScalar {
  if (value instanceof DateTime) return dateTimeText(value);
  if (value instanceof CypherDate) return text(value, 'date');
  if (value instanceof LocalDateTime) return text(value, 'localdatetime');
  if (value instanceof Time) return text(value, 'time');
  if (value instanceof LocalTime) return text(value, 'localtime');
  if (value instanceof Duration) return { json: JSON.stringify(durationText(value)), type: 'duration' };
  if (value instanceof Point) return { json: pointJson(value), type: 'point' };
  if (value instanceof UUID) return text(value, 'uuid');
  if (value instanceof Int8Array) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return { json: `"${bytes.toString('base64')}"`, type: 'bytes' };
  }
  throw new InvalidInputError(`a value of a type that this ngbak can't save: ${typeName(value)}`, {
    remedy: 'Update ngbak, or change that property.',
  });
}

function dateTimeText(value: DateTime): EncodedScalar {
  if (isZoneKnown(value.timeZoneOffsetSeconds)) return text(value, 'datetime');
  throw new InvalidInputError('a date-time with a zone in a year that JavaScript cannot compute', {
    remedy: 'Change it to a date-time with an offset instead of a zone, or to a year before 2,000,000.',
  });
}

function text(value: { toString(): string }, type: ScalarType): EncodedScalar {
  return { json: JSON.stringify(value.toString()), type };
}

function typeName(value: unknown): string {
  if (isUnsupportedType(value)) return value.name;
  return value === null || value === undefined ? 'null' : (value.constructor?.name ?? typeof value);
}

/** The format in which `apoc.export.json` writes points. */
function pointJson(point: Point): string {
  const crs = CRS_NAMES.get(toBigInt(point.srid));
  if (crs === undefined) {
    throw new InvalidInputError(`a point of the unknown coordinate system ${point.srid}`, {
      remedy: 'Update ngbak, or change that property.',
    });
  }
  const axes = crs.startsWith('wgs') ? ['longitude', 'latitude', 'height'] : ['x', 'y', 'z'];
  const members = [`"crs":"${crs}"`];
  for (const [index, coordinate] of [point.x, point.y, point.z].entries()) {
    if (coordinate !== undefined && coordinate !== null) {
      members.push(`"${axes[index]}":${encodeFloat(coordinate).json}`);
    }
  }
  return `{${members.join(',')}}`;
}

function parsePoint(value: unknown): Point<bigint> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const members = value as Record<string, unknown>;
  const srid = typeof members.crs === 'string' ? SRIDS.get(members.crs) : undefined;
  const x = parseFloatValue(members.longitude ?? members.x);
  const y = parseFloatValue(members.latitude ?? members.y);
  const third = members.height ?? members.z;
  const z = parseFloatValue(third);
  if (srid === undefined || x === undefined || y === undefined) return undefined;
  const isThree = srid === 4979n || srid === 9157n;
  if (isThree !== (z !== undefined)) return undefined;
  return z === undefined ? new Point(srid, x, y) : new Point(srid, x, y, z);
}

function parseFloatValue(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? Number(value) : undefined;
}

/**
 * Parses a value of a line into a driver parameter: integers as bigint, floats as number. Undefined if the JSON value
 * does not match the type.
 */
export function decodeScalar(value: unknown, type: ScalarType | undefined): unknown {
  if (type === undefined) return decodePlain(value);
  if (type === 'integer') return decodeInteger(value);
  if (type === 'float') return parseFloatValue(value);
  if (type === 'point') return parsePoint(value);
  if (typeof value !== 'string') return undefined;
  switch (type) {
    case 'bytes':
      return decodeBytes(value);
    case 'duration':
      return parseDuration(value);
    case 'uuid':
      return parseUuid(value);
    default:
      return parseTemporal(value, type);
  }
}

function decodePlain(value: unknown): unknown {
  if (typeof value === 'number') return Number.isInteger(value) ? decodeInteger(value) : value;
  return typeof value === 'string' || typeof value === 'boolean' ? value : undefined;
}

function decodeInteger(value: unknown): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  return typeof value === 'bigint' && value >= INT64_MIN && value <= INT64_MAX ? value : undefined;
}

function decodeBytes(value: string): Int8Array | undefined {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.toString('base64') !== value) return undefined;
  return new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function parseUuid(value: string): UUID | undefined {
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value);
  return isUuid ? UUID.fromString(value) : undefined;
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
}
