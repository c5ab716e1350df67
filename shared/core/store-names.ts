/** The stores of a knowledge base, each a folder of the archive and a branch of the workflow. */
export const STORE_NAMES = ['graph', 'vectors', 'kv', 'config'] as const;
export type StoreName = (typeof STORE_NAMES)[number];
