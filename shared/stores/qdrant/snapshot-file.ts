import { parse } from 'lossless-json';
import { ByteReader } from '../../archive/byte-reader.ts';
import { BLOCK, paddingOf } from '../../archive/tar.ts';
import type { EntryReader, IndexEntry } from '../../archive/types.ts';
import { IntegrityError } from '../../errors.ts';
import type { LegContext } from '../port.ts';
import { type ConfigView, viewConfig } from './collections.ts';

/** The file of a snapshot that says what the collection is, and the most bytes it may have. Real ones have some hundred. */
const CONFIG_NAME = 'config.json';
const CONFIG_BYTES_MAX = 4 * 1024 ** 2;

/**
 * Reads the configuration of the collection out of a bare snapshot; undefined where it holds none. A snapshot is a tar
 * file, in which Qdrant puts `config.json` behind the segments of the points (the server's version is not in it): so it
 * is read nearly to its end, in bounded memory, and no longer than the leg has time: then the log says so, and nothing is
 * known. Throws IntegrityError where it is no snapshot.
 */
export async function readSnapshotConfig(
  archive: EntryReader,
  entry: IndexEntry,
  collection: string,
  context: LegContext,
): Promise<ConfigView | undefined> {
  const reader = new ByteReader(archive.open(entry));
  try {
    for (;;) {
      const file = await nextFile(reader, entry.name);
      if (!file) return undefined;
      if (file.name === CONFIG_NAME) {
        if (file.size > CONFIG_BYTES_MAX) {
          throw strange(
            entry.name,
            `its ${CONFIG_NAME} has ${file.size} bytes; the limit is ${CONFIG_BYTES_MAX}`,
          );
        }
        const text = (await reader.take(file.size)).toString('utf8');
        return viewConfig(collection, parseJson(text, entry.name));
      }
      if (!(await passOver(reader, file.size + paddingOf(file.size), context))) {
        context.log('There was no time to look for the size of its vectors in a snapshot.', { collection });
        return undefined;
      }
    }
  } finally {
    await reader.close();
  }
}

/**
 * The next file of a tar, as Qdrant writes them: plain and GNU sparse ones, of which the size is that of what is stored
 * (GNU tar manual, "Basic Tar Format" and "Storing Sparse Files"). Extended headers are files to us: no name that is looked for needs one.
 */
async function nextFile(reader: ByteReader, where: string): Promise<{ name: string; size: number } | null> {
  const block = await reader.take(BLOCK);
  if (block.length === 0 || block.every((byte) => byte === 0)) return null;
  const size = block.length === BLOCK ? sizeOf(block) : Number.NaN;
  if (!Number.isSafeInteger(size) || block.toString('latin1', 257, 262) !== 'ustar') {
    throw strange(where, 'it is no tar file');
  }
  // Where a sparse file has more pieces than its header holds, further blocks list them.
  if (block[156] === 'S'.charCodeAt(0) && block[482] === 1) {
    while ((await reader.take(BLOCK))[504] === 1);
  }
  const end = block.indexOf(0);
  return { name: block.toString('utf8', 0, Math.min(end, 100)), size };
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

/** False where the time is up before the end of the file. */
async function passOver(reader: ByteReader, size: number, context: LegContext): Promise<boolean> {
  for await (const _chunk of reader.stream(size)) {
    context.signal.throwIfAborted();
    if (context.timeLeft() <= 0) return false;
  }
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
    remedy: 'Take another copy of this backup, or leave out the vectors.',
  });
}
