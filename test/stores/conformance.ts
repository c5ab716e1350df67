import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AccessDeniedError, UnavailableError } from '../../shared/core/errors.ts';
import type { ServedStore } from '../../shared/core/store-names.ts';
import { namedAdapter } from '../../shared/stores/named-adapter.ts';
import { NAMES_MAX, type Store, type StoreAdapter } from '../../shared/stores/store.ts';
import { checkSealed } from './checked.ts';
import { compareWithArchive } from './compared.ts';
import {
  type Exported,
  exportAll,
  legContext,
  MemoryArchive,
  type RestoreHow,
  restoreAll,
  withStore,
} from './memory-archive.ts';

/** The operations of a backend for the suite. Everything happens in a separate scope on the real server. */
export interface Conformance {
  /** A store on the scope of the test. Every call opens a new one; the suite closes it. */
  open(): Store;
  /** Its adapter, if the registry does not list it. */
  adapter?: StoreAdapter;
  /** A store with the right address and a wrong password; undefined if the backend has none. */
  openWithWrongPassword?: (() => Store) | undefined;
  /** The wrong password, which no message may repeat. */
  wrongPassword?: string;
  /** A store with an address without a server; undefined if the backend has no address. */
  openUnreachable?: (() => Store) | undefined;
  /**
   * Empties the scope and fills it with data of every kind that the backend supports: several entries, several forms.
   */
  seed(): Promise<void>;
  /** Empties the scope. */
  empty(): Promise<void>;
  /** Makes changes to the scope that a backup must detect: a changed, an added and a deleted record. */
  change(): Promise<void>;
  /** Deletes one record. */
  loseRecord(): Promise<void>;
  /** Changes one value of one record. */
  changeRecord(): Promise<void>;
  /** Adds one record. */
  addRecord(): Promise<void>;
  /** The leftovers of ngbak on the server: temporary names, snapshots, marks. Empty in the normal case. */
  leftovers(): Promise<string[]>;
  /** Everything in the scope as one comparable text, read without ngbak. */
  content(): Promise<string>;
  /** False if the server names the exported data, so that it is never the same twice (Qdrant's snapshots). */
  stepsRepeat?: boolean;
  /** Whether `merge` is supported in this scope. */
  merges: boolean;
  /** How its records are compared; absent if the adapter cannot compare them. */
  compared?: ComparedSite;
  /** Called once after all tests. */
  close(): Promise<void>;
}

export interface ComparedSite {
  readonly scope: unknown;
  /** A store on the same server, in this scope. */
  open(scope: unknown): Store;
  /** By kind: how many records a restore would add, change and remove after {@link Conformance.change}. */
  readonly changes: Readonly<Record<string, readonly [added: number, changed: number, removed: number]>>;
  /** True if records are in a form that only the server can read: all kinds are compared by their counts. */
  readonly countsOnly?: boolean;
}

/** The same site as a further store of its role, whose entries have the folder of its name. */
export function underName(site: Conformance, adapter: StoreAdapter, name: ServedStore): Conformance {
  const named = (open: () => Store) => () =>
    namedAdapter({ ...adapter, create: open }, name).create(undefined, undefined, { target: 'test' });
  const { compared, openWithWrongPassword: wrong, openUnreachable: unreachable } = site;
  return {
    ...site,
    adapter: namedAdapter(adapter, name),
    open: named(site.open),
    ...(wrong ? { openWithWrongPassword: named(wrong) } : {}),
    ...(unreachable ? { openUnreachable: named(unreachable) } : {}),
    ...(compared
      ? { compared: { ...compared, open: (scope: unknown) => named(() => compared.open(scope))() } }
      : {}),
  };
}

/** A deadline for hangs, not for speed. */

