import { z } from 'zod';
import { describeSubset } from './describe-subset.ts';
import { InvalidInputError } from './errors.ts';
import { hasRole, roleOf, type ServedRole, type StoreName } from './store-names.ts';

const Name = z.string().min(1).max(255);

/**
 * A subset of a knowledge base, in its own names: what a backup saves or a restore loads, if that is not everything.
 * Stores that it does not mention are not affected.
 */
export const Subset = z
  .strictObject({
    /**
     * Only nodes with this label: the label of a knowledge base, or a label that only some of its nodes have, such as
     * a type.
     */
    label: Name.optional(),
    collections: z.array(Name).min(1).max(1000).optional(),
    /** Namespaces of key-value data, such as `text_chunks`. */
    namespaces: z.array(Name).min(1).max(256).optional(),
    key_prefixes: z.array(Name).min(1).max(64).optional(),
  })
  .refine((part) => Object.values(part).some((value) => value !== undefined), 'must name something');
export type Subset = z.infer<typeof Subset>;

/** The roles of the stores that a subset mentions; undefined if it does not limit the stores. */
export function rolesNamed(part: Subset | undefined): ServedRole[] | undefined {
  if (!part) return undefined;
  return [
    ...(part.label === undefined ? [] : (['graph'] as const)),
    ...(part.collections === undefined ? [] : (['vectors'] as const)),
    ...(part.namespaces === undefined && part.key_prefixes === undefined ? [] : (['kv'] as const)),
  ];
}

/** What a request is about: the stores that it names, or the roles of its subset. Undefined: all stores. */
interface Wanted {
  readonly stores?: readonly StoreName[] | undefined;
  readonly only?: Subset | undefined;
}

/** The stores that a request names and that are not among these, or the roles of its subset without a store. */
export function missingAmong(available: readonly StoreName[], { stores, only }: Wanted): StoreName[] {
  if (stores) return stores.filter((store) => !available.includes(store));
  return (rolesNamed(only) ?? []).filter((role) => !hasRole(available, role));
}

/**
 * Whether a request is about a store: about the stores that it names, or else about those of the roles that its subset
 * mentions, or else about all of them.
 */
export function isWanted(store: StoreName, { stores, only }: Wanted): boolean {
  return stores?.includes(store) ?? rolesNamed(only)?.some((role) => role === roleOf(store)) ?? true;
}

/**
 * What a restore from a partial archive may affect: never more than the archive's subset, so that nothing is cleared
 * that the archive does not cover. Throws InvalidInputError if the request exceeds it. Whether the archive contains
 * the label and the collections is checked by the stores' adapters, which know their names on the server.
 */
export function withinSubset(held: Subset | undefined, wanted: Subset | undefined): Subset | undefined {
  if (!held || !wanted) return wanted ?? held;
  const missing = [
    ...missingOf('namespace', held.namespaces, wanted.namespaces, (one, other) => one === other),
    ...missingOf('keys that start with', held.key_prefixes, wanted.key_prefixes, (one, other) =>
      one.startsWith(other),
    ),
  ];
  if (missing.length > 0) {
    throw new InvalidInputError(
      `The archive contains only a subset (${describeSubset(held)}), without ${missing.join(', ')}.`,
      { remedy: 'Choose from its contents, or use another backup.' },
    );
  }
  return {
    ...held,
    ...Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined)),
  };
}

function missingOf(
  kind: string,
  held: readonly string[] | undefined,
  wanted: readonly string[] | undefined,
  covers: (one: string, other: string) => boolean,
): string[] {
  if (!held || !wanted) return [];
  return wanted.filter((one) => !held.some((other) => covers(one, other))).map((one) => `${kind} "${one}"`);
}
