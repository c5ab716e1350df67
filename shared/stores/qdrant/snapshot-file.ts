import { parse } from 'lossless-json';
import { ByteReader } from '../../archive/byte-reader.ts';
import { BLOCK, paddingOf } from '../../archive/tar.ts';
import type { EntryReader, IndexEntry } from '../../archive/types.ts';
import { IntegrityError } from '../../errors.ts';
import type { LegContext } from '../port.ts';
import { type ConfigView, type Lossless, viewConfig } from './collections.ts';

/** The file of a snapshot that says what the collection is, and the most bytes it may have. Real ones have some hundred. */
const CONFIG_NAME = 'config.json';
const CONFIG_BYTES_MAX = 4 * 1024 ** 2;
/** Longest that one snapshot is looked through, in milliseconds: inspections have more to do. */
const LOOK_MS_MAX = 3 * 60_000;
/** A segment, which is a tar file within the snapshot (Qdrant from 1.7 on). */
const SEGMENT = /(^|\/)segments\/[^/]+\.tar$/;
/** A file that only segments in RocksDB have. */
const ROCKS_DB = /(^|\/)(CURRENT|MANIFEST-\d+|\d+\.sst)$/;

/** What a snapshot says of itself. */
export interface SnapshotContent {
  /** Configuration of the collection; absent where the snapshot holds none. */
  readonly config?: Lossless;
  readonly view?: ConfigView;
  /** Segments. */
  readonly segments: number;
  /** Whether a segment is stored in RocksDB, which Qdrant reads until 1.16 only. */
  readonly rocksDb: boolean;
}

/**
 * Looks through a snapshot: a tar file whose segments are tar files as well, in which Qdrant puts `config.json` behind
 * the segments (the server's version is not in it). So it is read to its end, in bounded memory, and no longer than there
 * is time: then the log says so, and the result is undefined. Throws IntegrityError where it is no snapshot, or breaks off.
 */
export async function readSnapshot(
  archive: EntryReader,
  entry: IndexEntry,
  collection: string,
  context: LegContext,
): Promise<SnapshotContent | undefined> {
  const reader = new ByteReader(archive.open(entry));
  const end = Date.now() + LOOK_MS_MAX;
  const look: Look = {
    reader,
    where: entry.name,
    isOver: () => {
      context.signal.throwIfAborted();
      return context.timeLeft() <= 0 || Date.now() >= end;
    },
  };
  let content: SnapshotContent = { segments: 0, rocksDb: false };
  try {
    for (;;) {
      const file = await nextFile(look);
      if (!file) return content;
      if (file.name === CONFIG_NAME) {
        if (file.size > CONFIG_BYTES_MAX) {
          throw strange(
            entry.name,
            `its ${CONFIG_NAME} has ${file.size} bytes; the limit is ${CONFIG_BYTES_MAX}`,
          );
        }
        const text = (await reader.take(file.size)).toString('utf8');
        const config = parseJson(text, entry.name);
        content = { ...content, config, view: viewConfig(collection, config) };
        if (!(await passOver(look, paddingOf(file.size)))) break;
        continue;
      }
      if (SEGMENT.test(file.name) && !file.sparse) {
        const rocksDb = await lookIntoSegment(look, file);
        if (rocksDb === undefined) break;
        content = { ...content, segments: content.segments + 1, rocksDb: content.rocksDb || rocksDb };
        if (!(await passOver(look, paddingOf(file.size)))) break;
      } else if (!(await passOver(look, file.size + paddingOf(file.size)))) break;
    }
    context.log('There was no time to look through a snapshot.', { collection });
    return undefined;
  } finally {
    await reader.close();
  }
}

interface Look {
  readonly reader: ByteReader;
  /** Name of the entry. */
  readonly where: string;
  isOver(): boolean;
}

interface TarFile {
  readonly name: string;
  readonly size: number;
  /** Stored without its holes, so that its bytes are not its content. */
  readonly sparse: boolean;
}

/** Whether a segment is stored in RocksDB; undefined where the time is up. Steps over exactly its bytes. */
async function lookIntoSegment(look: Look, segment: TarFile): Promise<boolean | undefined> {
  const end = look.reader.position + segment.size;
  let rocksDb = false;
  while (look.reader.position < end) {
    const file = await nextFile(look);
    // Two empty blocks and padding end a tar.
    if (!file) return (await passOver(look, end - look.reader.position)) ? rocksDb : undefined;
    rocksDb ||= ROCKS_DB.test(file.name);
    const length = file.size + paddingOf(file.size);
    if (look.reader.position + length > end) throw strange(look.where, `its ${segment.name} breaks off`);
    if (!(await passOver(look, length))) return undefined;
  }
  return rocksDb;
}

/**
 * The next file of a tar, as Qdrant writes them: plain and GNU sparse ones, of which the size is that of what is stored
 * (GNU tar manual, "Basic Tar Format" and "Storing Sparse Files"). Extended headers are files to us: no name that is looked for needs one.
 */
async function nextFile({ reader, where }: Look): Promise<TarFile | null> {
  const block = await reader.take(BLOCK);
  if (block.length === 0 || block.every((byte) => byte === 0)) return null;
  const size = block.length === BLOCK ? sizeOf(block) : Number.NaN;
  if (!Number.isSafeInteger(size) || block.toString('latin1', 257, 262) !== 'ustar') {
    throw strange(where, 'it is no tar file');
  }
  // Where a sparse file has more pieces than its header holds, further blocks list them.
  const sparse = block[156] === 'S'.charCodeAt(0);
  if (sparse && block[482] === 1) {
    while ((await reader.take(BLOCK))[504] === 1);
  }
  const end = block.indexOf(0);
  return { name: block.toString('utf8', 0, end < 0 ? 100 : Math.min(end, 100)), size, sparse };
}

/** Octal digits, or for 8 GiB and more a binary number. */
function sizeOf(block: Buffer): number {
  const field = block.subarray(124, 136);
  if ((field[0] ?? 0) & 0x80) return Number(field.readBigUInt64BE(4));
  const digits = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

/** False where the time is up before the end of the file. Throws IntegrityError where the snapshot ends before. */
async function passOver({ reader, where, isOver }: Look, size: number): Promise<boolean> {
  let passed = 0;
  for await (const chunk of reader.stream(size)) {
    passed += chunk.length;
    if (isOver()) return false;
  }
  if (passed < size) throw strange(where, 'it breaks off in the middle of a file');
  return true;
}

function parseJson(text: string, where: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw strange(where, `its ${CONFIG_NAME} is not JSON`);
  }
}

function strange(where: string, problem: string): IntegrityError {
  return new IntegrityError(`Entry ${where} is no snapshot of a Qdrant collection: ${problem}.`, {
    remedy: 'Use another copy of the archive, or leave out the vectors.',
  });
}
