import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ByteSource } from '../../shared/archive/format/types.ts';
import { isSeekable, type OpenedArchive, openArchive } from '../../shared/archive/read/open.ts';
import { fileSource } from '../../shared/archive/read/sources.ts';
import { normalizeArchive } from '../../shared/archive/write/normalize.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import type { ArchiveSource } from '../age/encrypted-source.ts';
import { requireSpace } from '../transfer/disk-space.ts';

export interface AnyArchive {
  /** The seekable archive: the file itself, or the rewritten one. */
  readonly source: ByteSource;
  readonly archive: OpenedArchive;
  /** False if the archive had to be rewritten so that entries can be read individually. */
  readonly seekable: boolean;
  close(): Promise<void>;
}

/**
 * Opens an archive from any packer. One without a footer is checked sequentially and rewritten into a temporary file,
 * which `close` removes: it takes as much disk space as the archive itself. Throws InvalidInputError if it is encrypted,
 * because the file would not be.
 */
export async function openAny(
  source: ArchiveSource,
  progress: (done: number, total: number) => void,
  rewriting: () => void,
): Promise<AnyArchive> {
  if (await isSeekable(source)) {
    return { source, archive: await openArchive(source), seekable: true, close: async () => undefined };
  }
  if (source.isEncrypted) {
    throw new InvalidInputError(
      `${source.name} has no index, so it would have to be written to a temporary file, decrypted.`,
      {
        remedy:
          'Decrypt it where that is acceptable, with `ngbak archive repack … --identity KEYFILE`, and read the result.',
      },
    );
  }
  rewriting();
  await requireSpace(tmpdir(), source.size, 'Free disk space there, or set TMPDIR to another folder.');
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-'));
  try {
    const path = join(folder, 'archive.ngbak');
    await pipeline(normalizeArchive(source, { progress, level: 1 }), createWriteStream(path));
    const file = await fileSource(path);
    return {
      source: file,
      archive: await openArchive(file),
      seekable: false,
      close: async () => {
        await file.close();
        await rm(folder, { recursive: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true });
    throw error;
  }
}
