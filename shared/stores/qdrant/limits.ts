import { z } from 'zod';

/** A limit of strict mode; zero or less is treated as one, so that a page never is empty. */
const Limit = z.number().nullish();

/** What of a collection's strict mode matters to the requests of backups and restores. */
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

/** Largest requests that a collection accepts; `Infinity` where it sets no limit (Qdrant documentation, "Strict mode"). */
export interface RequestLimits {
  /** Points that one request may read, by scrolling or by their ids. */
  readonly read: number;
  /** Points that one request may write. */
  readonly write: number;
  /** Ids in one condition of a filter. */
  readonly condition: number;
}

export const NO_LIMITS: RequestLimits = {
  read: Number.POSITIVE_INFINITY,
  write: Number.POSITIVE_INFINITY,
  condition: Number.POSITIVE_INFINITY,
};

/** The limits of a collection, by its strict mode. */
export function requestLimits(strict: StrictMode | null | undefined): RequestLimits {
  if (!strict?.enabled) return NO_LIMITS;
  return {
    // A request costs as many units of the rate as it has points: a larger one than a minute's allowance never passes.
    read: smallest(strict.max_query_limit, strict.read_rate_limit),
    write: smallest(strict.upsert_max_batchsize, strict.write_rate_limit),
    condition: smallest(strict.condition_max_size),
  };
}

function smallest(...limits: readonly (number | null | undefined)[]): number {
  return Math.max(1, Math.min(...limits.map((limit) => limit ?? Number.POSITIVE_INFINITY)));
}

/** Cuts a list into runs of at most `size`. */
export function* runsOf<T>(list: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size);
}
