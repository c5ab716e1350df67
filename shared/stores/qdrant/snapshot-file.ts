import { parse } from 'lossless-json';
import { z } from 'zod';
import { BLOCK, paddingOf } from '../../archive/format/tar.ts';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { IntegrityError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
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
 * Looks through a snapshot, no longer than there is time: then the log says so, and the result is undefined. Throws
 * IntegrityError if it is not a snapshot, or is truncated.
 */
export async function readSnapshot(
  archive: EntryReader,
  entry: IndexEntry,
  collection: string,
  context: LegContext,
): Promise<SnapshotContent | undefined> {
  const walk = new SnapshotWalk(entry.name, collection);
  const end = Date.now() + LOOK_MS_MAX;
  for await (const chunk of archive.open(entry)) {
    context.signal.throwIfAborted();
    walk.write(chunk);
    if (context.timeLeft() > 0 && Date.now() < end) continue;
    context.log('There was no time to examine a snapshot.', { collection });
    return undefined;
  }
  return walk.end();
}

/** A file within the segment that is being read ends a segment where `end` is reached. */
const Segment = z.object({ name: z.string(), end: z.number(), padding: z.number(), rocksDb: z.boolean() });

const WalkState = z.object({
  /** What the next bytes are: a header, a further header of a sparse file, the configuration, or nothing of interest. */
  part: z.enum(['header', 'further-header', 'config', 'skipped', 'end']),
  /** Bytes of this part that are still to come. */
  left: z.number(),
  /** Bytes of it that have come, where they are needed. */
  held: z.base64(),
  /** Bytes of the snapshot so far. */
  position: z.number(),
  file: z.object({ name: z.string(), size: z.number(), sparse: z.boolean() }).nullable(),
  segment: Segment.nullable(),
  segments: z.number(),
  rocksDb: z.boolean(),
  config: z.string().nullable(),
});
type WalkState = z.infer<typeof WalkState>;

/**
 * Walks through a snapshot as its bytes go by: a tar file whose segments are tar files as well, in which Qdrant puts
 * `config.json` behind the segments (the server's version is not in it). Holds one header or the configuration; its
 * state can be saved between any two chunks.
 */
export class SnapshotWalk {
  readonly #where: string;
  readonly #collection: string;
  readonly #state: Omit<WalkState, 'held'>;
  #held: Buffer[];

  /** @param from what {@link save} returned */
  constructor(where: string, collection: string, from?: unknown) {
    const state = from === undefined ? START : WalkState.parse(from);
    this.#where = where;
    this.#collection = collection;
    this.#state = { ...state };
    this.#held = state.held === '' ? [] : [Buffer.from(state.held, 'base64')];
  }

  save(): WalkState {
    return { ...this.#state, held: Buffer.concat(this.#held).toString('base64') };
  }

  /** Whether the end of the tar has been read. */
  get #isOver(): boolean {
    return this.#state.part === 'end';
  }

  /** Takes in the next bytes. Throws IntegrityError if this is not a snapshot. */
  write(chunk: Uint8Array): void {
    const state = this.#state;
    for (let at = 0; at < chunk.length && !this.#isOver; ) {
      const taken = chunk.subarray(at, at + state.left);
      at += taken.length;
      state.position += taken.length;
      state.left -= taken.length;
      // A copy: the chunk may belong to a buffer that its owner uses again.
      if (state.part !== 'skipped') this.#held.push(Buffer.from(taken));
      while (state.left === 0 && !this.#isOver) this.#finishPart();
    }
  }

  /** What the snapshot holds, after its last byte. Throws IntegrityError if it is truncated. */
  end(): SnapshotContent {
    const { part, left, segment, segments, rocksDb, config: text } = this.#state;
    const isBetweenFiles = part === 'header' && left === BLOCK && segment === null;
    if (part !== 'end' && !isBetweenFiles) {
      throw strange(
        this.#where,
        part === 'header' && segment === null ? 'it is not a tar file' : 'it ends in the middle of a file',
      );
    }
    if (text === null) return { segments, rocksDb };
    const config = parseJson(text, this.#where);
    return { segments, rocksDb, config, view: viewConfig(this.#collection, config) };
  }

  #finishPart(): void {
    const state = this.#state;
    const held = Buffer.concat(this.#held);
    this.#held = [];
    switch (state.part) {
      case 'header':
        this.#takeHeader(held);
        return;
      case 'further-header':
        // Where a sparse file has more pieces than its header holds, further blocks list them.
        if (held[504] === 1) state.left = BLOCK;
        else this.#enter();
        return;
      case 'config':
        state.config = held.toString('utf8');
        parseJson(state.config, this.#where);
        this.#skip(paddingOf(held.length));
        return;
      default:
        this.#next();
    }
  }

  /** After a file: the next one, or the end of the segment that it was in. */
  #next(): void {
    const state = this.#state;
    const { segment } = state;
    if (segment === null || state.position < segment.end) {
      state.part = 'header';
      state.left = BLOCK;
      return;
    }
    state.segment = null;
    state.segments++;
    state.rocksDb ||= segment.rocksDb;
    this.#skip(segment.padding);
  }

  #skip(bytes: number): void {
    this.#state.part = 'skipped';
    this.#state.left = bytes;
  }

  /** Plain and GNU sparse files (GNU tar manual, "Basic Tar Format", "Storing Sparse Files"). Extended headers are files to us. */
  #takeHeader(block: Buffer): void {
    const state = this.#state;
    if (block.every((byte) => byte === 0)) {
      // Two empty blocks and padding end a tar.
      if (state.segment === null) state.part = 'end';
      else this.#skip(Math.max(0, state.segment.end - state.position));
      return;
    }
    const size = sizeOf(block);
    if (!Number.isSafeInteger(size) || block.toString('latin1', 257, 262) !== 'ustar') {
      throw strange(this.#where, 'it is not a tar file');
    }
    const sparse = block[156] === 'S'.charCodeAt(0);
    const end = block.indexOf(0);
    state.file = { name: block.toString('utf8', 0, end < 0 ? 100 : Math.min(end, 100)), size, sparse };
    if (sparse && block[482] === 1) {
      state.part = 'further-header';
      state.left = BLOCK;
    } else this.#enter();
  }

  /** Begins the content of the file whose headers have been read. */
  #enter(): void {
    const state = this.#state;
    const { file, segment } = state;
    if (file === null) throw new TypeError('a file without a header');
    const { name, size, sparse } = file;
    const length = size + paddingOf(size);
    if (segment !== null) {
      segment.rocksDb ||= ROCKS_DB.test(name);
      if (state.position + length > segment.end) {
        throw strange(this.#where, `its ${segment.name} is truncated`);
      }
      this.#skip(length);
      return;
    }
    if (name === CONFIG_NAME) {
      if (size > CONFIG_BYTES_MAX) {
        throw strange(this.#where, `its ${CONFIG_NAME} has ${size} bytes; the limit is ${CONFIG_BYTES_MAX}`);
      }
      state.part = 'config';
      state.left = size;
      return;
    }
    if (!SEGMENT.test(name) || sparse) {
      this.#skip(length);
      return;
    }
    state.segment = { name, end: state.position + size, padding: paddingOf(size), rocksDb: false };
    this.#next();
  }
}

const START: WalkState = {
  part: 'header',
  left: BLOCK,
  held: '',
  position: 0,
  file: null,
  segment: null,
  segments: 0,
  rocksDb: false,
  config: null,
};

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

function parseJson(text: string, where: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw strange(where, `its ${CONFIG_NAME} is not JSON`);
  }
}

function strange(where: string, problem: string): IntegrityError {
  return new IntegrityError(`Entry ${where} is not a snapshot of a Qdrant collection: ${problem}.`, {
    remedy: 'Use another copy of the archive, or leave out the vectors.',
  });
}
