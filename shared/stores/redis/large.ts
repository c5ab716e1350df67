import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { InvalidInputError, UnavailableError } from '../../core/errors.ts';
import {
  bytesOf,
  type Command,
  integerOf,
  listOf,
  type RedisClient,
  type RedisSession,
  type Reply,
} from './client.ts';
import { expiryCommand, expiryOf, fieldExpiryCommand, isSameExpiry, withExpiries } from './expiry.ts';
import { itemsOf, LENGTH } from './items.ts';
import {
  ContentDigest,
  type Item,
  type KeyPart,
  type KeyType,
  STRING_BLOCK_BYTES,
  type StreamState,
} from './record.ts';
import { type ByteString, showKey, toBytes } from './scope.ts';
import type { ServerFacts } from './server.ts';
import {
  entriesOf,
  isLaterThan,
  mostPendingOf,
  PendingFilter,
  readPending,
  type StreamCut,
  streamCutOf,
} from './stream.ts';
import { isOtherKey, readWhole, type Unread } from './whole.ts';

/** Maximum number of elements per page and per part, and approximate size of either in bytes. */
const PAGE_ITEMS = 512;
const PAGE_BYTES = 1024 ** 2;
/** Limits for reading keys that keep changing; different in tests. */
export interface ChangingLimits {
  /** Maximum size of a reply, in bytes and elements, for reading a changed key again in a single command. */
  readonly replyBytes: number;
  readonly replyItems: number;
  /** Pauses in ms before reading a changed key again; if it changes after the last one, reading fails. */
  readonly pausesMs: readonly number[];
}
export const CHANGING_LIMITS: ChangingLimits = {
  replyBytes: 64 * 1024 ** 2,
  replyItems: 250_000,
  pausesMs: [100, 400, 1_600, 6_400],
};
/** Pauses in ms before reading resumes on another connection after one was lost. */
const LOST_PAUSES_MS = [100, 500, 2_000] as const;
/** Factor by which more pending IDs are requested than exist, because others may be added in the meantime. */
const PENDING_MARGIN = 1.1;
/**
 * How long a leg may spend, in ms, on reading again what an earlier leg read, before it must make progress in the time
 * left.
 */
const CATCH_UP_MS = 60_000;

/** Position from which reading of a large key resumes. */
export interface LargePosition {
  readonly type: KeyType;
  readonly expiresAt: number | null;
  /** Number of items so far, and their {@link ContentDigest}. */
  readonly offset: number;
  readonly digest: string;
  /** Number of elements to request at once. */
  readonly page: number;
  /** How often reading of the key was restarted because it had changed. */
  readonly tries: number;
}

/**
 * A part of a large key, with the digest of its content up to there and the next position: null after the last part.
 */
export interface LargePart {
  readonly part: KeyPart;
  readonly digest: string;
  readonly next: LargePosition | null;
}

/** Options for reading a key. */
export interface LargeOptions {
  /**
   * `proven`: all parts are from one instant; otherwise the key is read again from its start (a part with offset 0).
   * `once`: the key is read once, even if it changes in the meantime; sufficient to detect changes.
   */
  readonly as: 'proven' | 'once';
  readonly signal?: AbortSignal;
  timeLeft?(): number;
}

/** How an attempt to read a key ended. After 'changed', it makes sense to try again. */
type Outcome = 'complete' | Unread;

/**
 * Reads keys that are too large for one reply, part by part. Proves as follows that all parts are from one instant:
 *
 * - The key is watched (WATCH) on the connection that reads it, from before the first page until after the last one. A
 *   successful EXEC proves that the key was not modified in between.
 * - If it was modified, reading restarts: keys of up to {@link ChangingLimits.replyBytes} are then read in one command,
 *   larger ones in pages.
 * - Streams may grow while they are read. Their initial state comes from one command, and the entries it covers can
 *   only be deleted: if their number read equals the initial number, they are the same entries.
 * - A watch ends with its connection and with the leg. Everything read before is read again on the next connection, and
 *   its digest compared, before reading continues from there.
 */
export class LargeReader {
  readonly #client: RedisClient;
  readonly #facts: ServerFacts;
  readonly #limits: ChangingLimits;

  constructor(client: RedisClient, facts: ServerFacts, limits: ChangingLimits = CHANGING_LIMITS) {
    this.#client = client;
    this.#facts = facts;
    this.#limits = limits;
  }

