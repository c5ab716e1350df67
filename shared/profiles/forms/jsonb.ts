/** A number of a JSON text, as it is written there. */
export class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Parsed JSON whose numbers keep their text. */
export type ExactJson =
  | null
  | boolean
  | string
  | NumberText
  | readonly ExactJson[]
  | { readonly [name: string]: ExactJson };

/** Largest exponent of a number that is written without it, and so with as many digits. */
const EXPONENT_MAX = 1000;

/** Parses JSON without changing its numbers. */
export function parseExact(text: string): ExactJson {
  const keepNumber = (_: string, value: unknown, { source }: { source?: string } = {}): unknown =>
    typeof value === 'number' ? new NumberText(source ?? String(value)) : value;
  return JSON.parse(text, keepNumber);
}

/**
 * The text of a value as PostgreSQL prints it as `jsonb`: members sorted by the length of their names, then by their
 * bytes; numbers without exponents. Undefined for what `jsonb` cannot hold: U+0000, unpaired surrogates, huge numbers.
 */
export function jsonbText(value: ExactJson): string | undefined {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return stringText(value);
  if (value instanceof NumberText) return numericText(value.text);
  if (Array.isArray(value)) return joined('[', value.map(jsonbText), ']');
  const members = Object.entries(value as { readonly [name: string]: ExactJson })
    .map(([name, inner]) => ({ name: Buffer.from(name), text: stringText(name), inner: jsonbText(inner) }))
    .sort((one, other) => one.name.length - other.name.length || Buffer.compare(one.name, other.name))
    .map(({ text, inner }) => (text === undefined || inner === undefined ? undefined : `${text}: ${inner}`));
  return joined('{', members, '}');
}

function joined(start: string, parts: readonly (string | undefined)[], end: string): string | undefined {
  return parts.includes(undefined) ? undefined : `${start}${parts.join(', ')}${end}`;
}

function stringText(text: string): string | undefined {
  return text.includes('\0') || !text.isWellFormed() ? undefined : JSON.stringify(text);
}

/** A number as PostgreSQL prints `numeric`: all digits, with as many after the point as were given. */
export function numericText(source: string): string | undefined {
  const [, sign = '', whole = '', fraction = '', power = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source) ?? [];
  const exponent = Number(power);
  if (whole === '' || Math.abs(exponent) > EXPONENT_MAX) return undefined;
  const scale = Math.max(0, fraction.length - exponent);
  const digits = `${whole}${fraction}${'0'.repeat(Math.max(0, exponent - fraction.length))}`.padStart(
    scale + 1,
    '0',
  );
  const point = digits.length - scale;
  const before = digits.slice(0, point).replace(/^0+(?=\d)/, '');
  const text = scale === 0 ? before : `${before}.${digits.slice(point)}`;
  return /[1-9]/.test(digits) ? `${sign}${text}` : text;
}
