import { UnavailableError } from '../../core/errors.ts';
import { bytesOf, type Command, integerOf, listOf, type RedisSession, type Reply } from './client.ts';
import type { Item, StreamGroup, StreamState } from './record.ts';
import { showKey } from './scope.ts';

/** Maximum number of pending IDs per request. */
const PENDING_PAGE = 1_000;
/**
 * How far into its millisecond the server's clock must be before ages are requested, in µs: the server may have read it
 * earlier.
 */
const SETTLED_US = 200;
/**
 * Maximum number of requests per page until all ages are relative to the same millisecond; more than half of them
 * should be.
 */
const CLOCK_TRIES = 100;

/** A stream as reported by a single command, so all of it is from one instant. */
export interface StreamCut {
  /** Pending IDs may refer to deleted entries: {@link PendingFilter}. */
  readonly state: StreamState;
  /** Number of entries at that instant. */
  readonly length: number;
  /** The first of these entries, as many as requested. */
  readonly entries: readonly Item[];
  /** False if a group has more pending IDs than requested. */
  readonly hasAllPending: boolean;
}

/**
 * Parses the reply to `XINFO STREAM … FULL`: last IDs, groups, consumers, pending entries with delivery times, and
 * entries. Groups and consumers are sorted, so that equal streams have equal states.
 */
export function streamCutOf(reply: Reply): StreamCut {
  const fields = pairs(reply);
  const maxDeleted = fields.get('max-deleted-entry-id');
  const added = fields.get('entries-added');
  const groups = listOf(fields.get('groups')).map((group) => groupOf(pairs(group)));
  return {
    state: {
      last_id: bytesOf(fields.get('last-generated-id')).toString(),
      ...(maxDeleted === undefined ? {} : { max_deleted_id: bytesOf(maxDeleted).toString() }),
      ...(added === undefined ? {} : { entries_added: integerOf(added) }),
      groups: groups.map(({ group }) => group).sort((left, right) => compare(left.name, right.name)),
    },
    length: integerOf(fields.get('length')),
    entries: entriesOf(fields.get('entries')),
    hasAllPending: groups.every(({ group, pendingCount }) => group.pending.length === pendingCount),
  };
}

function groupOf(fields: ReadonlyMap<string, Reply>): { group: StreamGroup; pendingCount: number } {
  const read = fields.get('entries-read');
  return {
    group: {
      name: bytesOf(fields.get('name')).toString('latin1'),
      last_id: bytesOf(fields.get('last-delivered-id')).toString(),
      ...(read === undefined || read === null ? {} : { entries_read: integerOf(read) }),
      consumers: listOf(fields.get('consumers'))
        .map((consumer) => bytesOf(pairs(consumer).get('name')).toString('latin1'))
        .sort(compare),
      pending: listOf(fields.get('pending')).map((entry) => {
        const [id, consumer, time, count] = listOf(entry);
        return [
          bytesOf(id).toString(),
          bytesOf(consumer).toString('latin1'),
          integerOf(time),
          integerOf(count),
        ];
      }),
    },
    pendingCount: integerOf(fields.get('pel-count')),
  };
}

/** Entries as items: `[id, field, value, …]`. */
export function entriesOf(reply: Reply | undefined): Item[] {
  return listOf(reply).map((entry): Item => {
    const [id, fields] = listOf(entry);
    return [bytesOf(id), ...listOf(fields).map(bytesOf)];
  });
}

/** Largest number of pending IDs of any group, from the reply to `XINFO GROUPS`. */
export function mostPendingOf(groups: Reply | undefined): number {
  const counts = listOf(groups).map((group) => integerOf(pairs(group).get('pending')));
  return counts.reduce((most, count) => Math.max(most, count), 0);
}

/**
 * Removes pending IDs whose entries were deleted: no command can recreate them, and consumers receive nothing for them.
 * The remaining ones have their entry in the archive.
 */
export class PendingFilter {
  readonly #state: StreamState;
  /** Pending IDs whose entries have not been seen yet. */
  readonly #unseen: Set<string>;