  /**
   * Reads a key of that type from a position. Returns 'complete' after the last part, otherwise the reason why there is
   * none. Throws UnavailableError if the key changed on every attempt.
   */
  async *read(
    key: ByteString,
    type: KeyType,
    from: LargePosition | null,
    options: LargeOptions,
  ): AsyncGenerator<LargePart, Exclude<Outcome, 'changed'>> {
    const name = toBytes(key);
    let position = from;
    let tries = from?.tries ?? 0;
    let bytes = 0;
    for (let lost = 0; ; ) {
      const node = await this.#client.nodeOf(name);
      const steps =
        tries > 0 && !position && (await this.#fitsOneReply(node, name, type, bytes))
          ? this.#atOnce(node, key, type, tries)
          : this.#inPages(node, key, type, position, tries, options);
      let outcome: Outcome;
      try {
        for (;;) {
          const step = await steps.next();
          if (step.done) {
            outcome = step.value;
            break;
          }
          yield step.value;
          bytes += sizeOf(step.value.part.items);
          position = step.value.next ?? position;
        }
      } catch (error) {
        const pause = LOST_PAUSES_MS[lost++];
        if (pause === undefined || !(error instanceof UnavailableError)) throw error;
        await sleep(pause, undefined, { signal: options.signal });
        continue;
      } finally {
        await steps.return('gone');
      }
      if (outcome !== 'changed') return outcome;
      if (options.as === 'once') return 'gone';
      const pause = this.#limits.pausesMs[tries++];
      if (pause === undefined) throw this.#changing(key, type);
      await sleep(pause, undefined, { signal: options.signal });
      position = null;
    }
  }

  #changing(key: ByteString, type: KeyType): UnavailableError {
    return new UnavailableError(
      `${this.#client.name}: the ${type} "${showKey(key)}" changed each time that it was read, and is too large to be read with one command.`,
      { remedy: 'Pause what writes to it while the backup runs (a pause hook does that), and try again.' },
    );
  }

  async #fitsOneReply(node: Redis, name: Buffer, type: KeyType, seen: number): Promise<boolean> {
    const { length, memory } = await measure(
      (commands) => this.#client.send(node, commands, isAny),
      name,
      type,
    );
    const bytes = type === 'string' ? length : Math.max(memory ?? 0, seen);
    // If the server does not report sizes, the bytes read so far are the estimate.
    return (
      bytes > 0 &&
      bytes <= this.#limits.replyBytes &&
      (type === 'string' || length <= this.#limits.replyItems)
    );
  }

