import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { damagedArchive, type IntegrityError } from '../../core/errors.ts';
import { compareIds, type PointText, parsePointLine } from './point-text.ts';
import type { PointFilter } from './points.ts';

/** Bytes that one points entry may have: several times what an export writes, for points that are large themselves. */
const CHUNK_BYTES_MAX = 256 * 1024 ** 2;

/**
 * Reads the points of one entry, checked: each line is one point and nothing else, ids ascend, and every point belongs
 * to the filter's part, so that no archive can write outside of the scope. Throws IntegrityError that names the entry.
 */
export function readArchivedPoints(
  archive: EntryReader,
  entry: IndexEntry,
  filter: PointFilter | null,
): AsyncGenerator<PointText> {
  return parsePoints(archive.open(entry), entry, filter);
}

/** The points in the content of an entry, checked as {@link readArchivedPoints} does. */
export async function* parsePoints(
  content: AsyncIterable<Uint8Array>,
  entry: IndexEntry,
  filter: PointFilter | null,
): AsyncGenerator<PointText> {
  if (entry.size > CHUNK_BYTES_MAX)
    throw bad(entry, `has ${entry.size} bytes; the limit is ${CHUNK_BYTES_MAX}`);
  let last: string | undefined;
  let number = 0;
  // Split by hand: node:readline would also split at U+2028, which stands unescaped in Qdrant's strings.
  for await (const line of splitLines(content)) {
    number++;
    let point: PointText;
    try {
      point = parsePointLine(line);
    } catch (cause) {
      throw bad(entry, `has no point in line ${number}`, cause);
    }
    if (last !== undefined && compareIds(last, point.id) >= 0)
      throw bad(entry, `is not in order of ids at line ${number}`);
    if (filter && !belongsTo(point, filter)) {
      throw bad(
        entry,
        `has a point in line ${number} (${point.id}) that does not belong to ${filter.key} ${JSON.stringify(filter.value)}`,
      );
    }
    last = point.id;
    yield point;
  }
}

/** Whether the payload has the filter's value at its key (a path with dots), or an array with it, as Qdrant matches. */
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

/** Lines of text, split at line feeds and nowhere else. */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
      yield Buffer.concat([...rest, bytes.subarray(start, end)]).toString('utf8');
      rest = [];
      start = end + 1;
    }
    // A copy: the reader may use its buffer again.
    if (start < bytes.length) rest.push(Buffer.from(bytes.subarray(start)));
  }
  if (rest.length > 0) yield Buffer.concat(rest).toString('utf8');
}

function bad(entry: IndexEntry, problem: string, cause?: unknown): IntegrityError {
  return damagedArchive(`Entry ${entry.name} of the archive ${problem}.`, cause);
}
