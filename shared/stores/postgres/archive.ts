import type { EntryReader } from '../../archive/format/types.ts';
import { damagedArchive } from '../../core/errors.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import { TABLES_MAX } from './catalog.ts';
import { parseSequence, parseTable, type SequenceState, type TableDefinition } from './definition.ts';
import { SEQUENCES_ENTRY, TABLES_ENTRY } from './names.ts';

/** Maximum size of an entry with definitions or sequences, in bytes: it is held in memory. */
export const DEFINITIONS_BYTES_MAX = 16 * 1024 ** 2;

/** Reads the definitions of all tables in an archive; empty if it has none. */
export function definitionsOf(archive: EntryReader): Promise<TableDefinition[]> {
  return recordsOf(archive, TABLES_ENTRY, TABLES_MAX, parseTable);
}

/** Reads the states of all sequences in an archive. */
export function sequencesOf(archive: EntryReader): Promise<SequenceState[]> {
  return recordsOf(archive, SEQUENCES_ENTRY, TABLES_MAX * 100, parseSequence);
}

async function recordsOf<T>(
  archive: EntryReader,
  name: string,
  most: number,
  parse: (line: string) => T,
): Promise<T[]> {
  const entry = await archive.find(name);
  if (!entry) return [];
  if (entry.size > DEFINITIONS_BYTES_MAX) throw damagedArchive(`${name} is too large.`);
  const records: T[] = [];
  for await (const line of linesOf(archive.open(entry), entry)) {
    records.push(parseNamed(line, parse, entry, records.length + 1));
    if (records.length > most) throw damagedArchive(`${name} has more than ${most} lines.`);
  }
  return records;
}
