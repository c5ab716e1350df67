import { createHash } from 'node:crypto';
import { encodeNamePart } from '../../archive/format/names.ts';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';

/** Folder of the archive. */
export const FOLDER = 'vectors/';
/**
 * Maximum number of characters of an encoded name in an entry name; an archive allows 512 bytes for a whole entry name.
 */
const PART_LENGTH_MAX = 400;
/** Prefix of the aliases that mark our snapshots. */
export const MARK = 'ngbak-snapshot.';
/** Prefix of the names of temporary collections that a restore creates. */
const TEMPORARY = 'ngbak-restore.';

/**
 * Encodes a collection's name for use in an entry name; decodeURIComponent decodes it. If the result is too long, it is
 * replaced by a hash, and the name itself is recorded only in the collection's `.config.json`.
 */
export function entryPart(collection: string): string {
  const part = encodeNamePart(collection);
  if (part.length <= PART_LENGTH_MAX) return part;
  return `sha256-${createHash('sha256').update(collection).digest('hex')}`;
}

export function configEntryName(collection: string): string {
  return `${FOLDER}${entryPart(collection)}.config.json`;
}

export function snapshotEntryName(collection: string): string {
  return `${FOLDER}${entryPart(collection)}.snapshot`;
}

/** Name of the entry that contains the `number`th batch of points, counting from 1. */
export function pointsEntryName(collection: string, number: number): string {
  return `${FOLDER}${entryPart(collection)}.points-${String(number).padStart(5, '0')}.jsonl`;
}

const ENTRY = /^vectors\/(.+)\.(?:(snapshot)|(config)\.json|points-(\d{5,10})\.jsonl)$/s;

/** Parses an entry name; undefined if it does not belong to this store. */
export function parseEntryName(
  name: string,
):
  | { part: string; kind: 'snapshot' | 'config' }
  | { part: string; kind: 'points'; number: number }
  | undefined {
  const match = ENTRY.exec(name);
  const part = match?.[1];
  if (!match || part === undefined) return undefined;
  if (match[2] !== undefined) return { part, kind: 'snapshot' };
  if (match[3] !== undefined) return { part, kind: 'config' };
  return { part, kind: 'points', number: Number(match[4]) };
}

/** The points entries of one collection, in order. */
export async function* pointsEntries(archive: EntryReader, part: string): AsyncGenerator<IndexEntry> {
  for await (const entry of archive.entries(`${FOLDER}${part}.points-`)) {
    const parsed = parseEntryName(entry.name);
    if (parsed?.kind === 'points' && parsed.part === part) yield entry;
  }
}

/** A separate folder, which versions that do not know it ignore (docs/format.md, "Versions"). */
function referencesPrefix(part: string): string {
  return `references/${FOLDER}${part}.references-`;
}

/** The encoded name of the collection whose references an entry contains; undefined for other entries. */
export function parseReferencesName(name: string): string | undefined {
  return /^references\/vectors\/(.+)\.references-\d{5,10}\.jsonl$/s.exec(name)?.[1];
}

/** The entries with the references of one collection's snapshot, in order. */
export async function* referencesEntries(archive: EntryReader, part: string): AsyncGenerator<IndexEntry> {
  const prefix = referencesPrefix(part);
  for await (const entry of archive.entries(prefix)) {
    if (/^\d{5,10}\.jsonl$/.test(entry.name.slice(prefix.length))) yield entry;
  }
}

/** Name of the entry that contains the `number`th batch of a snapshot's references, counting from 1. */
export function referencesEntryName(collection: string, number: number): string {
  return `${referencesPrefix(entryPart(collection))}${String(number).padStart(5, '0')}.jsonl`;
}

/** Name under which a restore builds a temporary collection next to the one in use. */
export function temporaryName(collection: string, jobId: string): string {
  const hash = createHash('sha256').update(collection).digest('hex').slice(0, 16);
  return `${temporaryPrefix(jobId)}${hash}`;
}

/** Prefix of the names of all such collections of a job. */
export function temporaryPrefix(jobId: string): string {
  return `${TEMPORARY}${jobId}.`;
}

/** Whether a collection is a temporary one that a restore by any ngbak job is building. */
export function isTemporary(collection: string): boolean {
  return collection.startsWith(TEMPORARY);
}

/** Prefix of the scratch names of drills. */
export const SCRATCH = 'ngbak-drill.';

/** Whether a collection belongs to a drill. */
export function isScratch(collection: string): boolean {
  return collection.startsWith(SCRATCH);
}

/** Whether a name is reserved for the temporary aliases and collections of ngbak jobs. */
export function isReserved(name: string): boolean {
  return name.startsWith(MARK) || name.startsWith(TEMPORARY);
}

/** File name of the snapshots that a restore uploads. Qdrant keeps uploaded files until a client deletes them. */
export function uploadName(jobId: string): string {
  return `${temporaryPrefix(jobId)}snapshot`;
}
