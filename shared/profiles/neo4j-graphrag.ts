import { z } from 'zod';
import type { Profile } from './profile.ts';

/** Parameters of the systems that use a whole Neo4j database. */
export const DatabaseParameters = z.strictObject({
  /** Only nodes with this label, if the database holds other data as well: `__KGBuilder__`, `__Node__`, `__Entity__`. */
  label: z.string().min(1).optional(),
});
export type DatabaseParameters = z.infer<typeof DatabaseParameters>;

/**
 * neo4j-graphrag 1.22 and LLM Graph Builder: chunks, documents and entities in one database, with embeddings as
 * properties. Nodes of neo4j-graphrag have no property that identifies them.
 */
export const neo4jGraphrag: Profile<DatabaseParameters> = {
  name: 'neo4j-graphrag',
  Parameters: DatabaseParameters,
  scopes: ({ label }) => ({ graph: label === undefined ? {} : { label } }),
  configurationFiles: ['.env'],
  counts: {},
  labels: { documents: 'Document', chunks: 'Chunk', entities: '__Entity__', communities: '__Community__' },
  // Nodes refer to each other by relationships only.
  references: [],
};
