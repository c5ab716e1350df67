import type { EntryReader, IndexEntry } from '../format/types.ts';

/** How a view presents one entry of an archive; undefined omits the entry. */
export interface ViewedEntry {
  /** Its name in the view. */
  readonly name: string;
  /** Its content in the view. If omitted: the archive's bytes. */
  content?(): AsyncIterable<Uint8Array>;
  /** Its size in the index, if its content is replaced. If omitted: the size of the archive's entry. */
  readonly size?: number;
}

/**
 * An archive whose entries are renamed, omitted, or rewritten by a function while they are read. Sizes and digests in
 * the index remain those of the archive, which checks them whenever an entry is read to its end.
 */
export class ArchiveView implements EntryReader {
  readonly #archive: EntryReader;
  readonly #look: (entry: IndexEntry) => Promise<readonly ViewedEntry[]>;
  /** The folder that the view covers; entries outside of it are omitted. */
  readonly #folder: string;
  /** The archive's entry behind each entry of the view. */
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
    // Most entries keep their names, so the index is rarely searched.
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

/** Rewritten lines are joined into chunks of this many characters. */
const JOINED_CHARACTERS = 64 * 1024;

/** Rewrites lines of text one by one; `rewrite` returns undefined to omit a line. */
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
