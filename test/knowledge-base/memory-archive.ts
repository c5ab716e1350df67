import { createHash } from 'node:crypto';
import type { EntryPiece, EntryReader, IndexEntry } from '../../shared/archive/types.ts';
import type { Cursor, Leg, LegContext, RestoreOptions, Store } from '../../shared/stores/port.ts';

/** Entries in memory, in place of an archive: for the few megabytes of a test. */
export class MemoryArchive implements EntryReader {
  readonly #contents = new Map<string, Buffer>();

  async add(piece: EntryPiece): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of piece.data) chunks.push(Buffer.from(chunk));
    const bytes = Buffer.concat(chunks);
    const before = this.#contents.get(piece.name) ?? Buffer.alloc(0);
    if (bytes.length !== piece.length || before.length !== piece.offset) {
      throw new Error(
        `Piece ${piece.name} has ${bytes.length} bytes at ${before.length}, not what it announced.`,
      );
    }
    this.#contents.set(piece.name, Buffer.concat([before, bytes]));
  }

  async *entries(prefix: string): AsyncGenerator<IndexEntry> {
    for (const name of this.#contents.keys()) if (name.startsWith(prefix)) yield this.#entry(name);
  }

  async find(name: string): Promise<IndexEntry | undefined> {
    return this.#contents.has(name) ? this.#entry(name) : undefined;
  }

  async *open(entry: IndexEntry, range?: { offset: number; length: number }): AsyncGenerator<Uint8Array> {
    const bytes = this.#bytes(entry.name);
    yield range ? bytes.subarray(range.offset, range.offset + range.length) : bytes;
  }

  #entry(name: string): IndexEntry {
    const bytes = this.#bytes(name);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { name, size: bytes.length, sha256, offset: 0, length: bytes.length };
  }

  #bytes(name: string): Buffer {
    const bytes = this.#contents.get(name);
    if (!bytes) throw new Error(`There is no entry ${name}.`);
    return bytes;
  }
}

/** The context of steps that nobody hurries. */
export const UNHURRIED: LegContext = {
  jobId: 'test',
  timeLeft: () => 60_000,
  signal: new AbortController().signal,
  progress: () => undefined,
  log: () => undefined,
};

const REPLACE: RestoreOptions = { mode: 'replace', onConflict: 'fail' };

/** Everything that a store exports, in every shard. */
export async function exportAll(store: Store): Promise<MemoryArchive> {
  const archive = new MemoryArchive();
  for (const shard of await store.plan(UNHURRIED, await store.probe(UNHURRIED))) {
    for await (const { piece, companions } of store.export(shard, null, UNHURRIED)) {
      await archive.add(piece);
      for (const companion of companions ?? []) await archive.add(companion);
    }
  }
  await store.cleanup(UNHURRIED);
  return archive;
}

/** Brings everything back, and returns what the store itself says is different afterwards. */
export async function restoreAll(
  store: Store,
  archive: EntryReader,
  options: RestoreOptions = REPLACE,
): Promise<number> {
  const problems = await store.admits(archive, options, UNHURRIED);
  if (problems.length > 0) throw new Error(problems.join(' '));
  await toEnd((cursor) => store.clear(archive, options, cursor, UNHURRIED));
  await toEnd((cursor) => store.load(archive, options, cursor, UNHURRIED));
  let differences = 0;
  await toEnd(async (cursor) => {
    const leg = await store.verify(archive, options, cursor, UNHURRIED);
    differences += leg.differences;
    return leg;
  });
  await toEnd((cursor) => store.finish(options, cursor, UNHURRIED));
  return differences;
}

async function toEnd(step: (cursor: Cursor | null) => Promise<Leg>): Promise<void> {
  for (let cursor: Cursor | null = null; ; ) {
    cursor = (await step(cursor)).cursor;
    if (cursor === null) return;
  }
}
