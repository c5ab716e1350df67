import { DatabaseParameters } from './neo4j-graphrag.ts';
import type { Profile } from './profile.ts';

/** LlamaIndex's property graph store and vector store on Neo4j (llama-index-graph-stores-neo4j 0.8). */
export const llamaindex: Profile<DatabaseParameters> = {
  name: 'llamaindex',
  Parameters: DatabaseParameters,
  scopes: ({ label }) => ({ graph: { ...(label === undefined ? {} : { label }), key_property: 'id' } }),
  configurationFiles: ['.env'],
  counts: {},
  labels: { chunks: 'Chunk', entities: '__Entity__' },
  references: [
    {
      from: { store: 'graph', thing: 'nodes', field: 'triplet_source_id' },
      to: { store: 'graph', thing: 'nodes', field: 'id' },
    },
    {
      from: { store: 'graph', thing: 'relationships', field: 'triplet_source_id' },
      to: { store: 'graph', thing: 'nodes', field: 'id' },
    },
  ],
};
