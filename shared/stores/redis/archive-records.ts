import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import { type LineRules, readLines } from '../../core/lines.ts';
import { LINE_BYTES_MAX } from '../entry-lines.ts';
import { readMembers } from './json-entry.ts';
import { expiryNameOf, parseEntryName } from './names.ts';
import { type KeyPart, STRING_BLOCK_BYTES } from './record.ts';
import { type ByteString, KEY_BYTES_MAX, type KeySpace, showKey } from './scope.ts';
import { decodePart } from './typed-lines.ts';

/** Maximum size of an expiry entry in bytes: it is held in memory along with the JSON entry it belongs to. */
const EXPIRY_ENTRY_BYTES_MAX = 64 * 1024 ** 2;

/** Position in an archive: an entry and the number of its records already read. */
export interface ArchivePosition {
  readonly entry: string;
  readonly records: number;
}

/** One record of an archive, and the position after it. */
export type ArchiveRecord = { readonly namespace: string; readonly next: ArchivePosition } & (
  | {
      readonly kind: 'json';
      readonly key: ByteString;
      readonly value: Buffer;
      readonly expiresAt: number | null;
    }
  | { readonly kind: 'part'; readonly part: KeyPart }
);

const expires_at = z.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const ExpiryLine = z.strictObject({ key: z.string(), expires_at });
/** Expiry time of all keys without a line of their own: only in views of archives that lack expiry times. */
const OthersExpiryLine = z.strictObject({ others: z.literal(true), expires_at });

/** Expiry times of the keys of one JSON entry, in ms since 1970. */
export interface Expiries {
  readonly byKey: ReadonlyMap<ByteString, number>;
  /** Of all other keys; null if they do not expire. */
  readonly others: number | null;
}

/**
 * Reads every record of an archive's key-value entries in order. Checks shape and limits, and that the key is in the
 * scope, so that a restore never writes outside it. Throws InvalidInputError that names the entry and the place within
 * it.
 */
export async function* readArchive(
  archive: EntryReader,
  space: KeySpace,
  from: ArchivePosition | null,
): AsyncGenerator<ArchiveRecord> {
  let started = from === null;
  for await (const entry of archive.entries('kv/')) {
    started ||= entry.name === from?.entry;
    if (!started) continue;
    const name = parseEntryName(entry.name);
    if (!name) throw wrong(entry.name, 'it is not an entry of a Redis store');
    if (name.form === 'expiry') continue;
    const skip = entry.name === from?.entry ? from.records : 0;
    let records = 0;
    const source =
      name.form === 'json'
        ? readJson(archive.open(entry), entry, await readExpiriesOf(archive, entry))
        : readTyped(archive, entry);
    for await (const record of source) {
      records++;
      const key = record.kind === 'json' ? record.key : record.part.key;
      requireKeyLength(entry.name, key);
      const namespace = space.namespaceOf(key);
      if (namespace === undefined) {
        throw wrong(entry.name, `key "${showKey(key)}" is not part of the target's scope`);
      }
      if (records > skip) yield { ...record, namespace, next: { entry: entry.name, records } };
    }
  }
}

/** Throws InvalidInputError for a key that is too long for a cursor. */
export function requireKeyLength(place: string, key: ByteString): void {
  if (key.length > KEY_BYTES_MAX)
    throw wrong(place, `a key has ${key.length} bytes, at most ${KEY_BYTES_MAX} are allowed`);
}

/** Line limits for splitting an entry. */
const LINES: LineRules = {
  bytesMax: LINE_BYTES_MAX,
  tooLong: () => new Error(`the line is longer than ${LINE_BYTES_MAX} bytes`),
};

/** The keys of a JSON entry. */
export async function* readJson(content: AsyncIterable<Uint8Array>, entry: IndexEntry, expiries: Expiries) {
  try {
    for await (const { key, value } of readMembers(content)) {
      const name = key.toString('latin1');
      yield {
        kind: 'json' as const,
        key: name,
        value,
        expiresAt: expiries.byKey.get(name) ?? expiries.others,
      };
    }
  } catch (error) {
    throw located(entry.name, error);
  }
}

/** The parts of a typed entry. */
export function readTyped(archive: EntryReader, entry: IndexEntry) {
  return parseTyped(archive.open(entry), entry);
}

/** The parts in the content of a typed entry. */
export async function* parseTyped(content: AsyncIterable<Uint8Array>, entry: IndexEntry) {
  let number = 0;
  try {
    for await (const line of readLines(content, LINES)) {
      number++;
      if (line === '') continue;
      const part = decodePart(line);
      const block = part.items[0]?.[0]?.length ?? 0;
      if (part.type === 'string' && !part.last && block !== STRING_BLOCK_BYTES) {
        throw new Error(`value: every line of a long string but the last has ${STRING_BLOCK_BYTES} bytes`);
      }
      yield { kind: 'part' as const, part };
    }
  } catch (error) {
    throw located(`${entry.name} line ${number}`, error);
  }
}

/** Expiry times for a JSON entry; none if the archive has no expiry entry for it. */
export async function readExpiriesOf(archive: EntryReader, json: IndexEntry): Promise<Expiries> {
  const entry = await archive.find(expiryNameOf(json.name));
  return entry ? readExpiries(archive, entry) : { byKey: new Map(), others: null };
}

/** The line of an expiry entry that applies to all keys without a line of their own. */
export function othersExpiryLine(expiresAt: number): Buffer {
  return Buffer.from(`${JSON.stringify({ others: true, expires_at: expiresAt })}\n`);
}

/** Expiry times of the keys of a JSON entry, in ms since 1970, from its expiry entry. */
export async function readExpiries(archive: EntryReader, entry: IndexEntry): Promise<Expiries> {
  const byKey = new Map<ByteString, number>();
  let others: number | null = null;
  if (entry.size > EXPIRY_ENTRY_BYTES_MAX) {
    throw wrong(entry.name, `it has ${entry.size} bytes, at most ${EXPIRY_ENTRY_BYTES_MAX} are allowed`);
  }
  let number = 0;
  try {
    for await (const line of readLines(archive.open(entry), LINES)) {
      number++;
      if (line === '') continue;
      const parsed = z.union([ExpiryLine, OthersExpiryLine]).parse(JSON.parse(line));
      if ('others' in parsed) others = parsed.expires_at;
      else byKey.set(Buffer.from(parsed.key, 'utf8').toString('latin1'), parsed.expires_at);
    }
  } catch (error) {
    throw located(
      `${entry.name} line ${number}`,
      error instanceof z.ZodError ? new Error('it has another shape') : error,
    );
  }
  return { byKey, others };
}

/** Passes on errors of the archive and the server; adds the place to errors about content. */
function located(place: string, error: unknown): unknown {
  if (error instanceof NgbakError || !(error instanceof Error)) return error;
  return wrong(place, error.message, error);
}

/** The error for content that makes the archive impossible to restore. */
export function wrong(place: string, problem: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(`The archive can't be restored: ${place}: ${problem}.`, {
    remedy:
      'Use an archive that ngbak created from a store of this kind and scope; docs/stores/redis.md has the format.',
    cause,
  });
}
