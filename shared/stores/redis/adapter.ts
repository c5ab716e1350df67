import type { EntryReader } from '../../archive/format/types.ts';
import { NgbakError } from '../../core/errors.ts';
import {
  type Cursor,
  type ExportStep,
  type Leg,
  type LegContext,
  NAMES_MAX,
  type RestoreOptions,
  type Route,
  type Shard,
  type Store,
  type StoreAdapter,
  type StoreProbe,
  type VerifyLeg,
} from '../store.ts';
import { MemoryNeed, missingMemory, refusedWrites } from './admits.ts';
import { readArchive } from './archive-records.ts';
import { checkKeys } from './check.ts';
import { clearKeys, clearTemporary } from './clear.ts';
import { RedisClient, RedisConnection } from './client.ts';
import { exportKeys } from './export.ts';
import { type Limits, scanKeys } from './keys.ts';
import { loadKeys, requireNoConflicts } from './load.ts';
import { writeOrigin } from './origin.ts';
import { planKeys, probeKeys } from './probe.ts';
import { KeyReader } from './read.ts';
import { keyValues, missingKeys } from './references.ts';
import { KeySpace, narrowKeys, RedisScope } from './scope.ts';
import { readFacts, type ServerFacts, serverNow } from './server.ts';
import { readSetting } from './setting.ts';
import { askKeys, KeysQuestion, keysQuestions } from './smoke.ts';
import { verifyKeys } from './verify.ts';
import { routeKeys, viewKeys } from './view.ts';

/** Key-value data in Redis 6 and later, Valkey, and servers that speak like them; alone or as a cluster. */
export const redisAdapter: StoreAdapter<RedisConnection, RedisScope> = {
  kind: 'redis',
  versionNotes: {
    newer: 'values and expiries are the same',
    older: 'what it cannot hold, such as expiries of the fields of hashes, is refused by this inspection',
  },
  name: 'kv',
  Connection: RedisConnection,
  Scope: RedisScope,
  create: (connection, scope, { target }) => new RedisStore(connection, scope, target),
  narrow: narrowKeys,
  Smoke: KeysQuestion,
  questions: keysQuestions,
  route: routeKeys,
  view: viewKeys,
  check: checkKeys,
  values: async (archive, scope, { thing, field }) => keyValues(archive, new KeySpace(scope), thing, field),
};

/** The keys of one scope of one server or cluster. */
export class RedisStore implements Store {
  readonly name = 'kv';
  readonly kind = 'redis';
  readonly #client: RedisClient;
  readonly #space: KeySpace;
  readonly #limits: Limits | undefined;
  #opened: Promise<{ reader: KeyReader; facts: ServerFacts }> | undefined;

  /** @param limits smaller windows of keys, for tests */
  constructor(connection: RedisConnection, scope: RedisScope, target: string, limits?: Limits) {
    this.#client = new RedisClient(connection, target);
    this.#space = new KeySpace(scope);
    this.#limits = limits;
  }

