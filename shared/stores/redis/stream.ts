import type { Redis } from 'ioredis';
import { UnavailableError } from '../../errors.ts';
import { bytesOf, integerOf, listOf, type RedisClient, type Reply } from './client.ts';
import type { StreamGroup, StreamState } from './record.ts';
import { type ByteString, showKey } from './scope.ts';

/** Pending entries asked for in one go, at most. */
const PENDING_PAGE = 1_000;
/** How far into its millisecond the server's clock must be before ages are asked for, in µs: it may read it earlier. */
const SETTLED_US = 200;
/** Times that a page is asked for until its ages are of one millisecond; more than half of them should do. */
const CLOCK_TRIES = 100;

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
    const { page, now, isLast } = await readPending(client, node, name, group, from);
    const present = await client.sendAll(
      node,
      page.map(([id]) => ['XRANGE', name, bytesOf(id), bytesOf(id)] as const),
    );
    for (const [index, [id, consumer, age, count]] of page.entries()) {
      if (listOf(present[index]).length === 0) continue;
      pending.push([
        bytesOf(id).toString(),
        bytesOf(consumer).toString('latin1'),
        now - integerOf(age),
        integerOf(count),
      ]);
    }
    const last = page.at(-1)?.[0];
    if (isLast || last === undefined) break;
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

/**
 * One page of what was delivered and not acknowledged, and the time in ms since 1970 at which its ages hold. Servers tell
 * an age and no time of delivery, so the page is asked for until their clock shows the same millisecond before and after.
 */
async function readPending(
  client: RedisClient,
  node: Redis,
  name: Buffer,
  group: Buffer,
  from: string,
): Promise<{ page: Reply[][]; now: number; isLast: boolean }> {
  let most = PENDING_PAGE;
  for (let tries = 0; tries < CLOCK_TRIES; tries++) {
    const asked = [['TIME'], ['XPENDING', name, group, from, '+', most], ['TIME']] as const;
    const [replies = []] = await client.transact(node, [asked], () => false);
    const before = microseconds(replies[0]);
    const now = Math.floor(before / 1_000);
    if (now !== Math.floor(microseconds(replies[2]) / 1_000)) most = Math.ceil(most / 2);
    else if (before % 1_000 >= SETTLED_US) {
      const page = listOf(replies[1]).map(listOf);
      return { page, now, isLast: page.length < most };
    }
  }
  throw new UnavailableError(
    `${client.name}: when entries of the stream "${showKey(name.toString('latin1'))}" were delivered can't be told: its clock went on each time that it was read.`,
    { remedy: 'The server has too much to do. Try again when it has less.' },
  );
}

/** What TIME replies, in µs since 1970. */
function microseconds(reply: Reply | undefined): number {
  const [seconds, rest] = listOf(reply).map((part) => Number(bytesOf(part).toString()));
  return (seconds ?? Number.NaN) * 1_000_000 + (rest ?? Number.NaN);
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
