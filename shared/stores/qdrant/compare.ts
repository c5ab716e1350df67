import { isLosslessNumber } from 'lossless-json';
import type { Difference } from '../port.ts';
import { type ConfigView, comparableText, denseVectors, type Lossless } from './collections.ts';
import { CompactJson, type PointText } from './point-text.ts';

/** Smallest step of a 16-bit float relative to its value, and near zero (IEEE 754 binary16). */
const HALF_STEP = 2 ** -10;
const HALF_TINY = 2 ** -24;

/**
 * Names of the vectors that a server may round anew when they are written back: with cosine distance Qdrant makes
 * vectors unit length before it rounds them to 16 bits, and what was rounded is no longer quite of unit length.
 */
export function roundedVectors(view: ConfigView): Set<string> {
  return new Set(
    Object.entries(denseVectors(view))
      .filter(([, { distance, datatype }]) => distance === 'Cosine' && datatype === 'float16')
      .map(([name]) => name),
  );
}

/** Whether two points are the same: to the last digit, but for the last bit of vectors that are rounded anew. */
export function samePoint(left: PointText, right: PointText, rounded: ReadonlySet<string>): boolean {
  if (left.canonical === right.canonical) return true;
  if (rounded.size === 0) return false;
  const [one, other] = [membersOf(left.canonical), membersOf(right.canonical)];
  if (one.get('"payload"') !== other.get('"payload"')) return false;
  return sameVectors(one.get('"vector"') ?? 'null', other.get('"vector"') ?? 'null', rounded);
}

function sameVectors(left: string, right: string, rounded: ReadonlySet<string>): boolean {
  if (!left.startsWith('{') || !right.startsWith('{')) return rounded.has('') && near(left, right);
  const [one, other] = [membersOf(left), membersOf(right)];
  return (
    one.size === other.size &&
    [...one].every(([key, vector]) => {
      const counterpart = other.get(key) ?? '';
      return vector === counterpart || (rounded.has(JSON.parse(key) as string) && near(vector, counterpart));
    })
  );
}

function membersOf(text: string): Map<string, string> {
  return new CompactJson(text).object();
}

function near(left: string, right: string): boolean {
  // Dense or multi vectors: the brackets must agree, and the numbers one by one.
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

/**
 * Says where two configurations differ, setting by setting. What the archive does not know is passed over with
 * `ignoreNew`: a newer server has settings that the one that was saved had not.
 */
export function compareConfigs(
  thing: string,
  archived: Lossless,
  present: Lossless,
  { ignoreNew }: { ignoreNew: boolean },
): Difference[] {
  if (!isObject(archived) || !isObject(present)) {
    const same = comparableText(archived) === comparableText(present);
    return same ? [] : [{ thing, problem: 'is set to another value than in the archive' }];
  }
  const names = new Set([...Object.keys(archived), ...(ignoreNew ? [] : Object.keys(present))]);
  return [...names].flatMap((name) =>
    compareConfigs(`${thing}.${name}`, archived[name] ?? null, present[name] ?? null, { ignoreNew }),
  );
}

function isObject(value: Lossless): value is Record<string, Lossless> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isLosslessNumber(value);
}
