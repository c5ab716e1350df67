import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import type { Subset } from '../../core/subset.ts';
import { Glob } from './glob.ts';

/** Namespace for keys that belong to no other namespace; they are saved like all others. */
export const OTHER_NAMESPACE = '_other';
/**
 * Maximum length of a namespace name in bytes, to keep entry names short. Longer names are grouped in {@link
 * OTHER_NAMESPACE}.
 */
const NAMESPACE_BYTES_MAX = 64;
/** Start of temporary names, and of the scratch names of drills, after the prefix of the scope. */
const TEMPORARY = '__ngbak:';
export const DRILLS = `${TEMPORARY}drill:`;

/** A glob with few wildcards, so that matching is fast even for hostile patterns. */
const Pattern = z
  .string()
  .min(1)
  .max(512)
  .refine((pattern) => (pattern.match(/\*/g)?.length ?? 0) <= 4, 'must have at most 4 "*"');

/** The keys of a server that belong to the knowledge base, and how they are grouped. */
export const RedisScope = z
  .strictObject({
    /** Common prefix of the scope's keys; '' means the whole database. */
    prefix: z.string().max(512).default(''),
    /** Groups of keys by prefix; the longest matching prefix wins. */
    namespaces: z
      .array(
        z.strictObject({
          name: z.string().min(1).max(NAMESPACE_BYTES_MAX),
          /** Full prefix of its keys, including the scope's prefix. */
          prefix: z.string().min(1).max(512),
          /** Redis glob patterns of keys outside this prefix that belong to the namespace. */
          also: z.array(Pattern).max(16).optional(),
        }),
      )
      .max(256)
      .optional(),
    /** If set, namespaces are derived from keys of the form `<prefix><namespace><separator><id>`. */
    separator: z.string().min(1).max(8).optional(),
    /** Whether keys under the prefix that belong to no namespace are in the scope. */
    others: z.enum(['include', 'exclude']).default('include'),
    /** Glob patterns of keys that are excluded from the scope; takes precedence over all other rules. */
    exclude: z.array(Pattern).max(64).optional(),
    /**
     * Whether a key that cannot be saved (its type comes from a module, or its name is too long) fails the backup,
     * which is the default.
     */
    unsupported: z.enum(['fail', 'skip']).optional(),
    /** Restricts the scope further: used by a restore of selected namespaces or prefixes. */
    only: z
      .strictObject({
        namespaces: z.array(z.string().min(1).max(512)).min(1).max(256).optional(),
        prefixes: z.array(z.string().min(1).max(512)).min(1).max(64).optional(),
      })
      .optional(),
  })
  .refine(
    ({ others, namespaces = [], separator }) =>
      others === 'include' || separator !== undefined || namespaces.length > 0,
    { message: '"exclude" needs "namespaces" or "separator"', path: ['others'] },
  );
export type RedisScope = z.infer<typeof RedisScope>;

/** The requested names that match no keys: see `StoreAdapter.lacks`. */
export function lacksKeys(
  { namespaces = [], key_prefixes: prefixes }: Subset,
  counts: Readonly<Record<string, number>>,
): string[] {
  const isEmpty = Object.values(counts).every((count) => count === 0);
  return [
    ...namespaces.filter((name) => !counts[`keys:${name}`]).map((name) => `key of namespace "${name}"`),
    ...(prefixes && isEmpty
      ? [`key that starts with ${prefixes.map((prefix) => `"${prefix}"`).join(' or ')}`]
      : []),
  ];
}

