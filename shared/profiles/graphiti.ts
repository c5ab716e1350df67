import { z } from 'zod';
import type { Profile } from './profile.ts';

const Parameters = z.strictObject({
  /**
   * The groups (`group_id`) that belong to the target; Graphiti's default group on Neo4j is the empty text. Without it:
   * the whole database.
   */
  group_ids: z.array(z.string().max(1000)).min(1).max(1000).optional(),
});

/**
 * Graphiti by Zep (graphiti-core 0.31) on Neo4j. All groups share labels, relationship types and indexes, and are
 * distinguished by a property of nodes and relationships. Embeddings are properties as well.
 */
export const graphiti: Profile<z.infer<typeof Parameters>> = {
  name: 'graphiti',
  Parameters,
  scopes: ({ group_ids: groups }) => ({
    graph: {
      ...(groups === undefined ? {} : { property: 'group_id', in: groups }),
      key_property: 'uuid',
    },
  }),
  // Read from the packages of graphiti-core 0.17.11 to 0.31.2: `graph_queries.py`.
  versionMarks: () => [
    {
      store: 'graph',
      find: { kind: 'index', pattern: /^community_group_id$/ },
      since: '0.19.0',
    },
    {
      store: 'graph',
      find: { kind: 'index', pattern: /^saga_uuid$/ },
      since: '0.26.0',
      earlier: 'ignore sagas and the order of their episodes',
    },
  ],
  configurationFiles: ['.env'],
  counts: {},
  labels: { documents: 'Episodic', entities: 'Entity', communities: 'Community' },
  references: [
    {
      from: { store: 'graph', thing: 'nodes', field: 'entity_edges' },
      to: { store: 'graph', thing: 'relationships', field: 'uuid' },
    },
    {
      from: { store: 'graph', thing: 'relationships', field: 'episodes' },
      to: { store: 'graph', thing: 'nodes', field: 'uuid' },
    },
  ],
};
