import { isLosslessNumber } from 'lossless-json';
import type { Difference } from '../restore-leg.ts';
import {
  type ConfigView,
  comparableText,
  denseVectors,
  type Lossless,
  losslessText,
  tidy,
} from './collections.ts';
import { CompactJson, type PointText } from './point-text.ts';

/** Resolution of a 16-bit float, relative to its value and near zero (IEEE 754 binary16). */
const HALF_STEP = 2 ** -10;
const HALF_TINY = 2 ** -24;
/** Maximum deviation of a single-precision vector from unit length, or from the same vector computed differently. */
const UNIT_STEP = 1e-5;

/** Names of the vectors that a server may change when they are written again. */
export interface ChangedVectors {
  /** Rounded again: for cosine distance, Qdrant normalizes vectors before it rounds them to 16 bits. */
  readonly half: ReadonlySet<string>;
  /** Normalized now, although an old version stored them unmodified. */
  readonly cosine: ReadonlySet<string>;
}

export const UNCHANGED: ChangedVectors = { half: new Set(), cosine: new Set() };

export function changedVectors(view: ConfigView): ChangedVectors {
  const cosine = Object.entries(denseVectors(view)).filter(([, { distance }]) => distance === 'Cosine');
  const names = (type: string) =>
    new Set(cosine.filter(([, { datatype }]) => (datatype ?? 'float32') === type).map(([name]) => name));
  return { half: names('float16'), cosine: names('float32') };
}

/**
 * Whether a point on the server equals the archived one. Numbers must be equal to the last digit, with two exceptions:
 * the last bit of vectors that are rounded again, and the length of vectors with cosine distance that were not of unit
 * length.
 */
export function samePoint(archived: PointText, present: PointText, changed: ChangedVectors): boolean {
  if (archived.canonical === present.canonical) return true;
  if (changed.half.size + changed.cosine.size === 0) return false;
  const [one, other] = [membersOf(archived.canonical), membersOf(present.canonical)];
  if (one.get('"payload"') !== other.get('"payload"')) return false;
  return sameVectors(one.get('"vector"') ?? 'null', other.get('"vector"') ?? 'null', changed);
}

function sameVectors(left: string, right: string, changed: ChangedVectors): boolean {
  const same = (name: string, vector: string, counterpart: string) =>
    vector === counterpart ||
    (changed.half.has(name) && near(vector, counterpart)) ||
    (changed.cosine.has(name) && isNormalised(vector, counterpart));
  if (!left.startsWith('{') || !right.startsWith('{')) return same('', left, right);
  const [one, other] = [membersOf(left), membersOf(right)];
  return (
    one.size === other.size &&
    [...one].every(([key, vector]) => same(JSON.parse(key) as string, vector, other.get(key) ?? ''))
  );
}

/** Whether `right` is `left` normalized. Normalization does not change vectors that already have unit length. */
function isNormalised(left: string, right: string): boolean {
  const [rows, others] = [rowsOf(left), rowsOf(right)];
  return (
    rows.length === others.length &&
    rows.every((row, at) => {
      const counterpart = others[at] ?? [];
      const length = Math.hypot(...row);
      if (row.length !== counterpart.length) return false;
      if (!(Math.abs(length - 1) > UNIT_STEP))
        return row.every((value, index) => value === counterpart[index]);
      return row.every(
        (value, index) => Math.abs(value / length - (counterpart[index] ?? Number.NaN)) <= UNIT_STEP,
      );
    })
  );
}

/** The rows of a dense vector or multivector. */
function rowsOf(text: string): number[][] {
  return [...text.matchAll(/\[([^[\]]*)\]/g)].map(([, row = '']) => row.split(',').map(Number));
}

function membersOf(text: string): Map<string, string> {
  return new CompactJson(text).object();
}