/** Restricts a scope to some namespaces or prefixes: see `StoreAdapter.narrow`. */
export function narrowKeys(scope: RedisScope, { namespaces, key_prefixes: prefixes }: Subset): RedisScope {
  const { only } = scope;
  const known = [...(scope.namespaces ?? []).map(({ name }) => name), OTHER_NAMESPACE];
  const listed = only?.namespaces ?? (scope.separator ? undefined : known);
  const unknown = namespaces?.find((name) => listed?.includes(name) === false);
  if (unknown !== undefined) {
    throw new InvalidInputError(`The target's scope has no namespace "${unknown}".`, {
      remedy: `Choose from: ${listed?.join(', ')}; or choose keys by their prefix.`,
    });
  }
  const outside = prefixes?.find(
    (prefix) => only?.prefixes && !only.prefixes.some((allowed) => prefix.startsWith(allowed)),
  );
  if (outside !== undefined) {
    throw new InvalidInputError(`Keys that start with "${outside}" are not in the target's scope.`, {
      remedy: `Choose longer prefixes than: ${only?.prefixes?.join(', ')}.`,
    });
  }
  const selection = {
    ...only,
    ...(namespaces === undefined ? {} : { namespaces }),
    ...(prefixes === undefined ? {} : { prefixes }),
  };
  return Object.keys(selection).length === 0 ? scope : { ...scope, only: selection };
}

/** Maximum key length in bytes: a cursor of at most 8 KiB has to hold two keys in base64. */
export const KEY_BYTES_MAX = 2_048;

/** Why a key under the prefix is not part of the scope. */
export type LeftOutReason = 'outside' | 'excluded' | 'unsupported';

/** Bytes of a key or a pattern as a string of characters 0 to 255: compact, and sorted in byte order. */
export type ByteString = string;

