import type { Redis } from 'ioredis';
import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import type { Cursor, LegResult } from '../leg.ts';
import type { LoadOptions, RestoreInput, RestoreLeg } from '../restore-leg.ts';
import { TallyBook } from '../tally-book.ts';
import { evictedKeys } from './admits.ts';
import { type ArchivePosition, type ArchiveRecord, readArchive } from './archive-records.ts';
import type { Command, RedisClient } from './client.ts';
import { contentOf } from './content.ts';
import type { KeyReader } from './read.ts';
import { keyOf } from './reading.ts';
import { ContentDigest, canonicalKey, canonicalString, type KeyPart } from './record.ts';
import { type ByteString, showKey, toBytes } from './scope.ts';
import { type ServerFacts, serverNow } from './server.ts';
import type { RedisSite } from './site.ts';
import { type IfExists, PartWriter, stringCommand } from './write.ts';

/** Number of keys to write at once, and approximate bytes of their values. */
const BATCH_KEYS = 512;
const BATCH_BYTES = 4 * 1024 ** 2;

const LoadCursor = z.strictObject({
  entry: z.string(),
  records: z.number().int().nonnegative(),
  /** Digest so far of the content of a key with further parts. */
  digest: z.string().nullable(),
});

type JsonRecord = Extract<ArchiveRecord, { kind: 'json' }>;

/** Loads the archive's keys. Keys whose expiry has passed are not written, so that expired data does not reappear. */
export async function loadKeys(site: RedisSite, leg: RestoreLeg): Promise<LegResult> {
  const { client, space, facts } = site;
  const { archive, cursor, context } = leg;
  const from =
    cursor === null ? null : parseInput(LoadCursor, cursor, 'The cursor of the Redis load', 'Restore again.');
  const loader = new Loader(site, leg.options, { digest: from?.digest ?? null, writes: true });
  const before = context.doneBefore?.('keys') ?? 0;
  let expired = 0;
  let position: ArchivePosition | null = from;
  const evictedBefore = await evictedKeys(client);
  const end = async (next: Cursor | null): Promise<LegResult> => {
    const evicted = (await evictedKeys(client)) - evictedBefore;
    if (evicted > 0) context.warn({ ...EVICTED, count: evicted });
    return { cursor: next, tallies: loader.book.tallies() };
  };
  for await (const record of readArchive(archive, space, from)) {
    context.signal.throwIfAborted();
    const expiresAt = record.kind === 'json' ? record.expiresAt : record.part.expiresAt;
    if (expiresAt !== null && expiresAt <= serverNow(facts)) expired++;
    else if (record.kind === 'json') loader.addString(record);
    else await loader.addPart(record.namespace, record.part);
    position = record.next;
    if (!loader.isFull && record.kind === 'json') continue;
    await loader.flush();
    context.progress('keys', before + loader.book.count);
    if (context.timeLeft() <= 0) {
      return end({ ...position, digest: loader.openDigest });
    }
  }
  await loader.flush();
  context.progress('keys', before + loader.book.count);
  if (expired > 0) context.log('keys whose expiry has passed were not restored', { records: expired });
  return end(null);
}

/** The server ran out of memory during a load and evicted keys. */
const EVICTED = {
  code: 'keys-evicted',
  text: 'The server evicted keys during the restore, those of this restore or others: its "evicted_keys" rose. Raise maxmemory, or set "maxmemory-policy" to "noeviction", and restore again.',
};

/**
 * Compares with the target without writing, for a merge with `fail`. Throws InvalidInputError at the first existing key
 * with different content; ends early if the time is up.
 */
export async function requireNoConflicts(
  site: RedisSite,
  { archive, options, context }: RestoreInput,
): Promise<void> {
  const loader = new Loader(site, options, { digest: null, writes: false });
  for await (const record of readArchive(archive, site.space, null)) {
    context.signal.throwIfAborted();
    if (record.kind === 'json') loader.addString(record);
    else await loader.addPart(record.namespace, record.part);
    if (loader.isFull) await loader.flush();
    if (context.timeLeft() <= 0) return;
  }
  await loader.flush();
}

class Loader {
  readonly book = new TallyBook();
  readonly #client: RedisClient;
  readonly #reader: KeyReader;
  readonly #facts: ServerFacts;
  readonly #writer: PartWriter;
  readonly #ifExists: IfExists;
  readonly #failOnConflict: boolean;
  readonly #writes: boolean;
  #batch: JsonRecord[] = [];
  #bytes = 0;
  #digest: ContentDigest | null = null;
  readonly #resumed: string | null;