  #open(): Promise<{ reader: KeyReader; facts: ServerFacts }> {
    this.#opened ??= readFacts(this.#client).then((facts) => ({
      facts,
      reader: new KeyReader(this.#client, facts, this.#limits?.changing),
    }));
    // A failure is not kept: the next call tries again.
    this.#opened.catch(() => {
      this.#opened = undefined;
    });
    return this.#opened;
  }

  async probe(context: LegContext): Promise<StoreProbe> {
    const { reader, facts } = await this.#open();
    return probeKeys(this.#client, this.#space, reader, facts, context, this.#limits);
  }

  async names(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const node of await this.#client.nodes()) {
      for await (const keys of scanKeys(this.#client, node, undefined)) {
        found.push(...keys.slice(0, NAMES_MAX - found.length).map((key) => key.toString()));
        if (found.length >= NAMES_MAX) return found;
      }
    }
    return found;
  }

  async setting(name: string, bytesMax: number): Promise<string | Record<string, string> | undefined> {
    await this.#open();
    return readSetting(this.#client, name, bytesMax);
  }

  async plan(_context: LegContext, probe: StoreProbe): Promise<Shard[]> {
    return planKeys(probe);
  }

  async *export(_shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    this.#client.assumeUsable();
    const { reader } = await this.#open();
    yield* exportKeys(this.#client, this.#space, reader, cursor, context, this.#limits);
  }

  /** Exports leave nothing on the server. */
  async cleanup(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Reads every record as the load will, so that nothing is written where a later record can't be. An archive so large
   * that there is no time for that is checked as it is loaded. A merge that is to fail on conflicts is compared, too.
   */
  async admits(
    archive: EntryReader,
    options: RestoreOptions,
    context: LegContext,
  ): Promise<readonly string[]> {
    const { facts, reader } = await this.#open();
    const problems = await refusedWrites(this.#client, this.#space);
    const need = new MemoryNeed();
    try {
      for await (const record of readArchive(archive, this.#space, null)) {
        const expiresAt = record.kind === 'json' ? record.expiresAt : record.part.expiresAt;
        if (record.kind === 'part' && record.part.type === 'hash' && !facts.hasFieldExpiry) {
          if (record.part.items.some(([, , expiry]) => expiry !== undefined)) {
            return [...problems, `fields of hashes expire, which ${facts.edition} ${facts.version} can't do`];
          }
        }
        if (expiresAt === null || expiresAt > serverNow(facts)) {
          if (record.kind === 'json') need.addString(record.key, record.value);
          else need.addPart(record.part);
        }
        if (context.timeLeft() > 0) continue;
        context.log('the remaining key-value entries are checked while they are loaded', {
          entry: record.next.entry,
        });
        break;
      }
      problems.push(
        ...(await missingMemory(this.#client, this.#space, Math.floor(need.bytes), options, context)),
      );
      if (options.mode === 'merge' && options.onConflict === 'fail') {
        await requireNoConflicts(this.#client, this.#space, reader, facts, archive, options, context);
      }
    } catch (error) {
      if (!(error instanceof NgbakError) || error.retryable) throw error;
      problems.push(`${error.message} ${error.remedy}`);
    }
    return problems;
  }

  async clear(
    _archive: EntryReader,
    options: RestoreOptions,
    _cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    if (options.mode === 'merge') return { cursor: null, tallies: {} };
    this.#client.assumeUsable();
    await this.#open();
    const leg = await clearKeys(this.#client, this.#space, context);
    return leg.cursor === null
      ? clearTemporary(this.#client, this.#space, context, { keepOrigin: false })
      : leg;
  }

  async load(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    this.#client.assumeUsable();
    const { reader, facts } = await this.#open();
    return loadKeys(this.#client, this.#space, reader, facts, archive, options, cursor, context);
  }

  async verify(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<VerifyLeg> {
    this.#client.assumeUsable();
    const { reader, facts } = await this.#open();
    return verifyKeys(
      {
        client: this.#client,
        space: this.#space,
        reader,
        facts,
        archive,
        options,
        leg: context,
        limits: this.#limits,
      },
      cursor,
    );
  }

  async missing(
    { thing, field }: { thing: string; field: string },
    ids: readonly string[],
    context: LegContext,
  ) {
    if (field !== 'id') return undefined;
    await this.#open();
    return missingKeys(this.#client, this.#space, thing, ids, context);
  }

  smoke(question: unknown, context: LegContext): Promise<string> {
    return askKeys(this.#client, this.#space, question, context);
  }

  async label(
    _archive: EntryReader,
    route: Route,
    _cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    this.#client.assumeUsable();
    await this.#open();
    const { prefix } = RedisScope.safeParse(route.saved).data ?? {};
    const origin = { ...route.origin, ...(prefix === undefined ? {} : { original_prefix: prefix }) };
    await writeOrigin(this.#client, this.#space, origin, context);
    return { cursor: null, tallies: {} };
  }

  async finish(_options: RestoreOptions, _cursor: Cursor | null, context: LegContext): Promise<Leg> {
    this.#client.assumeUsable();
    await this.#open();
    return clearTemporary(this.#client, this.#space, context, { keepOrigin: true });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
