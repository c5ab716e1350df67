/** The location of a knowledge base in its three stores. */
export interface Layout {
  /** Label of every node. */
  readonly label: string;
  /** Collections of entity and chunk vectors. */
  readonly collections: { readonly entities: string; readonly chunks: string };
  /** Prefix of Redis keys: `<prefix>:<namespace>:<id>`. */
  readonly keyPrefix: string;
}

/** The layout of the nano-graphrag fork of ticket NGRAF-023: label `GraphRAG_<namespace>`. */
export function ngraf023Layout(namespace: string): Layout {
  return {
    label: `GraphRAG_${namespace}`,
    collections: { entities: 'entities', chunks: 'chunks' },
    keyPrefix: 'nano_graphrag',
  };
}

/** TTL of the fork's Redis keys in seconds, by namespace. Other namespaces do not expire. */
export const TTL_SECONDS: Readonly<Record<string, number>> = {
  llm_response_cache: 12 * 3600,
  community_reports: 24 * 3600,
};