function near(left: string, right: string): boolean {
  // For dense vectors and multivectors, the brackets must be equal, and the numbers are compared one by one.
  const [one, other] = [left, right].map((text) =>
    text
      .split(/[[\],]+/)
      .filter(Boolean)
      .map(Number),
  );
  if (!one || !other || left.replaceAll(/[^[\],]/g, '') !== right.replaceAll(/[^[\],]/g, '')) return false;
  return one.every((value, at) => {
    const counterpart = other[at] ?? Number.NaN;
    const allowed = Math.max(Math.abs(value), Math.abs(counterpart)) * HALF_STEP + HALF_TINY;
    return Math.abs(value - counterpart) <= allowed;
  });
}

/** Result of comparing settings. */
export interface SettingsComparison {
  /** Settings in the archive that have a different value on the server. */
  readonly differences: readonly Difference[];
  /** Names of the settings that follow the server: its own default applies, or its version lacks the setting. */
  readonly adopted: readonly string[];
}

/**
 * Compares the settings that the archive specifies. Those that it leaves open may differ, such as a default of another
 * server or of a newer version. `otherVersion` means that the server may lack settings of the version that was saved.
 * Users' metadata has no defaults and is compared as a whole.
 */
export function compareSettings(
  archived: Lossless,
  present: Lossless,
  { otherVersion }: { otherVersion: boolean },
): SettingsComparison {
  const differences: Difference[] = [];
  const adopted: string[] = [];
  const compare = (name: string, left: Lossless, right: Lossless): void => {
    if (name === 'strict_mode_config' && isOff(left) && isOff(right)) return;
    if (name === 'metadata') {
      if (losslessText(tidy(left ?? null, true)) !== losslessText(tidy(right ?? null, true)))
        differences.push({ thing: name, problem: 'differs from the archive' });
    } else if (isUnset(left)) {
      if (!isUnset(right)) adopted.push(name);
    } else if (isUnset(right)) {
      if (otherVersion) adopted.push(name);
      else differences.push({ thing: name, problem: 'is set in the archive, but not on the server' });
    } else if (isObject(left) && isObject(right)) {
      for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
        compare(name === '' ? key : `${name}.${key}`, left[key], right[key]);
      }
    } else if (comparableText(left) !== comparableText(right)) {
      differences.push({ thing: name, problem: 'has a different value than in the archive' });
    }
  };
  compare('', archived, present);
  return { differences, adopted };
}

/** Compares payload indexes: reports missing and different ones and, with `exact`, extra ones. */
export function compareIndexes(
  archived: Readonly<Record<string, Lossless>>,
  present: Readonly<Record<string, Lossless>>,
  { exact, otherVersion }: { exact: boolean; otherVersion: boolean },
): SettingsComparison {
  const differences: Difference[] = [];
  const adopted: string[] = [];
  for (const [field, index] of Object.entries(archived)) {
    if (!Object.hasOwn(present, field)) {
      differences.push({ thing: field, problem: 'is missing on the server' });
      continue;
    }
    const found = compareSettings(definition(index), definition(present[field]), { otherVersion });
    if (found.differences.length > 0)
      differences.push({ thing: field, problem: 'has a different definition than in the archive' });
    adopted.push(...found.adopted.map((name) => `${field}.${name}`));
  }
  for (const field of Object.keys(present)) {
    if (exact && !Object.hasOwn(archived, field))
      differences.push({ thing: field, problem: 'is on the server, but not in the archive' });
  }
  return { differences, adopted };
}

/** An index without parameters is written as its type only. */
function definition(index: Lossless): Lossless {
  return typeof index === 'string' ? { type: index } : index;
}

/** Whether a value is empty, or an object in which nothing is set. */
function isUnset(value: Lossless): boolean {
  return value == null || (isObject(value) && Object.values(value).every(isUnset));
}

function isOff(strict: Lossless): boolean {
  return !isObject(strict) || strict.enabled !== true;
}

function isObject(value: Lossless): value is Record<string, Lossless> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value);
}
