import { setTimeout as sleep } from 'node:timers/promises';
import type { EntryReader, IndexEntry } from '../format/types.ts';

/** Size of a burst, in seconds of the rate: enough for steady work, too little to disturb the server. */
const BURST_SECONDS = 0.25;

/**
 * The same archive, with a limit on the total rate at which its entries are read. A load writes what it reads, so
 * this also limits its writes, and leaves capacity of the server to other clients.
 *
 * @param bytesPerSecond uncompressed bytes
 */
export function throttle(archive: EntryReader, bytesPerSecond: number, signal: AbortSignal): EntryReader {
  let free = Date.now();
  const wait = async (bytes: number) => {
    const now = Date.now();
    free = Math.max(free, now - BURST_SECONDS * 1000) + (bytes / bytesPerSecond) * 1000;
    if (free > now) await sleep(free - now, undefined, { signal });
  };
  return {
    entries: (prefix) => archive.entries(prefix),
    find: (name) => archive.find(name),
    async *open(entry: IndexEntry, range?: { offset: number; length: number }) {
      for await (const chunk of archive.open(entry, range)) {
        await wait(chunk.length);
        yield chunk;
      }
    },
  };
}
