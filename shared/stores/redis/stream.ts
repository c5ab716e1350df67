import type { Redis } from 'ioredis';
import { bytesOf, integerOf, listOf, type RedisClient, type Reply } from './client.ts';
import type { StreamGroup, StreamState } from './record.ts';
import type { ByteString } from './scope.ts';

/** Pending entries asked for in one go. */
const PENDING_PAGE = 1_000;

/**
 * What a stream has besides its entries: last ids, groups, consumers and what was delivered to them but not
 * acknowledged. Pending ids whose entries were deleted are left out: no command can make them again, and readers get
 * nothing for them. Groups and consumers are sorted, so that equal streams have equal states.
 */
export async function readStreamState(client: RedisClient, node: Redis, name: Buffer): Promise<StreamState> {
  const [info, groups] = await client.sendAll(node, [
    ['XINFO', 'STREAM', name],
    ['XINFO', 'GROUPS', name],
  ]);
  const fields = pairs(info);
  const maxDeleted = fields.get('max-deleted-entry-id');
  const added = fields.get('entries-added');
  const states: StreamGroup[] = [];
  for (const group of listOf(groups)) states.push(await readGroup(client, node, name, pairs(group)));
  return {
    last_id: bytesOf(fields.get('last-generated-id')).toString(),
    ...(maxDeleted === undefined ? {} : { max_deleted_id: bytesOf(maxDeleted).toString() }),
    ...(added === undefined ? {} : { entries_added: integerOf(added) }),
    groups: states.sort((left, right) => compare(left.name, right.name)),
  };
}

async function readGroup(
  client: RedisClient,
  node: Redis,
  name: Buffer,
  fields: ReadonlyMap<string, Reply>,
): Promise<StreamGroup> {
  const group = bytesOf(fields.get('name'));
  const read = fields.get('entries-read');
  const consumers = listOf(await client.call(node, 'XINFO', 'CONSUMERS', name, group))
    .map((consumer) => bytesOf(pairs(consumer).get('name')).toString('latin1'))
    .sort(compare);
  const pending: [string, ByteString, number, number][] = [];
  for (let from = '-'; ; ) {
    const page = listOf(await client.call(node, 'XPENDING', name, group, from, '+', PENDING_PAGE)).map(
      listOf,
    );
    const now = Date.now();
    const present = await client.sendAll(
      node,
      page.map(([id]) => ['XRANGE', name, bytesOf(id), bytesOf(id)] as const),
    );
    for (const [index, [id, consumer, idle, count]] of page.entries()) {
      if (listOf(present[index]).length === 0) continue;
      pending.push([
        bytesOf(id).toString(),
        bytesOf(consumer).toString('latin1'),
        now - integerOf(idle),
        integerOf(count),
      ]);
    }
    const last = page.at(-1)?.[0];
    if (page.length < PENDING_PAGE || last === undefined) break;
    from = `(${bytesOf(last).toString()}`;
  }
  return {
    name: group.toString('latin1'),
    last_id: bytesOf(fields.get('last-delivered-id')).toString(),
    ...(read === undefined || read === null ? {} : { entries_read: integerOf(read) }),
    consumers,
    pending,
  };
}

/** A flat list of names and values as a map. */
function pairs(reply: Reply | undefined): Map<string, Reply> {
  const list = listOf(reply);
  const fields = new Map<string, Reply>();
  for (let at = 0; at + 1 < list.length; at += 2)
    fields.set(bytesOf(list[at]).toString(), list[at + 1] ?? null);
  return fields;
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
