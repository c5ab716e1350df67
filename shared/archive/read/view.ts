import type { EntryReader, IndexEntry } from '../format/types.ts';

/** What a view makes of one entry of an archive; undefined leaves the entry out. */
export interface ViewedEntry {
  /** Its name in the view. */
  readonly name: string;
  /** Its content in the view; left out: the same bytes as in the archive. */
  content?(): AsyncIterable<Uint8Array>;
  /** Its size in the index, where its content is replaced. If omitted: that of the archive's entry. */
  readonly size?: number;
}

/**
 * An archive seen through a function: entries renamed, left out, or rewritten while they are read. Sizes and digests in
 * the index stay those of the archive, which checks them whenever an entry is read to its end.
 */
export class ArchiveView implements EntryReader {
  readonly #archive: EntryReader;
  readonly #look: (entry: IndexEntry) => Promise<readonly ViewedEntry[]>;
  /** The folder that the view is about; entries outside of it are left out. */
  readonly #folder: string;
  /** What the entries that were shown are made from. */
  readonly #sources = new WeakMap<IndexEntry, { entry: IndexEntry; viewed: ViewedEntry }>();

  constructor(
    archive: EntryReader,
    folder: string,
    look: (entry: IndexEntry) => Promise<readonly ViewedEntry[]>,
  ) {
    this.#archive = archive;
    this.#folder = folder;
    this.#look = look;
  }

  async *entries(prefix: string): AsyncGenerator<IndexEntry> {
    for await (const entry of this.#archive.entries(this.#folder)) {
      for (const viewed of await this.#look(entry)) {
        if (viewed.name.startsWith(prefix)) yield this.#show(entry, viewed);
      }
    }
  }

  async find(name: string): Promise<IndexEntry | undefined> {
    // Most entries keep their names, so that the index need not be searched.
    const same = name.startsWith(this.#folder) ? await this.#archive.find(name) : undefined;
    if (same) {
      for (const viewed of await this.#look(same)) if (viewed.name === name) return this.#show(same, viewed);
    }
    for await (const entry of this.entries(name)) if (entry.name === name) return entry;
    return undefined;
  }

  async *open(shown: IndexEntry, range?: { offset: number; length: number }): AsyncGenerator<Uint8Array> {
    const found = this.#sources.get(shown) ?? this.#sources.get((await this.find(shown.name)) ?? shown);
    if (!found) throw new TypeError(`the view has no entry ${shown.name}`);
    const { entry, viewed } = found;
    if (!viewed.content) yield* this.#archive.open(entry, range);
    else if (range)
      throw new TypeError(`entry ${shown.name} is rewritten while it is read, so it has no ranges`);
    else yield* viewed.content();
  }

  #show(entry: IndexEntry, viewed: ViewedEntry): IndexEntry {
    const shown = { ...entry, name: viewed.name, size: viewed.size ?? entry.size };
    this.#sources.set(shown, { entry, viewed });
    return shown;
  }
}

/** Characters of rewritten lines that are handed on together. */
const JOINED_CHARACTERS = 64 * 1024;

/** Rewrites lines of text one by one; `rewrite` returns undefined for a line that is left out. */
export async function* rewriteLines(
  lines: AsyncIterable<string>,
  rewrite: (line: string, number: number) => string | undefined,
): AsyncGenerator<Uint8Array> {
  let text = '';
  let number = 0;
  for await (const line of lines) {
    const rewritten = rewrite(line, ++number);
    if (rewritten === undefined) continue;
    text += `${rewritten}\n`;
    if (text.length < JOINED_CHARACTERS) continue;
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}
