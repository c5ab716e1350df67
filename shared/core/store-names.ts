/**
 * What the stores of a knowledge base are for. Each role has a function for exports and one for restores, and each
 * backend serves one role.
 */
export const STORE_ROLES = ['graph', 'vectors', 'kv', 'config'] as const;
export type StoreRole = (typeof STORE_ROLES)[number];
/** The roles of stores that have a server or a folder. */
export const SERVED_ROLES = ['graph', 'vectors', 'kv'] as const;
export type ServedRole = (typeof SERVED_ROLES)[number];

/**
 * The stores of a knowledge base, each a folder of the archive. A store is named after its role, or is a further store
 * of that role: `kv_files` (docs/adr/0024-several-stores.md).
 */
export type StoreName = StoreRole | FurtherStore;
export type FurtherStore = `vectors_${string}` | `kv_${string}`;
/** The stores that have a server or a folder. */
export type ServedStore = Exclude<StoreName, 'config'>;

/** Values by store that has a server or a folder. Stores may be absent. */
export type ByServedStore<Value> = { graph?: Value; vectors?: Value; kv?: Value } & {
  [name in FurtherStore]: Value;
};
/** Values by store. Stores may be absent. */
export type ByStore<Value> = ByServedStore<Value> & { config?: Value };

/** Most stores of a target, and of an archive without its configuration. */
export const STORES_MAX = 8;

/** Names of further stores. They have no `-`, which separates store names from what follows them in keys. */
export const FURTHER_STORE = /^(?:vectors|kv)_[a-z0-9][a-z0-9_]{0,23}$/;

export function isStoreName(text: string): text is StoreName {
  return STORE_ROLES.some((role) => role === text) || FURTHER_STORE.test(text);
}

/** The role of a store: `kv_files` → `kv`. */
export function roleOf(name: ServedStore): ServedRole;
export function roleOf(name: StoreName): StoreRole;
export function roleOf(name: StoreName): StoreRole {
  return name.split('_', 1)[0] as StoreRole;
}

/** Whether a store of that role is among these. */
export function hasRole(stores: readonly StoreName[], role: StoreRole): boolean {
  return stores.some((name) => roleOf(name) === role);
}

/** `kv_files` → `files`; undefined for the store that is named after its role. */
export function suffixOf(name: StoreName): string | undefined {
  const at = name.indexOf('_');
  return at < 0 ? undefined : name.slice(at + 1);
}

export function isServed(name: StoreName): name is ServedStore {
  return name !== 'config';
}

/** The stores that have a value, with it, in the order of archives. */
export function valuesByStore<Value>(values: ByServedStore<Value>): [ServedStore, Value][] {
  const names = Object.keys(values) as ServedStore[];
  return inArchiveOrder(names).flatMap((name): [ServedStore, Value][] => {
    const value = values[name];
    return value === undefined ? [] : [[name, value]];
  });
}

/** The stores in the order of archives: by role, then by name. */
export function inArchiveOrder<Name extends StoreName>(names: Iterable<Name>): Name[] {
  const position = (name: StoreName) => STORE_ROLES.indexOf(roleOf(name));
  return [...names].sort((one, other) => position(one) - position(other) || (one < other ? -1 : 1));
}
