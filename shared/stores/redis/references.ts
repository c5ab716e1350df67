import type { EntryReader } from '../../archive/format/types.ts';
import type { LegContext } from '../leg.ts';
import type { RedisClient } from './client.ts';
import { readMembers } from './json-entry.ts';
import { parseEntryName } from './names.ts';
import type { KeySpace } from './scope.ts';

/** Number of keys whose values are passed on together. */
const RUN_KEYS = 1000;

/**
 * The texts in a field of the JSON values of an archived namespace, in batches; `id` is the key without the prefix of
 * the namespace.
 */
export async function* keyValues(
  archive: EntryReader,
  space: KeySpace,
  namespace: string,
  field: string,
): AsyncGenerator<readonly string[]> {
  for await (const entry of archive.entries('kv/')) {
    const name = parseEntryName(entry.name);
    if (name?.form !== 'json' || name.namespace !== namespace) continue;
    let run: string[] = [];
    for await (const { key, value } of readMembers(archive.open(entry))) {
      run.push(...(field === 'id' ? idOf(space, namespace, key) : textsOf(value, field)));
      if (run.length < RUN_KEYS) continue;
      yield run;
      run = [];
    }
    if (run.length > 0) yield run;
  }
}

function idOf(space: KeySpace, namespace: string, key: Buffer): string[] {
  const text = key.toString('utf8');
  const prefix = space.prefixOf(namespace);
  return prefix !== undefined && text.startsWith(prefix) ? [text.slice(prefix.length)] : [];
}

function textsOf(value: Buffer, field: string): string[] {
  const record: unknown = JSON.parse(value.toString('utf8'));
  if (typeof record !== 'object' || record === null || !Object.hasOwn(record, field)) return [];
  const found: unknown = Reflect.get(record, field);
  const values: readonly unknown[] = Array.isArray(found) ? found : [found];
  return values.filter((inner) => typeof inner === 'string');
}

/** Returns those of the IDs that have no key in the namespace. */
export async function missingKeys(
  client: RedisClient,
  space: KeySpace,
  namespace: string,
  ids: readonly string[],
  { signal }: LegContext,
): Promise<string[]> {
  const prefix = space.prefixOf(namespace);
  if (prefix === undefined) return [...ids];
  const missing: string[] = [];
  const byNode = Map.groupBy(
    await Promise.all(ids.map(async (id) => ({ id, node: await client.nodeOf(Buffer.from(prefix + id)) }))),
    ({ node }) => node,
  );
  for (const [node, group] of byNode) {
    signal.throwIfAborted();
    const replies = await client.sendAll(
      node,
      group.map(({ id }) => ['EXISTS', prefix + id] as const),
    );
    for (const [index, { id }] of group.entries()) if (replies[index] === 0) missing.push(id);
  }
  return missing;
}
