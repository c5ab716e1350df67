import { z } from 'zod';
import type { Json } from '../core/json.ts';
import { CHUNK_REFERENCES } from './nano-graphrag.ts';
import type { Profile } from './profile.ts';

/** Key namespaces of lightrag-hku 1.5 (`lightrag/namespace.py`). */
const NAMESPACES = [
  'full_docs',
  'text_chunks',
  'llm_response_cache',
  'full_entities',
  'full_relations',
  'entity_chunks',
  'relation_chunks',
  'doc_status',
] as const;
const COLLECTIONS = ['entities', 'relationships', 'chunks'] as const;

const Parameters = z.strictObject({
  /** Separates knowledge bases on the same servers; '' if LightRAG runs without a workspace. */
  workspace: z.string().default(''),
  /**
   * The workspace of a single store, if LightRAG overrides it: `NEO4J_WORKSPACE`, `QDRANT_WORKSPACE`,
   * `REDIS_WORKSPACE` or `POSTGRES_WORKSPACE`.
   */
  graph_workspace: z.string().optional(),
  vectors_workspace: z.string().optional(),
  kv_workspace: z.string().optional(),
  /** The part after `lightrag_vdb_<namespace>_` in the names of the Qdrant collections: `<model>_<dimension>d`. */
  model_suffix: z.string().min(1).optional(),
});

/**
 * LightRAG (lightrag-hku 1.5). All workspaces share the Qdrant collections and are distinguished by a payload field.
 * The Redis keys of workspace `a` share a prefix with those of `a_b`, so the scope lists exactly the known namespaces
 * instead of everything with the workspace's prefix.
 */
export const lightrag: Profile<z.infer<typeof Parameters>> = {
  name: 'lightrag',
  Parameters,
  scopes({ workspace, model_suffix, ...overrides }, kvKind) {
    const graph = overrides.graph_workspace ?? workspace;
    const vectors = overrides.vectors_workspace ?? workspace;
    const kv = overrides.kv_workspace ?? workspace;
    const suffix = model_suffix === undefined ? '' : `_${model_suffix}`;
    return {
      graph: { label: graph === '' ? 'base' : graph, key_property: 'entity_id' },
      vectors: {
        collections: COLLECTIONS.map((collection) => `lightrag_vdb_${collection}${suffix}`),
        filter: { key: 'workspace_id', value: vectors === '' ? '_' : vectors },
        point_ids: { scheme: 'sha256-uuid4', field: 'id' },
      },
      kv: kvScope(kv, kvKind),
    };
  },
  configurationFiles: ['.env', 'config.ini'],
  counts: { documents: 'full_docs', chunks: 'text_chunks', cache_entries: 'llm_response_cache' },
  tables: {
    documents: 'lightrag_doc_full',
    chunks: 'lightrag_doc_chunks',
    cache_entries: 'lightrag_llm_cache',
  },
  references: [
    {
      from: { store: 'vectors', thing: 'entities', field: 'entity_name' },
      to: { store: 'graph', thing: 'nodes', field: 'entity_id' },
    },
    {
      from: { store: 'vectors', thing: 'relationships', field: 'src_id' },
      to: { store: 'graph', thing: 'nodes', field: 'entity_id' },
    },
    {
      from: { store: 'vectors', thing: 'relationships', field: 'tgt_id' },
      to: { store: 'graph', thing: 'nodes', field: 'entity_id' },
    },
    {
      from: { store: 'vectors', thing: 'chunks', field: 'full_doc_id' },
      to: { store: 'kv', thing: 'full_docs', field: 'id' },
    },
    ...CHUNK_REFERENCES,
  ],
};

/** Keys, files, or rows of tables: in PostgreSQL, those of vectors and of a graph in tables as well. */
function kvScope(workspace: string, kind: string): Record<string, Json> {
  if (kind === 'files') return { folder: workspace };
  if (kind === 'postgres') {
    const value = workspace === '' ? 'default' : workspace;
    return { tables: ['lightrag_*'], workspace: { column: 'workspace', in: [value] } };
  }
  const prefix = workspace === '' ? '' : `${workspace}_`;
  return {
    prefix,
    others: 'exclude',
    namespaces: NAMESPACES.map((name) => ({
      name,
      prefix: `${prefix}${name}:`,
      // The scheduling index belongs to the status records: select both or neither.
      ...(name === 'doc_status' ? { also: [`${escapeGlob(prefix)}doc_status__sched:*`] } : {}),
    })),
  };
}

function escapeGlob(text: string): string {
  return text.replaceAll(/[\\*?[\]]/g, '\\$&');
}
