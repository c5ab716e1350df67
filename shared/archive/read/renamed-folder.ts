import type { EntryReader, IndexEntry } from '../format/types.ts';

/** Entries outside of the folder of a store that belong to it. */
export const REFERENCES = 'references/';

/** `kv_files/a.json` → `kv/a.json`, and `references/…` alike; undefined for entries of other folders. */
export function renameEntry(name: string, from: string, to: string): string | undefined {
  for (const before of ['', REFERENCES]) {
    if (name.startsWith(`${before}${from}/`))
      return `${before}${to}${name.slice(before.length + from.length)}`;
  }
  return undefined;
}

/**
 * The entries of one store of an archive, as if its folder had another name: for adapters, which know only the folder of
 * their role.
 *
 * @param from the folder in the archive, without `/`
 * @param to its name in the view
 */
export function renamedFolder(archive: EntryReader, from: string, to: string): EntryReader {
  const sources = new WeakMap<IndexEntry, IndexEntry>();
  const show = (entry: IndexEntry): IndexEntry => {
    const shown = { ...entry, name: renameEntry(entry.name, from, to) ?? entry.name };
    sources.set(shown, entry);
    return shown;
  };
  return {
    async *entries(prefix) {
      for (const before of ['', REFERENCES]) {
        const folder = `${before}${to}/`;
        if (!folder.startsWith(prefix) && !prefix.startsWith(folder)) continue;
        const rest = prefix.startsWith(folder) ? prefix.slice(folder.length) : '';
        for await (const entry of archive.entries(`${before}${from}/${rest}`)) yield show(entry);
      }
    },
    async find(name) {
      const source = renameEntry(name, to, from);
      const entry = source === undefined ? undefined : await archive.find(source);
      return entry && show(entry);
    },
    open(shown, range) {
      const known = sources.get(shown);
      return archive.open(
        known ?? { ...shown, name: renameEntry(shown.name, to, from) ?? shown.name },
        range,
      );
    },
  };
}