export function toByteString(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

export function toBytes(bytes: ByteString): Buffer {
  return Buffer.from(bytes, 'latin1');
}

/** A key for messages: at most 120 characters, unprintable ones escaped. */
export function showKey(key: ByteString): string {
  const text = JSON.stringify(toBytes(key).toString('utf8')).slice(1, -1);
  return text.length <= 120 ? text : `${text.slice(0, 119)}…`;
}

/** Assigns keys to namespaces, and provides the pattern for SCAN. */
export class KeySpace {
  /** Prefix of keys that a load writes before renaming them to their final name. Never part of the data. */
  readonly temporary: ByteString;
  /**
   * Name of the hash that states the origin of the keys: the only key with the temporary prefix that remains after a
   * restore.
   */
  readonly origin: ByteString;
  /** Prefix of the scratch names of drills, within the temporary prefix. */
  readonly drills: ByteString;
  /** Glob pattern that matches every key of the scope, and possibly others; undefined if it would match all keys. */
  readonly pattern: ByteString | undefined;
  readonly #prefix: ByteString;
  readonly #separator: ByteString | undefined;
  readonly #others: boolean;
  readonly #prefixes: readonly { name: string; prefix: ByteString }[];
  readonly #globs: readonly { name: string; glob: Glob }[];
  readonly #excluded: readonly Glob[];
  /** True if keys that cannot be saved are skipped. */
  readonly skipsUnsupported: boolean;
  readonly #onlyNamespaces: ReadonlySet<string> | undefined;
  readonly #onlyPrefixes: readonly ByteString[] | undefined;

  constructor(scope: RedisScope) {
    this.#prefix = toByteString(scope.prefix);
    this.#separator = scope.separator === undefined ? undefined : toByteString(scope.separator);
    this.#others = scope.others === 'include';
    const namespaces = scope.namespaces ?? [];
    this.#prefixes = namespaces
      .map(({ name, prefix }) => ({ name, prefix: toByteString(prefix) }))
      .sort((left, right) => right.prefix.length - left.prefix.length);
    const patterns = namespaces.flatMap(({ name, also }) =>
      (also ?? []).map((pattern) => ({ name, pattern: toByteString(pattern) })),
    );
    this.#globs = patterns.map(({ name, pattern }) => ({ name, glob: new Glob(pattern) }));
    this.#excluded = (scope.exclude ?? []).map((pattern) => new Glob(toByteString(pattern)));
    this.skipsUnsupported = scope.unsupported === 'skip';
    this.#onlyNamespaces = scope.only?.namespaces && new Set(scope.only.namespaces);
    this.#onlyPrefixes = scope.only?.prefixes?.map(toByteString);
    this.temporary = `${this.#prefix}${TEMPORARY}`;
    this.origin = `${this.temporary}origin`;
    this.drills = `${this.#prefix}${DRILLS}`;
    const covered = [
      // All keys under the prefix are scanned, so that those outside every namespace can be counted.
      ...(this.#others || this.#separator !== undefined || this.#prefix !== '' ? [this.#prefix] : []),
      ...this.#prefixes.map(({ prefix }) => prefix),
      ...patterns.map(({ pattern }) => literalHead(pattern)),
    ];
    const common = covered.reduce(commonPrefix);
    this.pattern = common === '' ? undefined : `${escapeGlob(common)}*`;
  }

  /** The namespace of a key, or undefined if the key is not in the scope. */
  namespaceOf(key: ByteString): string | undefined {
    const namespace = this.#groupOf(key);
    if (namespace === undefined || this.#isExcluded(key) || this.#isSkipped(key)) return undefined;
    if (this.#onlyNamespaces?.has(namespace) === false) return undefined;
    if (this.#onlyPrefixes && !this.#onlyPrefixes.some((prefix) => key.startsWith(prefix))) return undefined;
    return namespace;
  }

  #groupOf(key: ByteString): string | undefined {
    if (key.startsWith(this.temporary)) return undefined;
    for (const { name, prefix } of this.#prefixes) if (key.startsWith(prefix)) return name;
    for (const { name, glob } of this.#globs) if (glob.matches(key)) return name;
    if (!key.startsWith(this.#prefix)) return undefined;
    if (this.#separator !== undefined) {
      const end = key.indexOf(this.#separator, this.#prefix.length);
      const name = end < 0 ? '' : key.slice(this.#prefix.length, end);
      if (name !== '' && name.length <= NAMESPACE_BYTES_MAX && /^[ -~]+$/.test(name)) return name;
    }
    return this.#others ? OTHER_NAMESPACE : undefined;
  }

  /** The key prefix of a namespace; undefined if it cannot be derived. */
  prefixOf(namespace: string): string | undefined {
    const listed = this.#prefixes.find(({ name }) => name === namespace);
    if (listed) return toBytes(listed.prefix).toString('utf8');
    if (this.#separator === undefined) return undefined;
    return toBytes(`${this.#prefix}${toByteString(namespace)}${this.#separator}`).toString('utf8');
  }

  #isExcluded(key: ByteString): boolean {
    return this.#excluded.some((glob) => glob.matches(key));
  }

  /** True if the key is too long for a cursor, and such keys are skipped. */
  #isSkipped(key: ByteString): boolean {
    return this.skipsUnsupported && key.length > KEY_BYTES_MAX;
  }

  /** Why a key that an operator would expect in the scope is not in it; undefined for all other keys. */
  reasonOf(key: ByteString): LeftOutReason | undefined {
    if (key.startsWith(this.temporary)) return undefined;
    if (this.#groupOf(key) !== undefined) {
      if (this.#isExcluded(key)) return 'excluded';
      return this.#isSkipped(key) ? 'unsupported' : undefined;
    }
    return this.#prefix !== '' && key.startsWith(this.#prefix) ? 'outside' : undefined;
  }
}

function commonPrefix(left: ByteString, right: ByteString): ByteString {
  let length = 0;
  while (length < left.length && left[length] === right[length]) length++;
  return left.slice(0, length);
}

/** The literal prefix of everything that a pattern matches. */
export function literalHead(pattern: ByteString): ByteString {
  const head = /^(?:[^*?[\\]|\\.)*/s.exec(pattern)?.[0] ?? '';
  return head.replaceAll(/\\(.)/gs, '$1');
}

/** A pattern that matches exactly this text. */
export function escapeGlob(text: ByteString): ByteString {
  return text.replaceAll(/[\\*?[\]]/g, '\\$&');
}
