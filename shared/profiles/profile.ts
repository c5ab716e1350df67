import type { z } from 'zod';
import type { Json } from '../core/json.ts';
import type { StoreName } from '../core/store-names.ts';

/** The counts by which people know a knowledge base; statistics of the manifest. */
export const STATISTICS = [
  'documents',
  'chunks',
  'entities',
  'relationships',
  'communities',
  'vectors',
  'cache_entries',
] as const;
export type Statistic = (typeof STATISTICS)[number];

/** Scopes of the stores, in the terms of their adapters; without those that a profile says nothing about. */
export type ProfileScopes = Partial<Record<StoreName, Record<string, Json>>>;

/** A field of the data of one store, such as `source_id` of nodes. */
export interface Field {
  readonly store: 'graph' | 'vectors' | 'kv';
  /** `nodes`, `relationships`, a collection, or a namespace of keys. */
  readonly thing: string;
  readonly field: string;
}

/** A promise that stores make each other: each value of `from` is found as a value of `to`. */
export interface Reference {
  readonly from: Field;
  /** Where a field holds several values: what stands between them. Lists need none. */
  readonly separator?: string;
  /** `id` as field of keys is what follows the namespace's prefix. */
  readonly to: Field;
}

/** How one GraphRAG system lays out its data. Pure: it derives names, and reaches nothing. */
export interface Profile<Parameters = unknown> {
  readonly name: string;
  /** The parameters that a target gives in its configuration. */
  readonly Parameters: z.ZodType<Parameters>;
  /** Which part of each store belongs to the knowledge base; `kvKind` is the adapter of the key-value data. */
  scopes(parameters: Parameters, kvKind: string): ProfileScopes;
  /** Namespaces of keys by what they count as. */
  readonly counts: Readonly<Partial<Record<Statistic, string>>>;
  readonly references: readonly Reference[];
  /** Files beside the data that configure the system, for targets with a files store. */
  readonly configurationFiles?: readonly string[];
  /** After how many seconds the system lets the keys of a namespace expire, for archives that do not say so. */
  readonly expiries?: Readonly<Record<string, number>>;
}
