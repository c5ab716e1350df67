import type { EntryReader } from '../../archive/format/types.ts';
import { type CollectedField, collectFields, textsIn } from '../content-check.ts';
import type { LegContext } from '../leg.ts';
import type { RedisClient } from './client.ts';
import { readMembers } from './json-entry.ts';
import { parseEntryName } from './names.ts';
import type { ByteString, KeySpace } from './scope.ts';

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
      run.push(
        ...(field === 'id'
          ? idOf(space, namespace, key)
          : textsIn(JSON.parse(value.toString('utf8')), field)),
      );
      if (run.length < RUN_KEYS) continue;
      yield run;
      run = [];
    }
    if (run.length > 0) yield run;
  }
}

/** Adds the texts in fields of a key with a JSON value. */
export function collectKey(
  space: KeySpace,
  namespace: string,
  { key, value }: { readonly key: ByteString; readonly value: Buffer },
  fields: readonly CollectedField[],
): void {
  const inValue = fields.filter(({ name }) => name !== 'id');
  if (inValue.length < fields.length) {
    const ids = idOf(space, namespace, Buffer.from(key, 'latin1'));
    for (const { name, add } of fields) if (name === 'id') for (const id of ids) add(id);
  }
  if (inValue.length > 0) collectFields(inValue, JSON.parse(value.toString('utf8')));
}

function idOf(space: KeySpace, namespace: string, key: Buffer): string[] {
  const text = key.toString('utf8');
  const prefix = space.prefixOf(namespace);
  return prefix !== undefined && text.startsWith(prefix) ? [text.slice(prefix.length)] : [];
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
