import type { FileInfo, Folder } from './folder.ts';

/** The first and the last four bytes of a complete file: https://parquet.apache.org/docs/file-format/. */
const MAGIC = 'PAR1';

/** Whether a file is parquet by its name, and lacks the end that its writer adds last. */
export function isUnfinishedParquet(name: string, head: Uint8Array, tail: Uint8Array): boolean {
  const mark = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  return isParquet(name) && (mark(head.subarray(0, 4)) !== MAGIC || mark(tail.subarray(-4)) !== MAGIC);
}

/** Like {@link isUnfinishedParquet}, for a file that is not in memory. */
export async function isUnfinished(folder: Folder, file: FileInfo): Promise<boolean> {
  if (!isParquet(file.name)) return false;
  if (file.size < 2 * MAGIC.length) return true;
  const [head, tail] = [
    await bytesAt(folder, file, 0),
    await bytesAt(folder, file, file.size - MAGIC.length),
  ];
  return isUnfinishedParquet(file.name, head, tail);
}

function isParquet(name: string): boolean {
  return name.endsWith('.parquet');
}

async function bytesAt(folder: Folder, file: FileInfo, offset: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of folder.read(file, offset, MAGIC.length)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
