import type { Inspection } from '../shared/workflows/restore/inspection.ts';
import { bytes } from './format.ts';

/**
 * The space that a restore needs, and the free space if the server reports it: `needs about 1.2 GB of disk, 5 GB are
 * free`.
 */
export function roomText({ of, needed_bytes, free_bytes, total_bytes }: Room): string {
  const needs = `needs about ${bytes(needed_bytes)} of ${of}`;
  if (free_bytes !== undefined) return `${needs}, ${bytes(free_bytes)} are free`;
  const all = total_bytes === undefined ? '' : ` (it has ${bytes(total_bytes)} in all)`;
  return `${needs}; the server does not report how much is free${all}`;
}

type Room = NonNullable<Inspection['stores'][number]['room']>;
