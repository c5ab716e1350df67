import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { damagedArchive, type IntegrityError } from '../../core/errors.ts';
import { readLines } from '../../core/lines.ts';
import { compareIds, type PointText, parsePointLine } from './point-text.ts';
import type { PointFilter } from './points.ts';

/**
 * Maximum size of a points entry in bytes: several times what an export writes, to allow for points that are large
 * themselves.
 */
const CHUNK_BYTES_MAX = 256 * 1024 ** 2;

/**
 * Reads and validates the points of one entry: each line is exactly one point, IDs ascend, and every point matches the
 * filter, so that no archive can write outside of the scope. Throws IntegrityError, naming the entry.
 */
export function readArchivedPoints(
  archive: EntryReader,
  entry: IndexEntry,
  filter: PointFilter | null,
): AsyncGenerator<PointText> {
  return parsePoints(archive.open(entry), entry, filter);
}

/** Parses the points in the content of an entry, and validates them like {@link readArchivedPoints}. */
export async function* parsePoints(
  content: AsyncIterable<Uint8Array>,
  entry: IndexEntry,
  filter: PointFilter | null,
): AsyncGenerator<PointText> {
  if (entry.size > CHUNK_BYTES_MAX)
    throw damagedEntry(entry, `has ${entry.size} bytes; the limit is ${CHUNK_BYTES_MAX}`);
  let last: string | undefined;
  let number = 0;
  // Not node:readline, which also splits at U+2028; Qdrant does not escape that character in strings.
  for await (const line of pointLines(content, entry)) {
    number++;
    let point: PointText;
    try {
      point = parsePointLine(line);
    } catch (cause) {
      throw damagedEntry(entry, `has no point in line ${number}`, cause);
    }
    if (last !== undefined && compareIds(last, point.id) >= 0)
      throw damagedEntry(entry, `is not in order of ids at line ${number}`);
    if (filter && !belongsTo(point, filter)) {
      throw damagedEntry(
        entry,
        `has a point in line ${number} (${point.id}) that does not belong to ${filter.key} ${JSON.stringify(filter.value)}`,
      );
    }
    last = point.id;
    yield point;
  }
}

/**
 * Whether the payload has the filter's value at its key (a path with dots), or an array that contains it, as Qdrant
 * matches.
 */
function belongsTo({ raw }: PointText, { key, value }: PointFilter): boolean {
  const { payload } = JSON.parse(raw) as { payload?: unknown };
  let found: unknown = payload;
  for (const step of key.split('.')) {
    found =
      typeof found === 'object' && found !== null && Object.hasOwn(found, step)
        ? Reflect.get(found, step)
        : undefined;
  }
  return Array.isArray(found) ? found.includes(value) : found === value;
}

/** Splits the content of a points entry into lines. */
export function pointLines(content: AsyncIterable<Uint8Array>, entry: IndexEntry): AsyncGenerator<string> {
  return readLines(content, {
    bytesMax: CHUNK_BYTES_MAX,
    tooLong: () => damagedEntry(entry, `has a line of more than ${CHUNK_BYTES_MAX} bytes`),
  });
}

function damagedEntry(entry: IndexEntry, problem: string, cause?: unknown): IntegrityError {
  return damagedArchive(`Entry ${entry.name} of the archive ${problem}.`, cause);
}
