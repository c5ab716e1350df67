import { Vector, type VectorType } from 'neo4j-driver-core';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import { RESERVED_PREFIX } from './names.ts';
import { decodeScalar, encodeScalar, SCALAR_TYPES, type ScalarType } from './scalars.ts';

/** Property values as the driver returns and accepts them: integers as bigint, floats as number. */
export type Properties = Record<string, unknown>;

/** Properties as the text of two JSON objects with sorted members; `types` is undefined if JSON loses no type. */
export interface EncodedProperties {
  readonly properties: string;
  readonly types: string | undefined;
}

const SCALARS = new Map<string, ScalarType>(SCALAR_TYPES.map((type) => [type, type]));
/** Element types of Neo4j vectors, with the typed array that the driver expects. */
const VECTOR_ARRAYS = {
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FLOAT32: Float32Array,
  FLOAT64: Float64Array,
} as const;

/**
 * Encodes the properties of a node or relationship, sorted by name, excluding ngbak's own. Equal types and values
 * always produce equal text, so digests are computed from it. Throws InvalidInputError that names the property if its
 * type is unknown.
 */
export function encodeProperties(values: Readonly<Properties>): EncodedProperties {
  let properties = '';
  let types = '';
  for (const { name, key, next } of sortedNames(values)) {
    const { json, type } = encodeNamed(name, values[name]);
    properties += properties === '' ? key + json : next + json;
    if (type !== undefined) types += `${types === '' ? key : next}"${type}"`;
  }
  return { properties: `{${properties}}`, types: types === '' ? undefined : `{${types}}` };
}

/** A property's name as JSON text, in the forms before the first value and before later values. */
interface PropertyName {
  readonly name: string;
  readonly key: string;
  readonly next: string;
}

let lastNames: readonly string[] = [];
let lastSorted: readonly PropertyName[] = [];

/**
 * Names except ngbak's own, sorted. Consecutive records usually have the same names, so they are sorted only when they
 * change.
 */
function sortedNames(values: Readonly<Properties>): readonly PropertyName[] {
  const names = Object.keys(values);
  let same = 0;
  while (same < names.length && names[same] === lastNames[same]) same++;
  if (same < names.length || same < lastNames.length) {
    const own = names.filter((name) => !name.startsWith(RESERVED_PREFIX)).sort();
    lastNames = names;
    lastSorted = own.map((name) => ({ name, key: `${nameText(name)}:`, next: `,${nameText(name)}:` }));
  }
  return lastSorted;
}

export function encodeNamed(name: string, value: unknown): { json: string; type: string | undefined } {
  try {
    return encodeValue(value);
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    throw new InvalidInputError(`Property ${quoted(name)} holds ${error.message}.`, { remedy: error.remedy });
  }
}

/** Number of names whose text is cached: graphs have few, and every record repeats them. */
const NAME_TEXTS_MAX = 10_000;
const nameTexts = new Map<string, string>();

/** A name as JSON text. */
export function nameText(name: string): string {
  const known = nameTexts.get(name);
  if (known !== undefined) return known;
  const text = JSON.stringify(name);
  if (nameTexts.size < NAME_TEXTS_MAX) nameTexts.set(name, text);
  return text;
}

/** Encodes one property value: a scalar, a list, a vector. */
export function encodeValue(value: unknown): { json: string; type: string | undefined } {
  if (Array.isArray(value)) return encodeList(value);
  if (value instanceof Vector) {
    const elements = Array.from(value.asTypedArray(), (element) =>
      Number.isFinite(Number(element)) ? String(element) : `"${element}"`,
    );
    return { json: `[${elements.join(',')}]`, type: `vector ${value.getType()}` };
  }
  return encodeScalar(value);
}

/** Stored lists have a single element type; if one element needs a type name, it applies to all. */
function encodeList(list: readonly unknown[]): { json: string; type: string | undefined } {
  let type: ScalarType | undefined;
  const elements = list.map((element) => {
    const encoded = encodeScalar(element);
    type ??= encoded.type;
    return encoded.json;
  });
  return { json: `[${elements.join(',')}]`, type: type === undefined ? undefined : `${type}[]` };
}

/**
 * Parses the `properties` and `types` of a line. Throws InvalidInputError that names a property if its value does not
 * match its type, or if the name is reserved for ngbak.
 */
export function decodeProperties(
  values: Readonly<Record<string, unknown>>,
  types: Readonly<Record<string, unknown>>,
): Properties {
  const unknown = Object.keys(types).find((name) => !Object.hasOwn(values, name));
  if (unknown !== undefined) throw malformed(unknown, 'has a type, but no value');
  const entries = Object.keys(values).map((name): [string, unknown] => {
    if (name.startsWith(RESERVED_PREFIX)) throw malformed(name, 'has a name that is reserved for ngbak');
    const decoded = decodeValue(values[name], Object.hasOwn(types, name) ? types[name] : undefined);
    if (decoded === undefined) throw malformed(name, 'has a value that does not fit its type');
    return [name, decoded];
  });
  // Unlike an assignment, this creates a member for any name, including `__proto__`.
  return Object.fromEntries(entries);
}

/** Parses one value; undefined if it does not match the type. */
export function decodeValue(value: unknown, type: unknown): unknown {
  if (type === undefined) {
    return Array.isArray(value) ? decodeList(value, undefined) : decodeScalar(value, undefined);
  }
  if (typeof type !== 'string') return undefined;
  if (type.startsWith('vector ')) return decodeVector(value, type.slice('vector '.length));
  const isList = type.endsWith('[]');
  const scalar = SCALARS.get(isList ? type.slice(0, -2) : type);
  if (scalar === undefined) return undefined;
  if (!isList) return decodeScalar(value, scalar);
  return Array.isArray(value) ? decodeList(value, scalar) : undefined;
}

function decodeList(list: readonly unknown[], type: ScalarType | undefined): unknown[] | undefined {
  const decoded = list.map((element) => decodeScalar(element, type));
  if (decoded.includes(undefined)) return undefined;
  const kinds = new Set(decoded.map((element) => typeof element));
  return kinds.size > 1 ? undefined : decoded;
}

function decodeVector(value: unknown, type: string): unknown {
  if (!Array.isArray(value) || !Object.hasOwn(VECTOR_ARRAYS, type)) return undefined;
  const kind = type as VectorType;
  if (kind === 'INT64') {
    const integers = decodeList(value, 'integer');
    return integers === undefined ? undefined : new Vector(BigInt64Array.from(integers as bigint[]));
  }
  const numbers = decodeList(value, 'float');
  return numbers === undefined ? undefined : new Vector(VECTOR_ARRAYS[kind].from(numbers as number[]));
}

function malformed(name: string, problem: string): InvalidInputError {
  return new InvalidInputError(`property ${quoted(name)} ${problem}`, {
    remedy: ANOTHER_ARCHIVE,
  });
}

/** A name for messages, truncated to a readable length. */
export function quoted(name: string): string {
  return JSON.stringify(name.length <= 100 ? name : `${name.slice(0, 100)}…`);
}
