import { createHash } from 'node:crypto';
import { encodeNamePart } from '../../archive/format/names.ts';

/** Prefix of schemas and tables of ngbak, which never belong to a scope. */
export const RESERVED = 'ngbak_';
/** The definitions of all tables, one line each. The first entry of the store. */
export const TABLES_ENTRY = 'kv/tables.jsonl';
/** The state of all sequences, one line each. The last entry of the store. */
export const SEQUENCES_ENTRY = 'kv/sequences.jsonl';
export const ROWS_FOLDER = 'kv/rows/';
/** In the schema of a load: which of its units are done. */
export const UNITS_TABLE = `${RESERVED}units`;

/** `kv/rows/<table>-00001.copy`. */
export function rowsEntry(table: string, number: number): string {
  return `${ROWS_FOLDER}${encodeNamePart(table)}-${String(number).padStart(5, '0')}.copy`;
}

/** The table of an entry with rows; undefined for other entries. */
export function tableOfEntry(name: string): string | undefined {
  const part = /^kv\/rows\/([a-z0-9._%-]+)-\d{5,}\.copy$/.exec(name)?.[1];
  if (part === undefined) return undefined;
  try {
    const table = decodeURIComponent(part);
    return encodeNamePart(table) === part ? table : undefined;
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

/** The schema into which a job loads before it replaces the tables of the scope. */
export function stagingSchema(jobId: string): string {
  return `${RESERVED}load_${digest(jobId)}`;
}

const DRILL = `${RESERVED}drill_`;

/** The schema of a drill's tables. */
export function drillSchema(id: string): string {
  return `${DRILL}${digest(id)}`;
}

export function isDrillSchema(schema: string): boolean {
  return schema.startsWith(DRILL);
}

function digest(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 24);
}

/** A name in a statement. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A table or sequence in a statement. */
export function qualified(schema: string, name: string): string {
  return `${quoteName(schema)}.${quoteName(name)}`;
}

/** A text in a statement: `standard_conforming_strings` is on. */
export function quoteText(text: string): string {
  return text.includes('\\')
    ? `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;
}
