import { z } from 'zod';
import { NANO_COUNTS, NANO_REFERENCES } from './nano-graphrag.ts';
import type { Profile } from './profile.ts';

const Parameters = z.strictObject({
  /** The graph's namespace: nodes carry the label `GraphRAG_<namespace>`. */
  namespace: z.string().min(1),
  /** The root of Redis keys: `<root>:<namespace of keys>:<id>`. */
  root: z.string().min(1).default('nano_graphrag'),
  collections: z.array(z.string().min(1)).min(1).default(['entities', 'chunks']),
});

/**
 * The fork of nano-graphrag from ticket NGRAF-023: Redis, Neo4j, Qdrant. Keys and collections do not contain the
 * graph's namespace, so a server and database hold a single knowledge base.
 */
export const ngraf023: Profile<z.infer<typeof Parameters>> = {
  name: 'ngraf-023',
  Parameters,
  scopes: ({ namespace, root, collections }, kvKind) => ({
    graph: { label: `GraphRAG_${namespace}`, key_property: 'id' },
    vectors: { collections },
    kv: kvKind === 'files' ? {} : { prefix: `${root}:`, separator: ':' },
  }),
  configurationFiles: ['settings.yaml', 'settings.yml', '.env'],
  counts: NANO_COUNTS,
  references: NANO_REFERENCES,
  // Defaults of its Redis storage. The archives that its own backups create contain no expiries.
  expiries: { llm_response_cache: 12 * 3600, community_reports: 24 * 3600 },
};