  async *#atOnce(
    node: Redis,
    key: ByteString,
    type: KeyType,
    tries: number,
  ): AsyncGenerator<LargePart, Outcome> {
    const whole = await readWhole(this.#client, this.#facts, node, toBytes(key), type);
    if (typeof whole === 'string') return whole;
    const parts = new Parts(key, { type, expiresAt: whole.expiresAt, page: PAGE_ITEMS, tries });
    yield* parts.add(whole.items);
    yield parts.last(whole.stream);
    return 'complete';
  }

  async *#inPages(
    node: Redis,
    key: ByteString,
    type: KeyType,
    from: LargePosition | null,
    tries: number,
    options: LargeOptions,
  ): AsyncGenerator<LargePart, Outcome> {
    const name = toBytes(key);
    const session = await this.#client.session(node);
    try {
      const isProven = options.as === 'proven';
      if (isProven) await session.send([['WATCH', name]]);
      const start = await this.#begin(session, name, type, from?.page);
      if (typeof start === 'string') return start;
      const { expiresAt, page, cut } = start;
      if (from && !isSameExpiry(this.#facts, from.expiresAt, expiresAt)) return 'changed';
      const parts = new Parts(key, { type, expiresAt: from?.expiresAt ?? expiresAt, page, tries });
      const pending = cut && new PendingFilter(cut.state);
      let count = 0;
      let catchUp = from?.offset ?? 0;
      const began = Date.now();
      for await (const items of this.#pages(session, name, type, start)) {
        if (items === undefined) return 'changed';
        options.signal?.throwIfAborted();
        count += items.length;
        pending?.see(items);
        const known = items.slice(0, catchUp);
        parts.pass(known);
        catchUp -= known.length;
        if (catchUp === 0 && known.length > 0 && parts.digest !== from?.digest) return 'changed';
        if (catchUp > 0) this.#requireTime(key, type, began, options);
        else yield* parts.add(items.slice(known.length));
      }
      if (catchUp > 0) return 'changed';
      if (isProven) {
        const outcome = await this.#prove(session, name, type, count, start);
        if (outcome !== 'complete') return outcome;
      }
      yield parts.last(pending?.state());
      return 'complete';
    } finally {
      await session.end();
    }
  }

  /** Checks that the content read equals the state of the key when reading began. */
  async #prove(
    session: RedisSession,
    name: Buffer,
    type: KeyType,
    count: number,
    { length, expiresAt, cut, mayGrow }: Start,
  ): Promise<Outcome> {
    // Expired fields of hashes are included in the length for a while.
    const isComplete =
      type === 'hash' && this.#facts.hasFieldExpiry
        ? count <= length
        : count === (type === 'string' ? Math.ceil(length / STRING_BLOCK_BYTES) : length);
    if (await session.isUntouched()) return isComplete ? 'complete' : 'changed';
    if (!isComplete || !cut || !mayGrow) return 'changed';
    const [expiry, info] = await session.send(
      [expiryCommand(this.#facts, name), ['XINFO', 'STREAM', name, 'FULL', 'COUNT', 1]],
      isOtherKey,
    );
    const now = expiryOf(this.#facts, expiry);
    if (now === undefined) return 'gone';
    if (info instanceof Error) return 'retyped';
    const isSame = isLaterThan(cut.state, streamCutOf(info ?? null).state);
    return isSame && isSameExpiry(this.#facts, now, expiresAt) ? 'complete' : 'changed';
  }

  #requireTime(key: ByteString, type: KeyType, began: number, { timeLeft }: LargeOptions): void {
    if (!timeLeft || timeLeft() > 0 || Date.now() - began < CATCH_UP_MS) return;
    throw new InvalidInputError(
      `${this.#client.name}: the ${type} "${showKey(key)}" cannot be read within the time limit of a function, so it could change unnoticed meanwhile.`,
      { remedy: 'Divide it into several keys, or narrow the scope so that it is left out.' },
    );
  }

  async #begin(
    session: RedisSession,
    name: Buffer,
    type: KeyType,
    page: number | undefined,
  ): Promise<Start | Unread> {
    const size = await measure((commands) => session.send(commands, isAny), name, type);
    const [found, length, expiry] = await session.send([
      ['TYPE', name],
      [LENGTH[type], name],
      expiryCommand(this.#facts, name),
    ]);
    const expiresAt = expiryOf(this.#facts, expiry);
    if (expiresAt === undefined) return 'gone';
    if (String(found) !== type || length instanceof Error) return 'retyped';
    const itemBytes = (size.memory ?? 0) / Math.max(1, size.length);
    const start = {
      expiresAt,
      length: integerOf(length),
      page: page ?? Math.max(1, Math.min(PAGE_ITEMS, Math.floor(PAGE_BYTES / Math.max(1, itemBytes)))),
    };
    if (type !== 'stream') return start;
    const [groups] = await session.send([['XINFO', 'GROUPS', name]], isOtherKey);
    if (groups instanceof Error) return 'changed';
    // The reply includes as many entries as pending IDs; if that is too large, pending IDs are read in pages.
    const most = Math.ceil(mostPendingOf(groups) * PENDING_MARGIN);
    const isOneReply = most * itemBytes <= this.#limits.replyBytes;
    const count = isOneReply ? Math.max(start.page, most) : start.page;
    const [info] = await session.send([['XINFO', 'STREAM', name, 'FULL', 'COUNT', count]], isOtherKey);
    if (info instanceof Error) return 'changed';
    const cut = streamCutOf(info ?? null);
    if (cut.hasAllPending) return { ...start, length: cut.length, cut, mayGrow: true };
    if (isOneReply) return 'changed';
    const state = await readPending(session, this.#client.name, name, cut.state);
    return state ? { ...start, length: cut.length, cut: { ...cut, state }, mayGrow: false } : 'changed';
  }

  /** The content of a key, page by page; undefined if the key has changed. */
  async *#pages(
    session: RedisSession,
    name: Buffer,
    type: KeyType,
    { length, page, cut }: Start,
  ): AsyncGenerator<readonly Item[] | undefined> {
    if (cut) {
      yield cut.entries;
      let last = cut.entries.at(-1)?.[0];
      let more = cut.entries.length < cut.length;
      while (more && last) {
        const range: Command = ['XRANGE', name, `(${last}`, cut.state.last_id, 'COUNT', page];
        const [reply] = await session.send([range]);
        const entries = reply instanceof Error ? undefined : entriesOf(reply);
        yield entries;
        more = entries?.length === page;
        last = entries?.at(-1)?.[0];
      }
      return;
    }
    if (type === 'string' || type === 'list') {
      const step = type === 'string' ? STRING_BLOCK_BYTES : page;
      const command = type === 'string' ? 'GETRANGE' : 'LRANGE';
      for (let at = 0; at < length; at += step) {
        const [reply] = await session.send([[command, name, at, at + step - 1]]);
        if (reply instanceof Error) yield undefined;
        else yield type === 'string' ? [[bytesOf(reply)]] : itemsOf('list', listOf(reply));
      }
      return;
    }
    const command = { hash: 'HSCAN', set: 'SSCAN', zset: 'ZSCAN', stream: '' }[type];
    let cursor = '0';
    do {
      const [reply] = await session.send([[command, name, cursor, 'COUNT', page]]);
      if (reply instanceof Error) {
        yield undefined;
        return;
      }
      const [next, elements] = listOf(reply);
      cursor = String(bytesOf(next));
      yield await this.#withFieldExpiries(session, name, type, itemsOf(type, listOf(elements)));
    } while (cursor !== '0');
  }

  async #withFieldExpiries(
    session: RedisSession,
    name: Buffer,
    type: KeyType,
    items: readonly Item[],
  ): Promise<readonly Item[] | undefined> {
    if (type !== 'hash' || !this.#facts.hasFieldExpiry || items.length === 0) return items;
    const fields = items.map(([field]) => field ?? Buffer.alloc(0));
    const [reply] = await session.send([fieldExpiryCommand(name, fields)]);
    return Array.isArray(reply) ? withExpiries(items, reply) : undefined;
  }
}

/** State of a key when reading begins. */
interface Start {
  readonly expiresAt: number | null;
  readonly length: number;
  readonly page: number;
  /** For streams: the state at one instant, and whether later additions are harmless. */
  readonly cut?: StreamCut;
  readonly mayGrow?: boolean;
}

/** Length of a key, 0 if it has another type, and its memory usage if the server reports it. */
async function measure(
  send: (commands: readonly Command[]) => Promise<Reply[]>,
  name: Buffer,
  type: KeyType,
): Promise<{ length: number; memory: number | undefined }> {
  const [length, memory] = await send([
    [LENGTH[type], name],
    ['MEMORY', 'USAGE', name],
  ]);
  return {
    length: typeof length === 'number' ? length : 0,
    memory: typeof memory === 'number' ? memory : undefined,
  };
}

/** Splits content into parts, and holds each part back until it is known whether it is the last. */
class Parts {
  readonly #key: ByteString;
  readonly #head: Omit<LargePosition, 'offset' | 'digest'>;
  readonly #digest: ContentDigest;
  #offset = 0;
  #held: (LargePart & { readonly next: LargePosition }) | undefined;

  constructor(key: ByteString, head: Omit<LargePosition, 'offset' | 'digest'>) {
    this.#key = key;
    this.#head = head;
    this.#digest = new ContentDigest(head.type);
  }

  get digest(): string {
    return this.#digest.hex();
  }

  /** Counts and digests items that were already emitted by an earlier leg. */
  pass(items: readonly Item[]): void {
    this.#digest.add(items);
    this.#offset += items.length;
  }

  *add(items: readonly Item[]): Generator<LargePart> {
    const isString = this.#head.type === 'string';
    for (let from = 0; from < items.length; ) {
      let to = from;
      for (let bytes = 0; to < items.length && to - from < (isString ? 1 : PAGE_ITEMS); to++) {
        bytes += sizeOf(items.slice(to, to + 1));
        if (bytes > PAGE_BYTES && to > from) break;
      }
      if (this.#held) yield this.#held;
      this.#held = this.#partOf(items.slice(from, to));
      from = to;
    }
  }

  #partOf(items: readonly Item[]): LargePart & { readonly next: LargePosition } {
    const { type, expiresAt } = this.#head;
    const part: KeyPart = { key: this.#key, type, expiresAt, offset: this.#offset, last: false, items };
    this.pass(items);
    const digest = this.digest;
    return { part, digest, next: { ...this.#head, offset: this.#offset, digest } };
  }

  last(stream: StreamState | undefined): LargePart {
    const { part, digest } = this.#held ?? this.#partOf([]);
    return { part: { ...part, last: true, ...(stream ? { stream } : {}) }, digest, next: null };
  }
}

function sizeOf(items: readonly Item[]): number {
  let bytes = 0;
  for (const item of items) for (const part of item) bytes += part.length;
  return bytes;
}

function isAny(): boolean {
  return true;
}
