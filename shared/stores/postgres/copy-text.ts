/**
 * Rows in the text format of COPY: fields are separated by tabs, `\N` is null, and a backslash escapes what would be
 * ambiguous, so that a row is always one line.
 */
const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
};

/** The fields of a row, as they are in its line. */
export function fieldsOf(line: string): string[] {
  return line.split('\t');
}

/** The value of a field: null, or PostgreSQL's text of it. */
export function textOf(field: string): string | null {
  if (field === '\\N') return null;
  if (!field.includes('\\')) return field;
  return field.replaceAll(/\\(.)/gs, (_, code: string) => ESCAPES[code] ?? code);
}

/** A text as the field of a row, exactly as PostgreSQL writes it. */
export function fieldOf(text: string): string {
  return text.replaceAll(/[\b\f\n\r\t\v\\]/g, (character) => `\\${CODES.get(character) ?? character}`);
}

const CODES = new Map(Object.entries(ESCAPES).map(([code, character]) => [character, code]));

/** Why a line is not a row of that many columns as PostgreSQL writes it; undefined if it is. */
export function rowProblem(line: string, columns: number): string | undefined {
  let fields = 1;
  for (let at = line.indexOf('\t'); at >= 0; at = line.indexOf('\t', at + 1)) fields++;
  if (fields !== columns) return `has ${fields} fields instead of ${columns}`;
  if (/[\r\b\f\v]/.test(line)) return 'contains a control character that is not escaped';
  for (let at = line.indexOf('\\'); at >= 0; at = line.indexOf('\\', at + 2)) {
    const code = line[at + 1] ?? '';
    if (Object.hasOwn(ESCAPES, code)) continue;
    const isNull = code === 'N' && isEdge(line[at - 1]) && isEdge(line[at + 2]);
    if (!isNull) return 'contains an invalid escape';
  }
  return undefined;
}

function isEdge(character: string | undefined): boolean {
  return character === undefined || character === '\t';
}

/** Removes the fields of some columns, given by their positions. */
export function withoutFields(line: string, positions: ReadonlySet<number>): string {
  return fieldsOf(line)
    .filter((_, position) => !positions.has(position))
    .join('\t');
}
