import type { Column } from '../../stores/postgres/definition.ts';
import { type ExactJson, jsonbText, NumberText } from './jsonb.ts';

/** How the system writes a column into JSON. */
export type FieldKind = 'text' | 'json' | 'number' | 'epoch' | 'iso';

/** Largest values of the whole numbers of PostgreSQL. */
const WHOLE_MAX: Readonly<Record<string, bigint>> = {
  smallint: 2n ** 15n - 1n,
  integer: 2n ** 31n - 1n,
  bigint: 2n ** 63n - 1n,
};
/** Seconds since 1970 of the first and the last second with a year of four digits. */
const [SECONDS_MIN, SECONDS_MAX] = [-62_135_596_800, 253_402_300_799];

/** How the system writes a column of this type into this field. */
export function kindOf(type: string, field: string): FieldKind {
  if (type === 'jsonb') return 'json';
  if (Object.hasOwn(WHOLE_MAX, type)) return 'number';
  if (!type.startsWith('timestamp')) return 'text';
  return field.endsWith('_time') ? 'epoch' : 'iso';
}

/** A value as PostgreSQL prints it in a column of this type; undefined if the column cannot hold it. */
export function columnText(
  value: ExactJson,
  { type }: Pick<Column, 'type'>,
  kind: FieldKind,
): string | undefined {
  switch (kind) {
    case 'json':
      return jsonbText(value);
    case 'number':
      return value instanceof NumberText ? wholeText(value.text, type) : undefined;
    case 'epoch':
      return value instanceof NumberText ? secondsText(value.text) : undefined;
    case 'iso':
      return typeof value === 'string' ? timeText(value) : undefined;
    case 'text':
      return typeof value === 'string' && fits(value, type) ? value : undefined;
  }
}

function wholeText(text: string, type: string): string | undefined {
  if (!/^-?\d{1,19}$/.test(text)) return undefined;
  const value = BigInt(text);
  const max = WHOLE_MAX[type] ?? 0n;
  return value <= max && value >= -max - 1n ? String(value) : undefined;
}

function secondsText(text: string): string | undefined {
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < SECONDS_MIN || seconds > SECONDS_MAX) return undefined;
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}

/** A time in ISO 8601, in UTC if it states no zone, with up to six digits after the second. */
function timeText(text: string): string | undefined {
  const [, time = '', fraction = '', zone = 'Z'] =
    /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)?$/.exec(text) ?? [];
  const milliseconds = Date.parse(`${time.replace(' ', 'T')}${zone}`);
  const seconds = Number.isNaN(milliseconds) ? undefined : secondsText(String(milliseconds / 1000));
  const digits = fraction.replace(/0+$/, '');
  return seconds === undefined || digits === '' ? seconds : `${seconds}.${digits}`;
}

/** Whether a column of text can hold it. */
function fits(text: string, type: string): boolean {
  if (text.includes('\0') || !text.isWellFormed()) return false;
  const [, most] = /^character varying\((\d+)\)$/.exec(type) ?? [];
  return most === undefined
    ? type === 'text' || type === 'character varying'
    : [...text].length <= Number(most);
}
