/** Where a knowledge base lies in its three stores. */
export interface Layout {
  /** Label that every node carries. */
  readonly label: string;
  /** Collections of entity and chunk vectors. */
  readonly collections: { readonly entities: string; readonly chunks: string };
  /** What Redis keys start with: `<prefix>:<namespace>:<id>`. */
  readonly keyPrefix: string;
}

/** The layout of the nano-graphrag fork that ticket NGRAF-023 is about: label `GraphRAG_<namespace>`. */
export function ngraf023Layout(namespace: string): Layout {
  return {
    label: `GraphRAG_${namespace}`,
    collections: { entities: 'entities', chunks: 'chunks' },
    keyPrefix: 'nano_graphrag',
  };
}

/** Seconds that Redis keeps what the fork writes, by namespace. What is not named stays for good. */
export const TTL_SECONDS: Readonly<Record<string, number>> = {
  llm_response_cache: 12 * 3600,
  community_reports: 24 * 3600,
};