  /**
   * @param resumed.digest digest so far of a key whose earlier parts a previous leg loaded
   * @param resumed.writes false to only look for conflicts
   */
  constructor(
    { client, space, facts, reader }: RedisSite,
    { mode, onConflict }: LoadOptions,
    { digest, writes }: { readonly digest: string | null; readonly writes: boolean },
  ) {
    this.#writes = writes;
    this.#client = client;
    this.#reader = reader;
    this.#facts = facts;
    this.#writer = new PartWriter(client, space, facts);
    const merging = mode === 'merge';
    this.#ifExists = merging && onConflict === 'keep' ? 'keep' : 'replace';
    this.#failOnConflict = merging && onConflict === 'fail';
    this.#resumed = digest;
  }

  /** Digest so far of the key whose parts are being loaded. */
  get openDigest(): string | null {
    return this.#digest?.hex() ?? null;
  }

  get isFull(): boolean {
    return this.#batch.length >= BATCH_KEYS || this.#bytes >= BATCH_BYTES;
  }

  addString(record: JsonRecord): void {
    this.#batch.push(record);
    this.#bytes += record.value.length;
  }

  /** Writes the strings added so far. */
  async flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    if (batch.length === 0) return;
    if (this.#failOnConflict) await this.#requireNoConflict(batch);
    if (!this.#writes) return;
    const groups = new Map<Redis, { record: JsonRecord; command: Command }[]>();
    for (const record of batch) {
      const node = await this.#client.nodeOf(toBytes(record.key));
      const group = groups.get(node) ?? [];
      const command = stringCommand(record.key, record.value, record.expiresAt, this.#ifExists, this.#facts);
      group.push({ record, command });
      groups.set(node, group);
    }
    for (const [node, group] of groups) {
      const replies = await this.#client.sendAll(
        node,
        group.map(({ command }) => command),
      );
      for (const [index, { record }] of group.entries()) {
        if (replies[index] === null) continue;
        this.book.add(
          `keys:${record.namespace}`,
          canonicalString(record.key, record.value, record.expiresAt),
        );
      }
    }
  }

  async #requireNoConflict(batch: readonly JsonRecord[]): Promise<void> {
    const wanted = new Map(batch.map(({ key, value }) => [key, value]));
    for await (const found of this.#reader.read([...wanted.keys()])) {
      const key = keyOf(found);
      const value = wanted.get(key);
      if (value && (found.kind !== 'string' || !found.value.equals(value))) throw conflict(this.#client, key);
    }
  }

  async addPart(namespace: string, part: KeyPart): Promise<void> {
    if (part.offset === 0) this.#digest = new ContentDigest(part.type);
    this.#digest ??= new ContentDigest(part.type, this.#resumed ?? undefined);
    this.#digest.add(part.items);
    if (part.offset === 0 && part.last) {
      if (this.#failOnConflict) await this.#requireSame(part);
      if (this.#writes && (await this.#writer.writeWhole(part, this.#ifExists))) this.#count(namespace, part);
      this.#digest = null;
      return;
    }
    if (part.last && this.#failOnConflict) await this.#requireSame(part);
    const outcome = this.#writes ? await this.#writer.writePart(part, this.#ifExists) : 'more';
    if (outcome === 'written') this.#count(namespace, part);
    if (part.last) this.#digest = null;
  }

  #count(namespace: string, part: KeyPart): void {
    const [item] = part.items;
    const record =
      part.type === 'string' && part.offset === 0
        ? canonicalString(part.key, item?.[0] ?? Buffer.alloc(0), part.expiresAt)
        : canonicalKey(
            part.key,
            part.type,
            this.#digest ?? new ContentDigest(part.type),
            part.expiresAt,
            part.stream,
          );
    this.book.add(`keys:${namespace}`, record);
  }

  /** Throws if the target has this key with content other than the archive's, which has been digested by now. */
  async #requireSame(part: KeyPart): Promise<void> {
    const found = await contentOf(this.#reader, part.key, part.offset > 0);
    if (found === undefined) return;
    const item = part.items[0]?.[0] ?? Buffer.alloc(0);
    const same =
      found.kind === 'string'
        ? part.type === 'string' && part.offset === 0 && found.value.equals(item)
        : found.type === part.type && found.digest === this.#digest?.hex();
    if (!same) throw conflict(this.#client, part.key);
  }
}

function conflict(client: RedisClient, key: ByteString): InvalidInputError {
  return new InvalidInputError(
    `${client.name} has the key "${showKey(key)}" with different content than the archive.`,
    {
      remedy: 'Restore with on_conflict "keep" or "overwrite", or with mode "replace".',
    },
  );
}