  constructor(state: StreamState) {
    this.#state = state;
    this.#unseen = new Set(state.groups.flatMap(({ pending }) => pending.map(([id]) => id)));
  }

  see(entries: readonly Item[]): void {
    if (this.#unseen.size === 0) return;
    for (const [id] of entries) this.#unseen.delete(String(id));
  }

  /** The state, after every entry has been seen. */
  state(): StreamState {
    if (this.#unseen.size === 0) return this.#state;
    const groups = this.#state.groups.map((group) => ({
      ...group,
      pending: group.pending.filter(([id]) => !this.#unseen.has(id)),
    }));
    return { ...this.#state, groups };
  }
}

/**
 * Whether a stream may be a later state of the one in `cut`: IDs and counters never decrease, but restart in a stream
 * that was deleted and recreated.
 */
export function isLaterThan(cut: StreamState, later: StreamState): boolean {
  return (
    compareIds(later.last_id, cut.last_id) >= 0 && (later.entries_added ?? 0) >= (cut.entries_added ?? 0)
  );
}

function compareIds(left: string, right: string): number {
  const [leftTime = 0n, leftSequence = 0n] = left.split('-').map(BigInt);
  const [rightTime = 0n, rightSequence = 0n] = right.split('-').map(BigInt);
  const difference = leftTime - rightTime || leftSequence - rightSequence;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/**
 * Reads the pending IDs of every group page by page, without a transaction, which would end the watch. Undefined if a
 * group no longer exists.
 */
export async function readPending(
  session: RedisSession,
  server: string,
  name: Buffer,
  state: StreamState,
): Promise<StreamState | undefined> {
  const groups: StreamGroup[] = [];
  for (const group of state.groups) {
    const pending: StreamGroup['pending'][number][] = [];
    for (let from: string | undefined = '-'; from !== undefined; ) {
      const page = await readPendingPage(session, server, name, group.name, from);
      if (!page) return undefined;
      pending.push(...page.pending);
      const last = pending.at(-1)?.[0];
      from = page.isLast || last === undefined ? undefined : `(${last}`;
    }
    groups.push({ ...group, pending });
  }
  return { ...state, groups };
}

/**
 * XPENDING replies with an age instead of a delivery time, so a page is requested again until the server's clock shows
 * the same millisecond before and after.
 */
async function readPendingPage(
  session: RedisSession,
  server: string,
  name: Buffer,
  group: string,
  from: string,
): Promise<{ pending: StreamGroup['pending']; isLast: boolean } | undefined> {
  let most = PENDING_PAGE;
  for (let tries = 0; tries < CLOCK_TRIES; tries++) {
    const command: Command = ['XPENDING', name, Buffer.from(group, 'latin1'), from, '+', most];
    const [first, reply, second] = await session.send([['TIME'], command, ['TIME']], isGone);
    if (reply instanceof Error) return undefined;
    const before = microseconds(first);
    const now = Math.floor(before / 1_000);
    if (now !== Math.floor(microseconds(second) / 1_000)) most = Math.ceil(most / 2);
    else if (before % 1_000 >= SETTLED_US) {
      const pending = listOf(reply).map((entry): StreamGroup['pending'][number] => {
        const [id, consumer, age, count] = listOf(entry);
        const reader = bytesOf(consumer).toString('latin1');
        return [bytesOf(id).toString(), reader, now - integerOf(age), integerOf(count)];
      });
      return { pending, isLast: pending.length < most };
    }
  }
  throw new UnavailableError(
    `${server}: the delivery times of the stream "${showKey(name.toString('latin1'))}" can't be read: its clock advanced during each attempt.`,
    { remedy: 'Try again when the server has less load.' },
  );
}

function isGone(error: Error): boolean {
  return /^(WRONGTYPE|NOGROUP|ERR no such key)/.test(error.message);
}

/** Parses the reply to TIME, in µs since 1970. */
function microseconds(reply: Reply | undefined): number {
  const [seconds, rest] = listOf(reply).map((part) => Number(bytesOf(part).toString()));
  return (seconds ?? Number.NaN) * 1_000_000 + (rest ?? Number.NaN);
}

/** Converts a flat list of names and values to a map. */
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
