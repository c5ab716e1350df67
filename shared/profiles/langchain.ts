import { DatabaseParameters } from './neo4j-graphrag.ts';
import type { Profile } from './profile.ts';

/** LangChain's graph, vector store and message history on Neo4j (langchain-neo4j 0.11). */
export const langchain: Profile<DatabaseParameters> = {
  name: 'langchain',
  Parameters: DatabaseParameters,
  scopes: ({ label }) => ({ graph: { ...(label === undefined ? {} : { label }), key_property: 'id' } }),
  configurationFiles: ['.env'],
  counts: {},
  labels: { documents: 'Document', chunks: 'Chunk', entities: '__Entity__' },
  // Nodes refer to each other by relationships only.
  references: [],
};
