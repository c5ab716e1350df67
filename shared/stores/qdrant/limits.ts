import { z } from 'zod';

/** A limit in strict mode. Zero or less is treated as one, so that a page is never empty. */
const Limit = z.number().nullish();

/** The strict-mode settings of a collection that affect the requests of backups and restores. */
export const StrictMode = z.looseObject({
  enabled: z.boolean().nullish(),
  max_query_limit: Limit,
  upsert_max_batchsize: Limit,
  condition_max_size: Limit,
  filter_max_conditions: Limit,
  read_rate_limit: Limit,
  write_rate_limit: Limit,
  max_points_count: Limit,
  max_collection_vector_size_bytes: Limit,
  max_payload_index_count: Limit,
  unindexed_filtering_retrieve: z.boolean().nullish(),
  unindexed_filtering_update: z.boolean().nullish(),
});
export type StrictMode = z.infer<typeof StrictMode>;

/**
 * The largest requests that a collection accepts; `Infinity` if it sets no limit (Qdrant documentation, "Strict mode").
 */
export interface RequestLimits {
  /** Maximum number of points in one read request, by scrolling or by ID. */
  readonly read: number;
  /** Maximum number of points in one write request. */
  readonly write: number;
  /** Maximum number of IDs in one filter condition. */
  readonly condition: number;
}

export const NO_LIMITS: RequestLimits = {
  read: Number.POSITIVE_INFINITY,
  write: Number.POSITIVE_INFINITY,
  condition: Number.POSITIVE_INFINITY,
};

/** Derives the limits of a collection from its strict mode. */
export function requestLimits(strict: StrictMode | null | undefined): RequestLimits {
  if (!strict?.enabled) return NO_LIMITS;
  return {
    // Each point in a request counts toward the rate limit: a request larger than a minute's allowance can never pass.
    read: smallest(strict.max_query_limit, strict.read_rate_limit),
    write: smallest(strict.upsert_max_batchsize, strict.write_rate_limit),
    condition: smallest(strict.condition_max_size),
  };
}

function smallest(...limits: readonly (number | null | undefined)[]): number {
  return Math.max(1, Math.min(...limits.map((limit) => limit ?? Number.POSITIVE_INFINITY)));
}

/** Splits a list into batches of at most `size`. */
export function* runsOf<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size);
}
