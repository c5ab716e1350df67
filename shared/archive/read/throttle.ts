import { setTimeout as sleep } from 'node:timers/promises';
import type { EntryReader, IndexEntry } from '../format/types.ts';

/** Bytes that may come at once, as seconds of the rate: enough for steady work, too little for a burst to hurt. */
const BURST_SECONDS = 0.25;

/**
 * The same archive, whose entries are read no faster than so many bytes a second, all together: what a load writes is
 * slowed down with what it reads, so that the server has room for others.
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