/** The contract of every adapter, tested on its real server. Call it at the top level of a test file. */
export function conformsToPort(kind: string, setUp: () => Promise<Conformance>): void {
  describe(`the ${kind} store`, () => {
    let site: Conformance;
    let original: string;
    let exported: Exported;
    let isSeeded = false;

    /** Fills the scope with the data of the suite, unless it holds exactly that. */
    async function seed(): Promise<void> {
      if (!isSeeded) await site.seed();
      isSeeded = true;
    }

    /** The store or the test changes something in the scope. */
    async function alter<T>(change: () => Promise<T>): Promise<T> {
      isSeeded = false;
      return change();
    }

    const restore = (archive: MemoryArchive, how?: RestoreHow) =>
      alter(() => restoreAll(site.open, archive, how));

    async function expectOriginal(): Promise<void> {
      isSeeded = false;
      expect(await site.content()).toBe(original);
      isSeeded = true;
    }

    beforeAll(async () => {
      site = await setUp();
      await seed();
      original = await site.content();
      exported = await exportAll(site.open);
    });

    afterAll(async () => {
      await site.empty();
      await site.close();
    });

    test('counts before an export what the export then contains', async () => {
      await seed();
      const { counts } = await withStore(site.open, (store) => store.probe(legContext()));
      const tallied = Object.fromEntries(
        Object.keys(counts).map((name) => [name, exported.tallies[name]?.count ?? 0]),
      );
      expect(tallied).toEqual(counts);
      expect(Object.values(counts).some((count) => count > 0)).toBe(true);
    });

    test('lists names of its contents, and changes nothing', async () => {
      await seed();
      const names = await withStore(site.open, (store) => store.names(legContext()));
      expect(names.length).toBeGreaterThan(0);
      expect(names.length).toBeLessThanOrEqual(NAMES_MAX);
      await expectOriginal();
    });

    test('plans shards that fit into the state of the workflow', async () => {
      await withStore(site.open, async (store) => {
        const shards = await store.plan(legContext(), await store.probe(legContext()));
        expect(shards.length).toBeGreaterThan(0);
        expect(shards.length).toBeLessThanOrEqual(64);
        expect(new Set(shards.map(({ id }) => id)).size).toBe(shards.length);
        for (const { id, params } of shards) {
          expect(id).toMatch(/^[a-zA-Z0-9_-]+$/);
          expect(JSON.stringify(params).length).toBeLessThanOrEqual(4096);
        }
      });
    });

    test('leaves nothing on the server after an export, and changes nothing there', async () => {
      await seed();
      await exportAll(site.open);
      expect(await site.leftovers()).toEqual([]);
      await expectOriginal();
    });

    test('removes everything that it reports to exist', async () => {
      await seed();
      isSeeded = false;
      await withStore(site.open, async (store) => {
        expect((await store.occupied(legContext())).length).toBeGreaterThan(0);
        while ((await store.remove(legContext())).cursor !== null);
        expect(await store.occupied(legContext())).toEqual([]);
        const { counts } = await store.probe(legContext());
        expect(Object.values(counts).filter((count) => count > 0)).toEqual([]);
      });
    });

    test('exports the same if every leg ends after one step', async () => {
      await seed();
      const stopped = await exportAll(site.open, 1);
      expect(stopped.tallies).toEqual(exported.tallies);
      const whole = await exportAll(site.open);
      expect(stopped.archive.names()).toEqual(whole.archive.names());
    });

    test('exports data that passes the check of a sealed archive, in one leg and in many', async () => {
      const { name: store, kind: backend } = site.open();
      const sealed = { store, kind: backend, tallies: exported.tallies, adapter: site.adapter };
      expect(await checkSealed(exported.archive, sealed)).toMatchObject({
        problems: [],
        warnings: [],
        legs: 1,
      });
      const inLegs = await checkSealed(exported.archive, sealed, { legs: true });
      expect(inLegs).toMatchObject({ problems: [], warnings: [] });
      // Also within entries, as happens with the largest ones.
      const within = await checkSealed(exported.archive, sealed, { legs: true, resumeAbove: 1000 });
      expect(within).toMatchObject({ problems: [], warnings: [] });
      expect(inLegs.legs).toBeGreaterThanOrEqual(exported.archive.names().length);
    });

    test('exports nothing whose loss the check of a sealed archive would miss', async () => {
      const { name: store, kind: backend } = site.open();
      const sealed = { store, kind: backend, tallies: exported.tallies, adapter: site.adapter };
      for (const name of exported.archive.names()) {
        const without = new MemoryArchive();
        for (const [other, content] of exported.archive.files)
          if (other !== name) without.files.set(other, content);
        const { problems } = await checkSealed(without, sealed);
        expect([name, problems]).toEqual([name, expect.arrayContaining([expect.any(String)])]);
      }
      for (const [name, tally] of Object.entries(exported.tallies)) {
        const others = { ...exported.tallies, [name]: { ...tally, count: tally.count + 1 } };
        const { problems } = await checkSealed(exported.archive, { ...sealed, tallies: others });
        expect(problems).toContainEqual(
          expect.stringContaining(`${tally.count + 1} ${name}, but the archive contains ${tally.count}`),
        );
      }
    });

    test('repeats a step with the same result if its leg is repeated', async () => {
      await seed();
      if (site.stepsRepeat === false) return;
      const first = await withStore(site.open, firstSteps);
      expect(await withStore(site.open, firstSteps)).toEqual(first);
    });

    test('shows by its fence whether anything changed', async () => {
      await seed();
      const fence = () => withStore(site.open, async (store) => (await store.probe(legContext())).fence);
      const before = await fence();
      expect(await fence()).toEqual(before);
      await alter(() => site.change());
      expect(await fence()).not.toEqual(before);
    });

    test('restores exactly what was saved, regardless of the current contents of the target', async () => {
      await seed();
      await alter(() => site.change());
      const restored = await restore(exported.archive);
      expect(restored.samples).toEqual([]);
      expect(restored.differences).toBe(0);
      expect(restored.loaded).toEqual(exported.tallies);
      expect(restored.readBack).toEqual(exported.tallies);
      await expectOriginal();
      expect(await site.leftovers()).toEqual([]);
      expect((await exportAll(site.open)).tallies).toEqual(exported.tallies);
    });

    test('restores everything into an empty target', async () => {
      await alter(() => site.empty());
      const restored = await restore(exported.archive);
      expect(restored.differences).toBe(0);
      await expectOriginal();
    });

    test('restores everything if no leg has any time, and each is repeated', async () => {
      await alter(() => site.empty());
      const restored = await restore(exported.archive, { hurried: true, repeated: true });
      expect(restored.samples).toEqual([]);
      expect(restored.differences).toBe(0);
      expect(restored.loaded).toEqual(exported.tallies);
      expect(restored.readBack).toEqual(exported.tallies);
      await expectOriginal();
      expect(await site.leftovers()).toEqual([]);
    });

    test('restores an empty scope as empty, and clears the target for it', async () => {
      await alter(() => site.empty());
      const nothing = await exportAll(site.open);
      const empty = await site.content();
      await seed();
      const restored = await restore(nothing.archive);
      expect(restored.differences).toBe(0);
      expect(await site.content()).toBe(empty);
    });

    test.each([
      ['missing', () => site.loseRecord()],
      ['changed', () => site.changeRecord()],
      ['too much', () => site.addRecord()],
    ])('finds a record that is %s after the load', async (_problem, damage) => {
      await alter(() => site.empty());
      const restored = await restore(exported.archive, { beforeVerify: damage });
      expect(restored.differences).toBeGreaterThan(0);
      expect(restored.samples.length).toBeGreaterThan(0);
    });

    test('can finish twice, and after nothing, without harm', async () => {
      await seed();
      const finish = () => withStore(site.open, (store) => store.finish(legContext()));
      expect((await finish()).cursor).toBeNull();
      expect((await finish()).cursor).toBeNull();
      await expectOriginal();
    });

    test('admits its own archive', async () => {
      await seed();
      const problems = await withStore(site.open, (store) =>
        store.admits({
          archive: exported.archive,
          options: { mode: 'replace', onConflict: 'fail' },
          context: legContext(),
        }),
      );
      expect(problems).toEqual([]);
      await expectOriginal();
    });

    test('finds exactly what a restore would change, in one leg and in many, and writes nothing', async () => {
      const { compared } = site;
      if (!compared) return;
      const { countsOnly = false } = compared;
      await seed();
      const same = await compareWithArchive(site, compared, exported, false);
      expect(same.not_compared).toBeUndefined();
      expect(same.kinds.length).toBeGreaterThan(0);
      for (const { kind, before, after, added, changed, removed, limited } of same.kinds) {
        expect([kind, limited?.by]).toEqual([kind, countsOnly ? 'counts' : undefined]);
        expect([kind, before, added.count, changed.count, removed.count]).toEqual([kind, after, 0, 0, 0]);
        expect([kind, after]).toEqual([kind, exported.tallies[kind]?.count ?? 0]);
      }
      await alter(() => site.change());
      const content = await site.content();
      const inLegs = await compareWithArchive(site, compared, exported, true);
      expect(await compareWithArchive(site, compared, exported, false)).toEqual(inLegs);
      const changes = inLegs.kinds.flatMap(({ kind, added, changed, removed }) => {
        const counts = [added.count, changed.count, removed.count];
        for (const { count, samples } of [added, changed, removed]) {
          expect([kind, samples.length]).toEqual([kind, Math.min(20, count)]);
        }
        return counts.every((count) => count === 0) ? [] : [[kind, counts]];
      });
      expect(Object.fromEntries(changes)).toEqual(countsOnly ? {} : compared.changes);
      expect(await site.content()).toBe(content);
      expect(await site.leftovers()).toEqual([]);
    });

    test('merges to the same result, once and twice', async () => {
      if (!site.merges) return;
      await alter(() => site.empty());
      const options = { mode: 'merge', onConflict: 'overwrite' } as const;
      for (let time = 0; time < 2; time++) {
        const restored = await restore(exported.archive, { options });
        expect(restored.samples).toEqual([]);
        await expectOriginal();
        expect(await site.leftovers()).toEqual([]);
      }
    });

    test('reports a wrong password, without repeating it', async () => {
      if (!site.openWithWrongPassword) return;
      const error = await failure(site.openWithWrongPassword);
      expect(error).toBeInstanceOf(AccessDeniedError);
      expectSecretless(error, site.wrongPassword);
    });

    test('reports that the server does not respond, as a retryable error', async () => {
      if (!site.openUnreachable) return;
      const error = await failure(site.openUnreachable);
      expect(error).toBeInstanceOf(UnavailableError);
      expect((error as UnavailableError).retryable).toBe(true);
      expectSecretless(error, site.wrongPassword);
    });

    test('stops immediately on request', async () => {
      const signal = AbortSignal.abort(new Error('told to stop'));
      await expect(withStore(site.open, (store) => store.probe(legContext({ signal })))).rejects.toThrow();
    });
  });
}

/** Names and contents from the first two steps of the first shard. */
async function firstSteps(store: Store): Promise<unknown> {
  const context = legContext();
  const [shard] = await store.plan(context, await store.probe(context));
  if (!shard) throw new Error('nothing is planned');
  const found: unknown[] = [];
  for await (const step of store.export(shard, null, context)) {
    const parts: Buffer[] = [];
    for (const piece of [step.piece, ...(step.companions ?? [])]) {
      for await (const bytes of piece.data) parts.push(Buffer.from(bytes));
      found.push(piece.name, piece.size);
    }
    found.push(step.tallies, step.next);
    if (found.length >= 8) break;
  }
  await store.cleanup(context);
  return found;
}

async function failure(open: () => Store): Promise<unknown> {
  try {
    await withStore(open, (store) => store.probe(legContext()));
  } catch (error) {
    return error;
  }
  throw new Error('the store could be probed');
}

function expectSecretless(error: unknown, secret: string | undefined): void {
  for (let current = error; current instanceof Error; current = current.cause) {
    if (secret !== undefined) expect(current.message).not.toContain(secret);
  }
}
