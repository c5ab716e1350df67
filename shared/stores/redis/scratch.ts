import type { EntryReader } from '../../archive/format/types.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
import type { Place, Route, Scratch } from '../route.ts';
import { scanTemporary } from './clear.ts';
import type { RedisClient, RedisConnection } from './client.ts';
import { scanScope } from './keys.ts';
import { DRILLS, KeySpace, literalHead, type RedisScope, toByteString } from './scope.ts';
import { KeysQuestion } from './smoke.ts';
import { routeKeys } from './view.ts';

/** Prefix of a job's scratch names. {@link KeySpace.drills} covers it. */
function scratchPrefix({ prefix }: RedisScope, id: string): string {
  return `${prefix}${DRILLS}${id}:`;
}

/** Scratch names of keys: another prefix, among the temporary names that never belong to the target's own scope. */
export const keysScratch: Scratch<RedisScope> = {
  async route(
    archive: EntryReader,
    saved: RedisScope | undefined,
    target: RedisScope,
    id: string,
  ): Promise<Route<RedisScope>> {
    const key_prefix = scratchPrefix(target, id);
    const request = { only: {}, rename: { key_prefix }, sameProfile: true };
    const route = await routeKeys(archive, saved, target, request);
    const { prefix, namespaces = [] } = route.scope;
    const heads = namespaces.flatMap((namespace) => [
      namespace.prefix,
      ...(namespace.also ?? []).map(literalHead),
    ]);
    const outside = heads.find((head) => !head.startsWith(prefix));
    if (outside === undefined) return route;
    throw new InvalidInputError(`Keys that start with "${outside}" can't get another prefix.`, {
      remedy: 'Use a scope whose keys all start with its prefix.',
    });
  },

  question(question: unknown, target: RedisScope, { scope }: Route<RedisScope>): unknown {
    const [command, key, ...rest] = KeysQuestion.parse(question);
    if (key === undefined) return [command];
    // Keys of namespaces outside the prefix cannot be mapped.
    if (!key.startsWith(target.prefix)) return undefined;
    return [command, scope.prefix + key.slice(target.prefix.length), ...rest];
  },
};

/** Whether a key could belong to both scopes. A scope's own temporary names are not part of it. */
export function keysOverlap(
  one: Place<RedisConnection, RedisScope>,
  other: Place<RedisConnection, RedisScope>,
): boolean {
  if (addressOf(one.connection) !== addressOf(other.connection)) return false;
  const [left, right] = [headsOf(one.scope), headsOf(other.scope)];
  return left.some((head) => right.some((counterpart) => headsOverlap(head, counterpart)));
}

interface Head {
  readonly head: string;
  /** Temporary prefix, which the keys never start with. */
  readonly temporary: string;
}

function headsOf(scope: RedisScope): Head[] {
  const { prefix, namespaces = [], others, separator } = scope;
  const { temporary } = new KeySpace(scope);
  return [
    ...(others === 'include' || separator !== undefined ? [toByteString(prefix)] : []),
    ...namespaces.flatMap((namespace) => [
      toByteString(namespace.prefix),
      ...(namespace.also ?? []).map((pattern) => literalHead(toByteString(pattern))),
    ]),
  ].map((head) => ({ head, temporary }));
}

function headsOverlap(one: Head, other: Head): boolean {
  if (one.head.startsWith(other.temporary) || other.head.startsWith(one.temporary)) return false;
  return one.head.startsWith(other.head) || other.head.startsWith(one.head);
}

function addressOf({ url, db = 0 }: RedisConnection): string {
  const { hostname, port } = new URL(url);
  return `${hostname.toLowerCase()}:${port || 6379}/${db}`;
}

/** The keys of the scope, and the keys of loads under temporary names. */
export async function occupiedKeys(
  client: RedisClient,
  space: KeySpace,
  { signal }: LegContext,
): Promise<readonly string[]> {
  let count = 0;
  let temporary = 0;
  for (const node of await client.nodes()) {
    for await (const page of scanScope(client, node, space)) {
      signal.throwIfAborted();
      count += page.length;
    }
    for await (const page of scanTemporary(client, node, space)) temporary += page.length;
  }
  return [
    ...(count === 0 ? [] : [`${count} ${count === 1 ? 'key' : 'keys'}`]),
    ...(temporary === 0 ? [] : [`${temporary} temporary ${temporary === 1 ? 'key' : 'keys'}`]),
  ];
}
