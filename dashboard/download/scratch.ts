import type { Sink } from './fetch-archive.ts';

/** Name of the files in the origin's private file system; a lock of the same name says that a tab still needs one. */
const PREFIX = 'ngbak-download-';

/** A file of the browser that a download is written to before it is handed to the user. */
export interface Scratch extends Sink {
  /** Ends the writing, and gives the file. */
  finish(): Promise<File>;
  /** Removes what was written. */
  discard(): Promise<void>;
}

/**
 * Opens a file for so many bytes in the browser's private file system. Undefined if the browser has none, or too little
 * room: the browser downloads by itself then.
 */
export async function openScratch(bytes: number): Promise<Scratch | undefined> {
  try {
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    if (quota - usage < bytes) return undefined;
    const root = await navigator.storage.getDirectory();
    await removeUnused(root);
    const name = `${PREFIX}${crypto.randomUUID()}`;
    holdLock(name);
    const handle = await root.getFileHandle(name, { create: true });
    const writable = await handle.createWritable();
    return {
      write: (piece) => writable.write(piece as Uint8Array<ArrayBuffer>),
      async finish() {
        await writable.close();
        return handle.getFile();
      },
      async discard() {
        await writable.abort();
        await root.removeEntry(name);
      },
    };
  } catch (error) {
    // Private windows and older browsers refuse one call or another.
    if (error instanceof DOMException || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** For as long as this tab lives: the browser copies a finished file when it likes, and does not say when it has. */
function holdLock(name: string): void {
  void navigator.locks.request(name, () => new Promise<never>(() => undefined));
}

/** Removes the files of tabs that are closed. */
async function removeUnused(root: FileSystemDirectoryHandle): Promise<void> {
  const { held = [] } = await navigator.locks.query();
  const used = new Set(held.map(({ name }) => name));
  const names: string[] = [];
  for await (const name of (root as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name);
  for (const name of names) {
    if (name.startsWith(PREFIX) && !used.has(name)) await root.removeEntry(name);
  }
}
