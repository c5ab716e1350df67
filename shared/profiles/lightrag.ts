import { z } from 'zod';
import type { Json } from '../core/json.ts';
import { SEPARATOR } from './nano-graphrag.ts';
import {
  type Field,
  inTables,
  type MovableTable,
  type Profile,
  type Reference,
  type VersionMark,
} from './profile.ts';

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

const CHUNK: Field = {
  store: 'kv',
  thing: 'text_chunks',
  field: 'id',
  table: { thing: 'lightrag_doc_chunks', field: 'id' },
};
const DOCUMENT: Field = {
  store: 'kv',
  thing: 'full_docs',
  field: 'id',
  table: { thing: 'lightrag_doc_full', field: 'id' },
};
/** A relationship, by the keys of its ends. */
const RELATION: Field = {
  store: 'graph',
  thing: 'relationships',
  field: 'start.entity_id|end.entity_id',
};

/** References of vectors to a graph that is in tables as well, and of that graph to chunks. */
const GRAPH_IN_TABLES: readonly Reference[] = [
  {
    from: inTables('lightrag_vdb_entity', 'entity_name'),
    to: inTables('lightrag_graph_nodes', 'id', { isOptional: true }),
    without: 'graph',
  },
  {
    from: inTables('lightrag_vdb_relation', 'source_id|target_id'),
    to: inTables('lightrag_graph_edges', 'src_id|tgt_id', { isOptional: true }),
    without: 'graph',
  },
  ...['lightrag_graph_nodes', 'lightrag_graph_edges'].map(
    (table): Reference => ({
      from: inTables(table, 'properties.source_id'),
      separator: SEPARATOR,
      to: CHUNK,
      without: 'graph',
    }),
  ),
];

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
  several: ['kv'],
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
  versionMarks: () => VERSION_MARKS,
  configurationFiles: ['.env', 'config.ini'],
  movable: { namespaces: NAMESPACES, derived: { doc_status: '__sched' }, tables: tablesOfNamespaces() },
  counts: { documents: 'full_docs', chunks: 'text_chunks', cache_entries: 'llm_response_cache' },
  tables: {
    documents: 'lightrag_doc_full',
    chunks: 'lightrag_doc_chunks',
    cache_entries: 'lightrag_llm_cache',
    entities: 'lightrag_graph_nodes',
    relationships: 'lightrag_graph_edges',
    vectors: 'lightrag_vdb_*',
  },
  columns: { documents: 'lightrag_doc_status.status' },
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
    { from: { store: 'vectors', thing: 'relationships', field: 'src_id|tgt_id' }, to: RELATION },
    { from: { store: 'vectors', thing: 'chunks', field: 'full_doc_id' }, to: DOCUMENT },
    ...(['nodes', 'relationships'] as const).map((thing) => ({
      from: { store: 'graph' as const, thing, field: 'source_id' },
      separator: SEPARATOR,
      to: CHUNK,
    })),
    {
      from: {
        store: 'kv',
        thing: 'text_chunks',
        field: 'full_doc_id',
        table: { thing: 'lightrag_doc_chunks', field: 'full_doc_id' },
      },
      to: DOCUMENT,
    },
    { from: inTables('lightrag_vdb_chunks', 'id'), to: CHUNK },
    { from: inTables('lightrag_vdb_chunks', 'full_doc_id'), to: DOCUMENT },
    { from: inTables('lightrag_vdb_entity', 'chunk_ids'), to: CHUNK },
    { from: inTables('lightrag_vdb_relation', 'chunk_ids'), to: CHUNK },
    {
      from: inTables('lightrag_vdb_entity', 'entity_name'),
      to: { store: 'graph', thing: 'nodes', field: 'entity_id' },
    },
    { from: inTables('lightrag_vdb_relation', 'source_id|target_id'), to: RELATION },
    ...GRAPH_IN_TABLES,
  ],
};

/** The end of a sentence about data that LightRAG changes when it starts. */
const MIGRATES = 'change this when they start: restart LightRAG after the restore';

