import { getHeapStatistics } from 'node:v8';

/** Bytes that may wait to be collected, beyond those in use. */
const WAITING_BYTES_MAX = 32 * 1024 ** 2;

/** The fewest bytes that were seen since the last collection: those that were in use then. */
let inUse = 0;

/**
 * Collects what nobody uses any more, objects and buffers, once there may be {@link WAITING_BYTES_MAX} of it. V8 itself
 * lets 64 MiB of buffers pile up, and half of the heap again: whoever handles less data stays below that, and memory seems
 * to grow with the data. To be called for every few MiB that are worked on; a collection takes about a millisecond for
 * each 2 MiB of objects in use. Does nothing where the process was started without `--expose-gc`.
 */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) return;
  const { used_heap_size, external_memory } = getHeapStatistics();
  const bytes = used_heap_size + external_memory;
  inUse = Math.min(inUse, bytes);
  if (bytes < inUse + WAITING_BYTES_MAX) return;
  globalThis.gc();
  // Buffers are given back by another thread, a little later.
  inUse = bytes;
}
