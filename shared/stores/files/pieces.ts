import { z } from 'zod';
import type { Tallies } from '../../core/digest.ts';
import type { ExportStep } from '../export-step.ts';
import { FileDigest, PIECE_BYTES } from './file-digest.ts';
import type { FileInfo, Folder } from './folder.ts';

/** Files up to this size in bytes are held in memory before they are archived, and read again if they changed. */
export const WHOLE_BYTES = 8 * 1024 ** 2;

export const FilesCursor = z.strictObject({
  /** The file to continue with; or, if `offset` is null, the last file that was completed. */
  file: z.string(),
  offset: z.number().int().nonnegative().nullable(),
  /** Version of the file to continue with. */
  version: z.string(),
  /** Size of a growing file when its first piece was read, in bytes. */
  size: z.number().int().nonnegative().nullable().default(null),
  /** Version of the database to which the file belongs as its log. */
  database: z.string().nullable().default(null),
});
export type FilesCursor = z.infer<typeof FilesCursor>;

/** The cursor after some bytes of a file that is not a log. */
export function cursorAfter(
  { name, size, version }: FileInfo,
  end: number,
  last: boolean,
): FilesCursor | null {
  const offset = end < size ? end : null;
  if (offset === null && last) return null;
  return { file: name, offset, version: offset === null ? '' : version, size: null, database: null };
}

/** Reads a file into memory. */
export async function readAll(
  folder: Folder,
  file: FileInfo,
  options?: { readonly mayGrow?: boolean },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of folder.read(file, 0, file.size, options)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** How a file is streamed. */
export interface Streamed {
  /** Its name in the archive. */
  readonly entry: string;
  /** Where to start within the file. */
  readonly start: number;
  readonly mayGrow?: boolean;
  /** Where the export continues after a piece that ends there. */
  next(end: number): FilesCursor | null;
  /** Receives the content. */
  watch?(chunk: Uint8Array): Promise<void>;
}

/** Streams a file in pieces, between which a leg can end. */
export async function* pieces(
  folder: Folder,
  file: FileInfo,
  { entry, start, mayGrow = false, next, watch }: Streamed,
): AsyncGenerator<ExportStep> {
  let offset = start;
  do {
    const from = offset;
    const length = Math.min(PIECE_BYTES, file.size - from);
    const digest = new FileDigest(file.name, file.size, from);
    const tallies: Tallies = {};
    const data = async function* () {
      for await (const chunk of digest.watch(folder.read(file, from, length, { mayGrow }))) {
        await watch?.(chunk);
        yield chunk;
      }
      Object.assign(tallies, digest.tallies());
    };
    offset += length;
    yield {
      piece: { name: entry, size: file.size, offset: from, length, data: data() },
      // Filled while the piece is read, which is before the tallies are used.
      tallies,
      next: next(offset),
    };
  } while (offset < file.size);
}
