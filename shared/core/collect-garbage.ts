import { getHeapStatistics } from 'node:v8';

/** Garbage that is tolerated before a collection, in bytes. */
const WAITING_BYTES_MAX = 32 * 1024 ** 2;

/** The fewest bytes in use since the last collection: an estimate of the live memory. */
let inUse = 0;

/**
 * Collects garbage, both objects and buffers, once there may be {@link WAITING_BYTES_MAX} of it. V8 by default lets
 * 64 MiB of buffers accumulate, and half of the heap in addition. With less data than that, nothing is ever
 * collected, and memory seems to grow with the data. Call this for every few MiB of work; a collection takes about a
 * millisecond for each 2 MiB of live objects. Does nothing if the process was started without `--expose-gc`.
 */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) return;
  const { used_heap_size, external_memory } = getHeapStatistics();
  const bytes = used_heap_size + external_memory;
  inUse = Math.min(inUse, bytes);
  if (bytes < inUse + WAITING_BYTES_MAX) return;
  globalThis.gc();
  // Buffers are freed by another thread, a little later.
  inUse = bytes;
}
