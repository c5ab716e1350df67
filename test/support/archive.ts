import type { ManifestDraft } from '../../shared/archive/format/manifest.ts';
import type { EntryPiece } from '../../shared/archive/format/types.ts';
import { writeArchive } from '../../shared/archive/write/write.ts';

/** The entries of {@link makeArchive}. */
export const ENTRIES = {
  'graph/nodes-00001.jsonl': Buffer.from('{"type":"node","id":"1"}\n'.repeat(1000)),
  'kv/full_docs.json': Buffer.from('{"doc-1": {"content": "text"}}'),
  'kv/text_chunks.json': Buffer.from('{}'),
};

/** The bytes of a small, valid archive, and its manifest's checksum. */
export async function makeArchive(
  manifest: Partial<ManifestDraft> & { backup_id: string },
): Promise<{ bytes: Buffer; checksum: string }> {
  async function* pieces(): AsyncGenerator<EntryPiece> {
    for (const [name, data] of Object.entries(ENTRIES)) {
      yield { name, size: data.length, offset: 0, length: data.length, data: [data] };
    }
  }
  const written = writeArchive(
    pieces(),
    {
      created_at: '2026-01-02T03:04:05.000Z',
      storage_backends: {},
      statistics: {},
      scope: { type: 'full', stores: ['graph', 'kv'] },
      tallies: {},
      tags: [],
      ...manifest,
    },
    { codec: 'gzip' },
  );
  const chunks: Buffer[] = [];
  for (;;) {
    const next = await written.next();
    if (next.done) return { bytes: Buffer.concat(chunks), checksum: next.value.checksum };
    chunks.push(next.value);
  }
}
