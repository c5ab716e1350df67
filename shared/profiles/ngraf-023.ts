import { z } from 'zod';
import { NANO_COUNTS, NANO_REFERENCES } from './nano-graphrag.ts';
import type { Profile } from './profile.ts';

const Parameters = z.strictObject({
  /** The graph's namespace: nodes carry the label `GraphRAG_<namespace>`. */
  namespace: z.string().min(1),
  /** What Redis keys start with: `<root>:<namespace of keys>:<id>`. */
  root: z.string().min(1).default('nano_graphrag'),
  collections: z.array(z.string().min(1)).min(1).default(['entities', 'chunks']),
});

/**
 * The fork of nano-graphrag that ticket NGRAF-023 is about: Redis, Neo4j, Qdrant. Keys and collections do not carry the
 * graph's namespace, so one server and database belong to one knowledge base.
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
  // The defaults of its Redis storage; the archives of its own backups have no expiries.
  expiries: { llm_response_cache: 12 * 3600, community_reports: 24 * 3600 },
};
