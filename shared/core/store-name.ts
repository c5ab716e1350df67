import { z } from 'zod';
import {
  type ByServedStore,
  type ByStore,
  FURTHER_STORE,
  type FurtherStore as FurtherName,
  SERVED_ROLES,
  STORE_ROLES,
  STORES_MAX,
} from './store-names.ts';

/** Not a template of zod, which the generator of the OpenAPI document reduces to its first part. */
const FurtherStore = z.string().regex(FURTHER_STORE) as unknown as z.ZodType<FurtherName, FurtherName>;
const FURTHER = 'or a further store such as "kv_files" (lower-case letters, digits and "_")';
const SERVED_NAMES = `must be "graph", "vectors", "kv", ${FURTHER}`;
const NAMES = `must be "graph", "vectors", "kv", "config", ${FURTHER}`;

/** The name of a store that has a server or a folder. */
export const ServedStore = z.union([z.enum(SERVED_ROLES), FurtherStore], { error: SERVED_NAMES });
export type ServedStore = z.infer<typeof ServedStore>;

/** The name of a store: its role, or `vectors_` or `kv_` with a suffix for a further store of that role. */
export const StoreName = z.union([z.enum(STORE_ROLES), FurtherStore], { error: NAMES });
export type StoreName = z.infer<typeof StoreName>;

/** Names of stores. */
export const StoreList = z.array(StoreName).max(STORES_MAX + 1);

/** Schema of values by store. */
export function byStore<Value, Input>(
  value: z.ZodType<Value, Input>,
): z.ZodType<ByStore<Value>, ByStore<Input>> {
  const schema = z.partialRecord(StoreName, value, { error: invalidKey(NAMES) });
  return schema.refine(...noMoreThan(STORES_MAX + 1)) as unknown as z.ZodType<ByStore<Value>, ByStore<Input>>;
}

/** Schema of values by store, without the configuration. */
export function byServedStore<Value, Input>(
  value: z.ZodType<Value, Input>,
): z.ZodType<ByServedStore<Value>, ByServedStore<Input>> {
  const schema = z.partialRecord(ServedStore, value, { error: invalidKey(SERVED_NAMES) });
  return schema.refine(...noMoreThan(STORES_MAX)) as unknown as z.ZodType<
    ByServedStore<Value>,
    ByServedStore<Input>
  >;
}

function invalidKey(names: string) {
  return ({ code }: { readonly code: string }) =>
    code === 'invalid_key' ? `the name of a store ${names}` : undefined;
}

function noMoreThan(stores: number): [(values: object) => boolean, string] {
  return [(values) => Object.keys(values).length <= stores, `must not hold more than ${stores} stores`];
}
