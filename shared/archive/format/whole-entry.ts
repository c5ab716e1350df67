import type { EntryPiece } from './types.ts';

/** An entry in one piece. `data` must not change before the piece was consumed. */
export function wholeEntry(name: string, data: Uint8Array): EntryPiece {
  return { name, size: data.length, offset: 0, length: data.length, data: [data] };
}
