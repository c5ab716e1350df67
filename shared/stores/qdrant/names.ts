import { createHash } from 'node:crypto';
import { encodeNamePart } from '../../archive/format/names.ts';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';

/** Folder of the archive. */
export const FOLDER = 'vectors/';
/** Characters of an encoded name that an entry carries; an archive allows 512 bytes for a whole entry name. */
const PART_LENGTH_MAX = 400;
/** What the aliases start with that mark our snapshots. */
export const MARK = 'ngbak-snapshot.';
/** What the names of collections start with that a restore builds. */
const TEMPORARY = 'ngbak-restore.';

/**
 * A collection's name as part of an entry name; decodeURIComponent gives it back. A name that gets too long by it is
 * replaced by its hash, and stands in the collection's `.config.json` only.
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

/** Name of the entry that holds the `number`th run of points, from 1. */
export function pointsEntryName(collection: string, number: number): string {
  return `${FOLDER}${entryPart(collection)}.points-${String(number).padStart(5, '0')}.jsonl`;
}

const ENTRY = /^vectors\/(.+)\.(?:(snapshot)|(config)\.json|points-(\d{5,10})\.jsonl)$/s;

/** What an entry's name says about it; undefined if it is not an entry of ours. */
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

/** A folder of its own, which versions that do not know it leave unread (docs/format.md, "Versions"). */
function referencesPrefix(part: string): string {
  return `references/${FOLDER}${part}.references-`;
}

/** The part of entry names of the collection whose references an entry holds; undefined for other entries. */
export function parseReferencesName(name: string): string | undefined {
  return /^references\/vectors\/(.+)\.references-\d{5,10}\.jsonl$/s.exec(name)?.[1];
}

/** The entries that hold the references of one collection's snapshot, in order. */
export async function* referencesEntries(archive: EntryReader, part: string): AsyncGenerator<IndexEntry> {
  const prefix = referencesPrefix(part);
  for await (const entry of archive.entries(prefix)) {
    if (/^\d{5,10}\.jsonl$/.test(entry.name.slice(prefix.length))) yield entry;
  }
}

/** Name of the entry that holds the `number`th run of a snapshot's references, from 1. */
export function referencesEntryName(collection: string, number: number): string {
  return `${referencesPrefix(entryPart(collection))}${String(number).padStart(5, '0')}.jsonl`;
}

/** Name under which a restore builds a collection beside the one that readers use. */
export function temporaryName(collection: string, jobId: string): string {
  const hash = createHash('sha256').update(collection).digest('hex').slice(0, 16);
  return `${temporaryPrefix(jobId)}${hash}`;
}

/** What the names of all such collections of a job start with. */
export function temporaryPrefix(jobId: string): string {
  return `${TEMPORARY}${jobId}.`;
}

/** True for collections that a restore of ours is building, of any job. */
export function isTemporary(collection: string): boolean {
  return collection.startsWith(TEMPORARY);
}

/** What the scratch names of drills start with. */
export const SCRATCH = 'ngbak-drill.';

/** True for collections of drills. */
export function isScratch(collection: string): boolean {
  return collection.startsWith(SCRATCH);
}

/** True for names that only jobs of ours give, to aliases and collections that are removed again. */
export function isReserved(name: string): boolean {
  return name.startsWith(MARK) || name.startsWith(TEMPORARY);
}

/** File name of the snapshots that a restore uploads: Qdrant keeps an uploaded file until somebody deletes it. */
export function uploadName(jobId: string): string {
  return `${temporaryPrefix(jobId)}snapshot`;
}
