import { type FileHandle, mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import type { ByteString } from './scope.ts';

/** Maximum number of namespaces in a scope: each adds at least one entry to the archive. */
const NAMESPACES_MAX = 1_000;
/** Block size in bytes for reading and writing runs. */
const BLOCK_BYTES = 16 * 1024;
/** Header size of a key in the file: namespace number and length precede its bytes. */
const HEAD_BYTES = 4;

/** Disk space that the file takes while its last keys are dropped, as a multiple of its size. */
const FILE_SHARE = 1.5;

/** A position in the order of all keys: by namespace, then by key, both compared as bytes. */
export interface Position {
  readonly namespace: string;
  readonly key: ByteString;
}

/** Sorted keys, grouped by namespace. */
export type SpaceKeys = readonly { readonly namespace: string; readonly keys: readonly ByteString[] }[];

/** Limits for memory and disk; smaller in tests. */
export interface SortLimits {
  /** Maximum number of keys in memory. */
  readonly keys: number;
  /** Maximum number of key bytes in memory. */
  readonly bytes: number;
  /** Maximum number of key bytes in the temporary file. */
  readonly fileBytes: number;
  /** Folder of that file. */
  readonly folder: string;
}

/**
 * Sorts keys and removes duplicates in bounded memory (external merge sort): sorted runs are written to a temporary
 * file and merged when they are read. If the file would exceed its limit, only the first keys in order are kept, and
 * {@link bound} is the last of them.
 */
export class SortedKeys {
  readonly #owner: string;
  readonly #limits: SortLimits;
  #keys = new Map<string, ByteString[]>();
  #count = 0;
  #bytes = 0;
  /** Namespaces, indexed by their number in the file. */
  readonly #namespaces: string[] = [];
  #file: RunFile | null = null;
  /** Size limit of the file in bytes; set when it is created. */
  #fileBytes = 0;
  #bound: Position | null = null;

  /** @param owner  owner of the keys, for messages */
  constructor(owner: string, limits: SortLimits) {
    this.#owner = owner;
    this.#limits = limits;
  }

  /** Keys after this position were dropped; null if none were. */
  get bound(): Position | null {
    return this.#bound;
  }

  /** True if {@link spill} must be called before more keys are added. */
  get isFull(): boolean {
    return this.#count >= this.#limits.keys || this.#bytes >= this.#limits.bytes;
  }

  /** Throws InvalidInputError if there are too many namespaces. */
  add(namespace: string, key: ByteString): void {
    if (this.#bound && isBehind(namespace, key, this.#bound)) return;
    const keys = this.#keys.get(namespace);
    if (keys) keys.push(key);
    else this.#addNamespace(namespace, key);
    this.#count++;
    this.#bytes += key.length;
  }

  #addNamespace(namespace: string, key: ByteString): void {
    this.#keys.set(namespace, [key]);
    if (this.#namespaces.includes(namespace)) return;
    if (this.#namespaces.push(namespace) <= NAMESPACES_MAX) return;
    throw new InvalidInputError(`The scope has more than ${NAMESPACES_MAX} namespaces.`, {
      remedy:
        'List them under "namespaces" instead of deriving them by "separator"; the rest goes to "_other".',
    });
  }

  /** Writes the keys in memory to the file. Throws NgbakError if that fails. */
  async spill(): Promise<void> {
    const sorted = this.#takeSorted();
    if (sorted.length === 0) return;
    await this.#inFile(async () => {
      if (!this.#file) {
        this.#fileBytes = await this.#roomForFile();
        this.#file = await RunFile.open(this.#limits.folder);
      }
      await this.#file.write([sorted], this.#namespaces);
      if (this.#file.bytes >= this.#fileBytes) await this.#dropLast();
    });
  }

  /**
   * Size limit for the file: the configured limit, or less if disk space is short. A smaller file only means more scans
   * of the server.
   */
  async #roomForFile(): Promise<number> {
    const { folder, fileBytes, bytes } = this.#limits;
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    // The last run may exceed the limit before keys are dropped, and so may the last part that is kept.
    const reserve = 3 * bytes;
    const room = Math.min(fileBytes, Math.floor((free - reserve) / FILE_SHARE));
    // The file must hold somewhat more than the keys spilled from memory at once.
    if (room >= Math.min(fileBytes, 2 * bytes)) return room;
    throw new NgbakError(
      `The keys of ${this.#owner} can't be sorted: ${folder} has ${free} bytes free, and ${FILE_SHARE * 2 * bytes + reserve} are needed.`,
      { remedy: `Free some space there: up to ${this.#mebibytes} MiB are used.` },
    );
  }

  get #mebibytes(): number {
    return Math.ceil((FILE_SHARE * this.#limits.fileBytes) / 1024 ** 2);
  }

  /** Keeps the first keys in order, up to half of the file's size limit. */
  async #dropLast(): Promise<void> {
    const whole = this.#file;
    if (!whole) return;
    let bound = this.#bound;
    let bytes = 0;
    const fileBytes = this.#fileBytes;
    const first = async function* (merged: AsyncIterable<SpaceKeys>) {
      for await (const part of merged) {
        yield part;
        const last = part.at(-1);
        for (const { keys } of part) for (const key of keys) bytes += key.length + HEAD_BYTES;
        if (bytes < fileBytes / 2) continue;
        if (last) bound = { namespace: last.namespace, key: last.keys.at(-1) ?? '' };
        return;
      }
    };
    const kept = await RunFile.open(this.#limits.folder);
    this.#file = kept;
    try {
      await kept.write(first(whole.merged(this.#namespaces, this.#limits.keys)), this.#namespaces);
    } finally {
      await whole.close();
    }
    this.#bound = bound;
  }

  /** All keys up to the bound, in order and in batches. */
  async *read(): AsyncGenerator<SpaceKeys> {
    if (!this.#file) {
      const sorted = this.#takeSorted();
      if (sorted.length > 0) yield sorted;
      return;
    }
    await this.spill();
    const parts = this.#file.merged(this.#namespaces, this.#limits.keys);
    for (;;) {
      const next = await this.#inFile(() => parts.next());
      if (next.done) return;
      yield next.value;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }

  #takeSorted(): SpaceKeys {
    const sorted = [...this.#keys]
      .sort(([left], [right]) => compare(left, right))
      .map(([namespace, keys]) => ({ namespace, keys: sortedSet(keys) }));
    this.#keys = new Map();
    this.#count = 0;
    this.#bytes = 0;
    return sorted;
  }

  async #inFile<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(typeof error === 'object' && error !== null && 'syscall' in error)) throw error;
      throw new NgbakError(
        `The keys of ${this.#owner} can't be sorted: a temporary file in ${this.#limits.folder} failed.`,
        {
          remedy: `Free some space there: up to ${this.#mebibytes} MiB are used.`,
          cause: error,
        },
      );
    }
  }
}

/** Sorted runs of keys, stored consecutively in a file that is deleted with the process. */
class RunFile {
  readonly #handle: FileHandle;
  readonly #runs: { readonly from: number; readonly to: number }[] = [];
  #bytes = 0;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async open(parent: string): Promise<RunFile> {
    const folder = await mkdtemp(join(parent, 'ngbak-keys-'));
    try {
      return new RunFile(await open(join(folder, 'keys'), 'wx+', 0o600));
    } finally {
      // The open file remains until it is closed; because it has no name, nothing remains after the process is killed.
      await rm(folder, { recursive: true, force: true });
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Appends one sorted run. */
  async write(
    parts: Iterable<SpaceKeys> | AsyncIterable<SpaceKeys>,
    namespaces: readonly string[],
  ): Promise<void> {
    const from = this.#bytes;
    const block = Buffer.allocUnsafe(BLOCK_BYTES);
    let used = 0;
    const flush = async () => {
      // `appendFile` fails on a full disk, whereas a single write may be cut short without an error.
      await this.#handle.appendFile(block.subarray(0, used));
      this.#bytes += used;
      used = 0;
    };
    for await (const part of parts) {
      for (const { namespace, keys } of part) {
        const number = namespaces.indexOf(namespace);
        for (const key of keys) {
          if (used + HEAD_BYTES + key.length > BLOCK_BYTES) await flush();
          used = block.writeUInt16LE(number, used);
          used = block.writeUInt16LE(key.length, used);
          used += block.write(key, used, 'latin1');
        }
      }
    }
    await flush();
    this.#runs.push({ from, to: this.#bytes });
  }

  /** Merges all runs: the keys in order, each once, in batches of up to `most`. */
  async *merged(namespaces: readonly string[], most: number): AsyncGenerator<SpaceKeys> {
    const order = [...namespaces].sort(compare);
    const ranks = namespaces.map((namespace) => order.indexOf(namespace));
    const readers: RunReader[] = [];
    for (const { from, to } of this.#runs) {
      const reader = new RunReader(this.#handle, from, to, ranks);
      if (await reader.next()) readers.push(reader);
    }
    let part: { namespace: string; keys: ByteString[] }[] = [];
    let count = 0;
    let rank = -1;
    let key: ByteString = '';
    while (readers.length > 0) {
      const least = readers.reduce((first, reader) => (reader.isBefore(first) ? reader : first));
      if (least.rank !== rank || least.key !== key) {
        if (count === most) {
          yield part;
          part = [];
          count = 0;
        }
        if (count === 0 || least.rank !== rank) part.push({ namespace: order[least.rank] ?? '', keys: [] });
        ({ rank, key } = least);
        part.at(-1)?.keys.push(key);
        count++;
      }
      const more = least.next();
      if (!(more === true || (await more))) readers.splice(readers.indexOf(least), 1);
    }
    if (count > 0) yield part;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** Reads one sorted run. */
class RunReader {
  readonly #handle: FileHandle;
  readonly #ranks: readonly number[];
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES);
  /** Offsets in the block of the next key and of the end of the data. */
  #at = 0;
  #end = 0;
  /** Range of the file that has not been read yet. */
  #from: number;
  readonly #to: number;
  /** Rank of the current key's namespace. */
  rank = 0;
  key: ByteString = '';

  /** @param ranks  rank of each namespace in sorted order, by its number */
  constructor(handle: FileHandle, from: number, to: number, ranks: readonly number[]) {
    this.#handle = handle;
    this.#from = from;
    this.#to = to;
    this.#ranks = ranks;
  }

  /**
   * Advances to the next key; false if there are no more. Returns a promise only if data must be read from the file.
   */
  next(): boolean | Promise<boolean> {
    const left = this.#end - this.#at;
    if (left < HEAD_BYTES) return this.#readMore();
    const length = this.#block.readUInt16LE(this.#at + 2);
    if (left < HEAD_BYTES + length) return this.#readMore();
    this.rank = this.#ranks[this.#block.readUInt16LE(this.#at)] ?? 0;
    const start = this.#at + HEAD_BYTES;
    this.#at = start + length;
    this.key = this.#block.toString('latin1', start, this.#at);
    return true;
  }

  isBefore(other: RunReader): boolean {
    return this.rank === other.rank ? this.key < other.key : this.rank < other.rank;
  }

  async #readMore(): Promise<boolean> {
    this.#block.copy(this.#block, 0, this.#at, this.#end);
    this.#end -= this.#at;
    this.#at = 0;
    const room = Math.min(BLOCK_BYTES - this.#end, this.#to - this.#from);
    if (room === 0) return false;
    const { bytesRead } = await this.#handle.read(this.#block, this.#end, room, this.#from);
    if (bytesRead === 0) throw new TypeError('a temporary file is shorter than what was written to it');
    this.#end += bytesRead;
    this.#from += bytesRead;
    return this.next();
  }
}

export function isBehind(namespace: string, key: ByteString, position: Position): boolean {
  return namespace === position.namespace ? key > position.key : namespace > position.namespace;
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function sortedSet(keys: ByteString[]): ByteString[] {
  keys.sort();
  return keys.filter((key, index) => index === 0 || key !== keys[index - 1]);
}