/** Read from the packages of lightrag-hku 1.3.9 to 1.5.7: the first release with, or without, each of these. */
const VERSION_MARKS: readonly VersionMark[] = [
  {
    store: 'graph',
    find: { kind: 'index', pattern: /^entity_id_fulltext_idx$/ },
    since: '1.4.9',
    before: '1.4.9.9',
    later:
      'look for "entity_id_fulltext_idx_<workspace>" and replace this full-text index when they start: restart LightRAG after the restore, because until then it searches labels without an index. All workspaces of a database share the old name',
    earlier: 'do not use this full-text index',
  },
  {
    store: 'graph',
    find: { kind: 'index', pattern: /^entity_id_fulltext_idx_./ },
    since: '1.4.9.9',
    earlier:
      'look for the full-text index under the name "entity_id_fulltext_idx" and cannot create it beside this one, so they search labels without an index',
  },
  {
    store: 'vectors',
    find: { kind: 'tally', pattern: /^points:lightrag_vdb_(?:entities|relationships|chunks)/ },
    since: '1.4.9.7',
    earlier: 'look for collections "<workspace>_<name>", and do not find these',
  },
  {
    store: 'vectors',
    find: { kind: 'tally', pattern: /^points:lightrag_vdb_(?:entities|relationships|chunks)_.+_\d+d$/ },
    since: '1.4.9.9',
    earlier: 'look for collections without model and dimension in their names, and do not find these',
  },
  {
    store: 'kv',
    find: { kind: 'key', pattern: /(?:^|_)llm_response_cache:(?:default|local|global|hybrid|naive|mix)$/ },
    before: '1.4.0',
    later: `keep a cached answer per key and ${MIGRATES}`,
  },
  {
    store: 'kv',
    find: { kind: 'tally', pattern: /^(?:keys:full_entities|rows:lightrag_full_entities)$/ },
    since: '1.4.6',
    earlier: 'ignore these lists of entities and relations by document, and do not keep them up to date',
  },
  {
    store: 'kv',
    find: { kind: 'tally', pattern: /^(?:keys:entity_chunks|rows:lightrag_entity_chunks)$/ },
    since: '1.4.9.4',
    earlier: 'ignore these lists of chunks, and do not keep them up to date',
  },
  {
    store: 'kv',
    find: { kind: 'file', pattern: /(?:^|\/)kv_store_entity_chunks\.json$/ },
    since: '1.4.9.4',
    earlier: 'ignore these lists of chunks, and do not keep them up to date',
  },
  {
    store: 'kv',
    find: { kind: 'key', pattern: /(?:^|_)doc_status__sched:/ },
    since: '1.5.5',
    earlier: 'do not keep the scheduling index of document status up to date',
  },
  {
    store: 'kv',
    find: { kind: 'tally', pattern: /^rows:lightrag_vdb_.+_\d+d$/ },
    since: '1.4.9.9',
    earlier: 'look for tables without model and dimension in their names, and do not find these',
  },
  {
    store: 'kv',
    find: { kind: 'tally', pattern: /^rows:lightrag_graph_(?:nodes|edges)$/ },
    since: '1.5.6',
    earlier: 'have no storage class for a graph in these tables',
  },
  {
    store: 'kv',
    find: { kind: 'column', pattern: /^lightrag_doc_chunks\.content_vector$/ },
    before: '1.4.0',
    later: `have a table of its own for the vectors of chunks and ${MIGRATES}`,
  },
  {
    store: 'kv',
    find: { kind: 'column', pattern: /^lightrag_doc_status\.content$/ },
    before: '1.4.5',
    later: `have other columns and ${MIGRATES}`,
  },
  {
    store: 'kv',
    find: { kind: 'column', pattern: /^lightrag_llm_cache\.cache_type$/ },
    since: '1.4.7',
    earlier: 'expect other columns of cached answers',
  },
  {
    store: 'kv',
    find: { kind: 'column', pattern: /^lightrag_doc_status\.content_hash$/ },
    since: '1.5.0',
    earlier: 'expect other columns of documents and chunks',
  },
];

/** The tables of lightrag-hku 1.5 (`TABLES` in `lightrag/kg/postgres_impl.py`), with the fields that its classes read. */
function tablesOfNamespaces(): Readonly<Record<(typeof NAMESPACES)[number], MovableTable>> {
  const table = (
    name: string,
    fields: readonly string[],
    renamed: Readonly<Record<string, string>> = {},
  ) => ({
    name: `lightrag_${name}`,
    fields: {
      ...Object.fromEntries([...fields, 'create_time', 'update_time'].map((field) => [field, field])),
      ...renamed,
    },
    holdsId: name !== 'doc_status',
  });
  const [chunkIds, parsed] = [
    ['chunk_ids', 'count'],
    ['sidecar_location', 'parse_format', 'content_hash', 'process_options', 'chunk_options', 'parse_engine'],
  ];
  return {
    full_docs: table('doc_full', ['content', ...parsed], { doc_name: 'file_path' }),
    text_chunks: table('doc_chunks', [
      ...['full_doc_id', 'chunk_order_index', 'tokens', 'content', 'file_path'],
      ...['llm_cache_list', 'heading', 'sidecar'],
    ]),
    llm_response_cache: table('llm_cache', ['original_prompt', 'chunk_id', 'cache_type', 'queryparam'], {
      return_value: 'return',
    }),
    full_entities: table('full_entities', ['entity_names', 'count']),
    full_relations: table('full_relations', ['relation_pairs', 'count']),
    entity_chunks: table('entity_chunks', chunkIds),
    relation_chunks: table('relation_chunks', chunkIds),
    doc_status: table('doc_status', [
      ...['content_summary', 'content_length', 'chunks_count', 'status', 'file_path', 'chunks_list'],
      ...['track_id', 'metadata', 'error_msg', 'content_hash', 'created_at', 'updated_at'],
    ]),
  };
}

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
