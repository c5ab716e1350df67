import type { ArchiveLimits } from './limits.ts';
import type { Manifest } from './manifest.ts';
import type { ByteSource, EntryReader } from './types.ts';

export interface OpenedArchive extends EntryReader {
  readonly manifest: Manifest;
}

/** Whether the archive ends with a sound footer, so that it can be read entry by entry. */
export async function isSeekable(source: ByteSource): Promise<boolean> {
  throw new Error(`not yet: ${source.name}`);
}

/** Opens a seekable archive: footer, manifest and index. */
export async function openArchive(
  source: ByteSource,
  _limits?: Partial<ArchiveLimits>,
): Promise<OpenedArchive> {
  throw new Error(`not yet: ${source.name}`);
}
