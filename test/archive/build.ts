import type { ManifestDraft } from '../../shared/archive/format/manifest.ts';
import type { ByteSource, EntryPiece, EntryReader } from '../../shared/archive/format/types.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { type WriteOptions, writeArchive } from '../../shared/archive/write/write.ts';

/** The minimal manifest. */
export const DRAFT: ManifestDraft = {
  backup_id: 'snapshot_2025-10-06T14-30-00Z',
  created_at: '2025-10-06T14:30:00.000Z',
  ngbak_version: '0.1.0',
  storage_backends: { graph: { kind: 'neo4j', version: '5.26.30' } },
  statistics: { documents: 1 },
  scope: { type: 'full', stores: ['graph', 'kv'], target: 'default' },
  tallies: {},
  tags: [],
};

export interface Content {
  readonly name: string;
  readonly data: Uint8Array;
}

/** The contents in pieces; large ones are split at `pieceBytes`. */
export async function* piecesOf(
  contents: Iterable<Content>,
  pieceBytes = Infinity,
): AsyncGenerator<EntryPiece> {
  for (const { name, data } of contents) {
    let offset = 0;
    do {
      const part = data.subarray(offset, offset + pieceBytes);
      yield { name, size: data.length, offset, length: part.length, data: [part] };
      offset += part.length;
    } while (offset < data.length);
  }
}

/** All bytes of a stream, and its return value. */
export async function collect<T>(
  stream: AsyncGenerator<Uint8Array, T>,
): Promise<{ bytes: Buffer; result: T }> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done) return { bytes: Buffer.concat(chunks), result: next.value };
    chunks.push(next.value);
  }
}

/** A whole archive in memory. */
export async function buildArchive(
  contents: Iterable<Content>,
  options: Partial<WriteOptions> & { pieceBytes?: number; draft?: ManifestDraft } = {},
): Promise<Buffer> {
  const { pieceBytes, draft, ...rest } = options;
  const stream = writeArchive(piecesOf(contents, pieceBytes), draft ?? DRAFT, { codec: 'gzip', ...rest });
  return (await collect(stream)).bytes;
}

/** A source that counts the bytes read from it. */
export function countingSource(bytes: Uint8Array): ByteSource & { reads: number; bytes: number } {
  const source = bufferSource('counted.ngbak', bytes);
  const counted = {
    name: source.name,
    size: source.size,
    reads: 0,
    bytes: 0,
    read(offset: number, length: number) {
      counted.reads++;
      counted.bytes += length;
      return source.read(offset, length);
    },
  };
  return counted;
}

/** Content of one entry of an opened archive. */
export async function readAll(archive: EntryReader, name: string): Promise<Buffer> {
  const entry = await archive.find(name);
  if (!entry) throw new Error(`no entry ${name}`);
  const parts: Uint8Array[] = [];
  for await (const chunk of archive.open(entry)) parts.push(chunk);
  return Buffer.concat(parts);
}
