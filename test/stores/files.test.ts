import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, unlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { filesAdapter } from '../../shared/stores/files/adapter.ts';
import { type Conformance, conformsToPort, underName } from './conformance.ts';

const FILES: Record<string, string> = {
  'kv_store_full_docs.json': '{"doc-1": {"content": "ä"}}',
  'kv_store_text_chunks.json': '{}',
  'vdb_entities.json': '{"embedding_dim": 2, "data": [], "matrix": ""}',
  'graph_chunk_entity_relation.graphml': '<graphml/>',
  'entities_hnsw_metadata.pkl': '\u0080\u0004.',
};
/** The same for each seed: the modification time is part of the fence. */
const CHANGED_AT = new Date('2026-01-01T00:00:00Z');

async function folderOfFiles(): Promise<Conformance> {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-files-'));
  const empty = async () => {
    for (const name of await readdir(folder)) await unlink(join(folder, name));
  };
  const scope = filesAdapter.Scope.parse({ include: ['*'] });
  const open = () => filesAdapter.create({ location: folder }, scope, { target: 'test' });
  return {
    open,
    seed: async () => {
      await empty();
      for (const [name, text] of Object.entries(FILES)) {
        await writeFile(join(folder, name), text, 'latin1');
        await utimes(join(folder, name), CHANGED_AT, CHANGED_AT);
      }
    },
    empty,
    change: async () => {
      await writeFile(join(folder, 'vdb_entities.json'), 'changed');
      await writeFile(join(folder, 'new.json'), '{}');
      await unlink(join(folder, 'kv_store_text_chunks.json'));
    },
    loseRecord: () => unlink(join(folder, 'vdb_entities.json')),
    changeRecord: () => writeFile(join(folder, 'kv_store_text_chunks.json'), '[]'),
    addRecord: () => writeFile(join(folder, 'new.json'), '{}'),
    leftovers: async () => (await readdir(folder)).filter((name) => name.startsWith('.ngbak')),
    content: async () => {
      const names = (await readdir(folder)).sort();
      const hashes = names.map(async (name) => {
        const hash = createHash('sha256').update(await readFile(join(folder, name)));
        return `${name} ${hash.digest('hex')}`;
      });
      return (await Promise.all(hashes)).join('\n');
    },
    merges: true,
    compared: { scope, open, changes: { files: [1, 1, 1] } },
    close: () => rm(folder, { recursive: true }),
  };
}

conformsToPort('files', folderOfFiles);
conformsToPort('files (a further store)', async () =>
  underName(await folderOfFiles(), filesAdapter, 'kv_files'),
);
