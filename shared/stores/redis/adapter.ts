import { NgbakError } from '../../core/errors.ts';
import { BaseStore } from '../base-store.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { ExportStep, Shard, StoreProbe } from '../export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { MarkRequest } from '../marks.ts';
import type { StoreProof } from '../proof.ts';
import type { LabelLeg, RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { NAMES_MAX } from '../store.ts';
import { MemoryNeed, missingMemory, refusedWrites } from './admits.ts';
import { readArchive } from './archive-records.ts';
import { checkKeys } from './check.ts';
import { clearKeys, clearTemporary } from './clear.ts';
import { RedisClient, RedisConnection } from './client.ts';
import { keysComparison } from './comparison.ts';
import { exportKeys } from './export.ts';
import { redisFacts } from './facts.ts';
import { type Limits, scanKeys } from './keys.ts';
import { loadKeys, requireNoConflicts } from './load.ts';
import { writeOrigin } from './origin.ts';
import { planKeys, probeKeys } from './probe.ts';
import { proveKeys } from './proof.ts';
import { KeyReader } from './read.ts';
import { keyValues, missingKeys } from './references.ts';
import { KeySpace, lacksKeys, narrowKeys, RedisScope } from './scope.ts';
import { keysOverlap, keysScratch, occupiedKeys } from './scratch.ts';
import { readFacts, serverNow } from './server.ts';
import { readSetting } from './setting.ts';
import type { RedisSite } from './site.ts';
import { KeysQuestion, keysQuestions, queryKeys } from './smoke.ts';
import { verifyKeys } from './verify.ts';
import { routeKeys, viewKeys } from './view.ts';

/** Key-value data in Redis 6 and later, Valkey, and compatible servers; standalone or as a cluster. */
export const redisAdapter = defineAdapter({
  facts: redisFacts,
  versionNotes: {
    newer: 'values and expiries are the same',
    older:
      'data that it does not support, such as expiry times of hash fields, is refused by this inspection',
  },
  Connection: RedisConnection,
  Scope: RedisScope,
  create: (connection, scope, { target, marks }) =>
    new RedisStore(connection, scope, target, undefined, marks),
  narrow: narrowKeys,
  lacks: lacksKeys,
  Smoke: KeysQuestion,
  questions: keysQuestions,
  route: routeKeys,
  view: viewKeys,
  overlaps: keysOverlap,
  scratch: keysScratch,
  check: checkKeys,
  comparison: keysComparison,
  values: async (archive, scope, { thing, field }) => keyValues(archive, new KeySpace(scope), thing, field),
});

/** The keys of one scope of one server or cluster. */
export class RedisStore extends BaseStore {
  readonly #client: RedisClient;
  readonly #space: KeySpace;
  readonly #limits: Limits | undefined;
  readonly #marks: readonly MarkRequest[];
  #opened: Promise<RedisSite> | undefined;

  /**
   * @param limits smaller key windows, for tests
   * @param marks  keys that a probe looks for
   */
  constructor(
    connection: RedisConnection,
    scope: RedisScope,
    target: string,
    limits?: Limits,
    marks: readonly MarkRequest[] = [],
  ) {
    super(redisAdapter);
    this.#marks = marks;
    this.#client = new RedisClient(connection, target);
    this.#space = new KeySpace(scope);
    this.#limits = limits;
  }

  #open(): Promise<RedisSite> {
    this.#opened ??= this.#openSite();
    // A failure is not cached: the next call tries again.
    this.#opened.catch(() => {
      this.#opened = undefined;
    });
    return this.#opened;
  }

  async #openSite(): Promise<RedisSite> {
    const facts = await readFacts(this.#client);
    const reader = new KeyReader(this.#client, facts, this.#limits?.changing);
    return { client: this.#client, space: this.#space, facts, reader, limits: this.#limits };
  }

  /** As {@link #open}, for steps of a job that has reached the server before. */
  #openAgain(): Promise<RedisSite> {
    this.#client.assumeUsable();
    return this.#open();
  }

  async probe(context: LegContext): Promise<StoreProbe> {
    return probeKeys(await this.#open(), context, this.#marks);
  }

  async prove(): Promise<StoreProof> {
    return proveKeys((await this.#open()).client);
  }

  override async names(): Promise<readonly string[]> {
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

  override async plan(_context: LegContext, probe: StoreProbe): Promise<Shard[]> {
    return planKeys(probe);
  }

  async *export(_shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    yield* exportKeys(await this.#openAgain(), cursor, context);
  }

  /**
   * Reads every record as the load will, so that an unreadable record is found before anything is written. The records
   * of an archive too large for this are checked during the load. For a merge with `fail`, the records are also
   * compared with the target.
   */
  override async admits(restore: RestoreInput): Promise<readonly string[]> {
    const { archive, options, context } = restore;
    const site = await this.#open();
    const { facts } = site;
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
        await requireNoConflicts(site, restore);
      }
    } catch (error) {
      if (!(error instanceof NgbakError) || error.retryable) throw error;
      problems.push(`${error.message} ${error.remedy}`);
    }
    return problems;
  }

  async clear({ options, context }: RestoreLeg): Promise<LegResult> {
    if (options.mode === 'merge') return DONE;
    await this.#openAgain();
    const leg = await clearKeys(this.#client, this.#space, context);
    return leg.cursor === null
      ? clearTemporary(this.#client, this.#space, context, { keepOrigin: false })
      : leg;
  }

  async load(leg: RestoreLeg): Promise<LegResult> {
    return loadKeys(await this.#openAgain(), leg);
  }

  async verify(leg: RestoreLeg): Promise<VerifyResult> {
    return verifyKeys(await this.#openAgain(), leg);
  }

  override async missing(
    { thing, field }: { thing: string; field: string },
    ids: readonly string[],
    context: LegContext,
  ) {
    if (field !== 'id') return undefined;
    await this.#open();
    return missingKeys(this.#client, this.#space, thing, ids, context);
  }

  override smoke(question: unknown, context: LegContext): Promise<string> {
    return queryKeys(this.#client, this.#space, question, context);
  }

  async label({ route, context }: LabelLeg): Promise<LegResult> {
    await this.#openAgain();
    const { prefix } = RedisScope.safeParse(route.saved).data ?? {};
    const origin = { ...route.origin, ...(prefix === undefined ? {} : { original_prefix: prefix }) };
    await writeOrigin(this.#client, this.#space, origin, context);
    return DONE;
  }

  override async occupied(context: LegContext): Promise<readonly string[]> {
    await this.#openAgain();
    return occupiedKeys(this.#client, this.#space, context);
  }

  override async finish(context: LegContext): Promise<LegResult> {
    await this.#openAgain();
    return clearTemporary(this.#client, this.#space, context, { keepOrigin: true });
  }

  override async close(): Promise<void> {
    await this.#client.close();
  }
}
