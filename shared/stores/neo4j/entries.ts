import { setImmediate as letOthersWork } from 'node:timers/promises';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import {
  type NodeLine,
  parseNodeLine,
  parseRelationshipLine,
  type RelationshipLine,
  readTexts,
} from './lines.ts';
import { parseSchemaLine, SCHEMA_ROWS_MAX, type SchemaRow } from './schema.ts';

/** Records per batch: loaded in one transaction, or looked up in one query. */
const BATCH_RECORDS = 2000;
/** Bytes of lines per batch; a longer line forms a batch by itself. */
const BATCH_BYTES = 4 * 1024 ** 2;
/**
 * Records processed without yielding, one or two milliseconds: in between, responses of the server are handled;
 * otherwise the server would be idle while the next batch is prepared.
 */
export const SLICE_RECORDS = 100;
/** Prefixes of the names of entries. */
export const NODES_PREFIX = 'graph/nodes-';
export const RELATIONSHIPS_PREFIX = 'graph/relationships-';
export const DANGLING_PREFIX = 'graph/dangling-';
/** The name of the entry with constraints and indexes. */
export const SCHEMA_ENTRY = 'graph/schema.jsonl';

/** Position in the entries of one kind. */
export interface EntryPosition {
  /** Entry of the next line; null before the first. */
  readonly entry: string | null;
  /** Index of the next line within it, from 0. */
  readonly line: number;
}

export const START: EntryPosition = { entry: null, line: 0 };

/** Records that are loaded or compared together; a batch never spans entries, so batches are the same in every leg. */
export interface Batch<T> {
  readonly records: readonly T[];
  /** Position after this batch. */
  readonly next: EntryPosition;
}

/** The nodes of an archive from a position on, in batches. Throws InvalidInputError that names entry and line. */
export function nodeBatches(archive: EntryReader, from: EntryPosition): AsyncGenerator<Batch<NodeLine>> {
  return batches(archive, NODES_PREFIX, from, parseNodeLine);
}

/** The relationships of an archive from a position on, in batches. */
export function relationshipBatches(
  archive: EntryReader,
  from: EntryPosition,
): AsyncGenerator<Batch<RelationshipLine>> {
  return batches(archive, RELATIONSHIPS_PREFIX, from, parseRelationshipLine);
}

/** The texts in one property of all nodes or relationships of a checked archive, in batches. */
export async function* textBatches(
  archive: EntryReader,
  thing: 'nodes' | 'relationships',
  property: string,
): AsyncGenerator<readonly string[]> {
  const all = batches(archive, `graph/${thing}-`, START, (line) => readTexts(line, property));
  for await (const { records } of all) yield records.flat();
}

/** The dangling relationships of an archive from a position on, in batches. */
export function danglingBatches(
  archive: EntryReader,
  from: EntryPosition,
): AsyncGenerator<Batch<RelationshipLine>> {
  return batches(archive, DANGLING_PREFIX, from, parseRelationshipLine);
}

/** The constraints and indexes of the archive; undefined if it has no schema entry. */
export async function readArchivedSchema(archive: EntryReader): Promise<SchemaRow[] | undefined> {
  const entry = await archive.find(SCHEMA_ENTRY);
  if (!entry) return undefined;
  const rows: SchemaRow[] = [];
  for await (const batch of entryBatches(archive, entry, 0, parseSchemaLine)) {
    rows.push(...batch.records);
    requireSchemaRows(rows.length);
  }
  return rows;
}

/** Throws InvalidInputError if the schema entry has too many lines. */
export function requireSchemaRows(count: number): void {
  if (count <= SCHEMA_ROWS_MAX) return;
  throw new InvalidInputError(`${SCHEMA_ENTRY} has more than ${SCHEMA_ROWS_MAX} lines.`, {
    remedy: ANOTHER_ARCHIVE,
  });
}

async function* batches<T>(
  archive: EntryReader,
  prefix: string,
  from: EntryPosition,
  parse: (line: string) => T,
): AsyncGenerator<Batch<T>> {
  let reached = from.entry === null;
  for await (const entry of archive.entries(prefix)) {
    const isFirst = entry.name === from.entry;
    reached ||= isFirst;
    if (reached) yield* entryBatches(archive, entry, isFirst ? from.line : 0, parse);
  }
  if (!reached) {
    throw new InvalidInputError(`The archive has no entry ${from.entry}, which the restore had reached.`, {
      remedy: 'Start the restore again: the archive has changed since it was started.',
    });
  }
}

async function* entryBatches<T>(
  archive: EntryReader,
  entry: IndexEntry,
  skip: number,
  parse: (line: string) => T,
): AsyncGenerator<Batch<T>> {
  let records: T[] = [];
  let bytes = 0;
  let line = 0;
  for await (const text of linesOf(archive.open(entry), entry)) {
    line++;
    if (line <= skip) continue;
    if (line % SLICE_RECORDS === 0) await letOthersWork();
    records.push(parseNamed(text, parse, entry, line));
    bytes += text.length;
    if (records.length >= BATCH_RECORDS || bytes >= BATCH_BYTES) {
      yield { records, next: { entry: entry.name, line } };
      records = [];
      bytes = 0;
    }
  }
  if (records.length > 0) yield { records, next: { entry: entry.name, line } };
}

/** Reads and parses the next batch while the current one is processed by the server. */
export async function* readAhead<T>(batches: AsyncGenerator<Batch<T>>): AsyncGenerator<Batch<T>> {
  let next = Promise.allSettled([batches.next()]);
  try {
    for (;;) {
      const [read] = await next;
      if (read.status === 'rejected') throw read.reason;
      if (read.value.done) return;
      next = Promise.allSettled([batches.next()]);
      yield read.value.value;
    }
  } finally {
    await next;
    await batches.return(undefined);
  }
}
