import { parse } from 'lossless-json';
import { z } from 'zod';
import { BLOCK, paddingOf } from '../../archive/format/tar.ts';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { IntegrityError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
import { type ConfigView, type Lossless, viewConfig } from './collections.ts';

/**
 * The file in a snapshot that describes the collection, and its maximum size in bytes. Typical ones have a few hundred.
 */
const CONFIG_NAME = 'config.json';
const CONFIG_BYTES_MAX = 4 * 1024 ** 2;
/** Maximum time to examine one snapshot, in milliseconds, because an inspection has more to do. */
const EXAMINE_MS_MAX = 3 * 60_000;
/** A segment: a tar file within the snapshot (Qdrant 1.7 and later). */
const SEGMENT = /(^|\/)segments\/[^/]+\.tar$/;
/** Files that only occur in RocksDB segments. */
const ROCKS_DB = /(^|\/)(CURRENT|MANIFEST-\d+|\d+\.sst)$/;

/** What a snapshot contains. */
export interface SnapshotContent {
  /** Configuration of the collection; absent if the snapshot does not contain one. */
  readonly config?: Lossless;
  readonly view?: ConfigView;
  /** Number of segments. */
  readonly segments: number;
  /** Whether a segment is stored in RocksDB, which Qdrant reads only up to version 1.16. */
  readonly rocksDb: boolean;
}

/**
 * Examines a snapshot. If the time runs out, logs this and returns undefined. Throws IntegrityError if it is not a
 * snapshot, or is truncated.
 */
export async function readSnapshot(
  archive: EntryReader,
  entry: IndexEntry,
  collection: string,
  context: LegContext,
): Promise<SnapshotContent | undefined> {
  const walk = new SnapshotWalk(entry.name, collection);
  const end = Date.now() + EXAMINE_MS_MAX;
  for await (const chunk of archive.open(entry)) {
    context.signal.throwIfAborted();
    walk.write(chunk);
    if (context.timeLeft() > 0 && Date.now() < end) continue;
    context.log('There was no time to examine a snapshot.', { collection });
    return undefined;
  }
  return walk.end();
}

/** The segment being read, which ends at `end`. */
const Segment = z.object({ name: z.string(), end: z.number(), padding: z.number(), rocksDb: z.boolean() });

const WalkState = z.object({
  /** The type of the next bytes: a header, a further header of a sparse file, the configuration, or skipped content. */
  part: z.enum(['header', 'further-header', 'config', 'skipped', 'end']),
  /** Bytes of this part still to be read. */
  left: z.number(),
  /** Bytes of this part read so far, if they are needed. */
  held: z.base64(),
  /** Bytes of the snapshot read so far. */
  position: z.number(),
  file: z.object({ name: z.string(), size: z.number(), sparse: z.boolean() }).nullable(),
  segment: Segment.nullable(),
  segments: z.number(),
  rocksDb: z.boolean(),
  config: z.string().nullable(),
});
type WalkState = z.infer<typeof WalkState>;

/**
 * Walks through a snapshot as it is streamed: a tar file whose segments are tar files themselves, with `config.json`
 * after the segments (it does not contain the server's version). Holds one header or the configuration in memory; its
 * state can be saved between any two chunks.
 */
export class SnapshotWalk {
  readonly #where: string;
  readonly #collection: string;
  readonly #state: Omit<WalkState, 'held'>;
  #held: Buffer[];

  /** @param from state returned by {@link save} */
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

  /** Adds the next bytes. Throws IntegrityError if this is not a snapshot. */
  write(chunk: Uint8Array): void {
    const state = this.#state;
    for (let at = 0; at < chunk.length && !this.#isOver; ) {
      const taken = chunk.subarray(at, at + state.left);
      at += taken.length;
      state.position += taken.length;
      state.left -= taken.length;
      // Copy: the chunk may belong to a buffer that its owner reuses.
      if (state.part !== 'skipped') this.#held.push(Buffer.from(taken));
      while (state.left === 0 && !this.#isOver) this.#finishPart();
    }
  }

  /** Returns the content, after the last byte. Throws IntegrityError if the snapshot is truncated. */
  end(): SnapshotContent {
    const { part, left, segment, segments, rocksDb, config: text } = this.#state;
    const isBetweenFiles = part === 'header' && left === BLOCK && segment === null;
    if (part !== 'end' && !isBetweenFiles) {
      throw invalid(
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
        // If a sparse file has more pieces than fit in its header, further blocks list them.
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

  /** Continues after a file: with the next one, or after the end of the enclosing segment. */
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

  /**
   * Parses headers of plain and GNU sparse files (GNU tar manual, "Basic Tar Format", "Storing Sparse Files"). Extended
   * headers are treated as files.
   */
  #takeHeader(block: Buffer): void {
    const state = this.#state;
    if (block.every((byte) => byte === 0)) {
      // A tar file ends with two empty blocks and padding.
      if (state.segment === null) state.part = 'end';
      else this.#skip(Math.max(0, state.segment.end - state.position));
      return;
    }
    const size = sizeOf(block);
    if (!Number.isSafeInteger(size) || block.toString('latin1', 257, 262) !== 'ustar') {
      throw invalid(this.#where, 'it is not a tar file');
    }
    const sparse = block[156] === 'S'.charCodeAt(0);
    const end = block.indexOf(0);
    state.file = { name: block.toString('utf8', 0, end < 0 ? 100 : Math.min(end, 100)), size, sparse };
    if (sparse && block[482] === 1) {
      state.part = 'further-header';
      state.left = BLOCK;
    } else this.#enter();
  }

  /** Starts the content of the file whose headers have been read. */
  #enter(): void {
    const state = this.#state;
    const { file, segment } = state;
    if (file === null) throw new TypeError('a file without a header');
    const { name, size, sparse } = file;
    const length = size + paddingOf(size);
    if (segment !== null) {
      segment.rocksDb ||= ROCKS_DB.test(name);
      if (state.position + length > segment.end) {
        throw invalid(this.#where, `its ${segment.name} is truncated`);
      }
      this.#skip(length);
      return;
    }
    if (name === CONFIG_NAME) {
      if (size > CONFIG_BYTES_MAX) {
        throw invalid(this.#where, `its ${CONFIG_NAME} has ${size} bytes; the limit is ${CONFIG_BYTES_MAX}`);
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

/** Parses a size: octal digits or, from 8 GiB on, a binary number. */
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
    throw invalid(where, `its ${CONFIG_NAME} is not JSON`);
  }
}

function invalid(where: string, problem: string): IntegrityError {
  return new IntegrityError(`Entry ${where} is not a snapshot of a Qdrant collection: ${problem}.`, {
    remedy: 'Use another copy of the archive, or leave out the vectors.',
  });
}
