/** The systems that the demo can build, and where each keeps its data; the first one is the default. */
export const SUMMARIES = {
  'ngraf-023': 'the NGRAF-023 fork of nano-graphrag: Neo4j, Qdrant and Redis',
  'lightrag-pg': 'LightRAG as its Helm chart installs it: PostgreSQL with pgvector, and Neo4j',
  'ms-graphrag': 'Microsoft GraphRAG: parquet, LanceDB and other files in S3 (needs Python 3.11)',
} as const;

export type SystemName = keyof typeof SUMMARIES;
export const DEFAULT_SYSTEM: SystemName = 'ngraf-023';
