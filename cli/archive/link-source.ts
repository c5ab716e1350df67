import type { ByteSource } from '../../shared/archive/format/types.ts';
import { CHUNK_BYTES, fetchRange, type Links } from '../transfer/ranges.ts';

/** The archive of a backup, read by ranges through download links, which are renewed when they expire. */
export function linkSource(links: Links, signal: AbortSignal): ByteSource {
  const { backup_id: name, bytes: size } = links.current;
  return {
    name,
    size,
    async *read(offset, length) {
      const end = offset + length;
      for (let at = offset; at < end; at += CHUNK_BYTES) {
        const chunks: Uint8Array[] = [];
        const range = { number: 0, offset: at, length: Math.min(CHUNK_BYTES, end - at) };
        await fetchRange(
          (bytes) => chunks.push(bytes),
          range,
          links,
          { signal },
          () => undefined,
        );
        yield* chunks;
      }
    },
  };
}
