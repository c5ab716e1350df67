import type { Sink } from './fetch-archive.ts';

/**
 * Name prefix of the files in the origin's private file system; a lock with the same name means that a tab still uses
 * one.
 */
const PREFIX = 'ngbak-download-';

/** A temporary file in the browser that holds a download until the user saves it. */
export interface Scratch extends Sink {
  /** Ends the writing, and returns the file. */
  finish(): Promise<File>;
  /** Removes what was written. */
  discard(): Promise<void>;
}

/**
 * Opens a file of this size in the browser's private file system. Undefined if the browser does not support it, or has
 * too little space: then the browser downloads by itself.
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
    // Private windows and older browsers reject one of these calls.
    if (error instanceof DOMException || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** For the lifetime of this tab: the browser copies a finished file at any time, without notification. */
function holdLock(name: string): void {
  void navigator.locks.request(name, () => new Promise<never>(() => undefined));
}

/** Removes the files of closed tabs. */
async function removeUnused(root: FileSystemDirectoryHandle): Promise<void> {
  const { held = [] } = await navigator.locks.query();
  const used = new Set(held.map(({ name }) => name));
  const names: string[] = [];
  for await (const name of (root as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name);
  for (const name of names) {
    if (name.startsWith(PREFIX) && !used.has(name)) await root.removeEntry(name);
  }
}
