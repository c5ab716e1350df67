import { z } from 'zod';
import type { ByteSource, IndexEntry } from '../archive/format/types.ts';
import { type OpenedArchive, openArchive } from '../archive/read/open.ts';
import { REFERENCES } from '../archive/read/renamed-folder.ts';
import { type ContentSink, type Verification, verifyArchive } from '../archive/read/verify.ts';
import type { Tallies } from '../core/digest.ts';
import { IntegrityError, InvalidInputError } from '../core/errors.ts';
import { parseInput } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { byStore, StoreList, StoreName } from '../core/store-name.ts';
import { type ByStore, isStoreName } from '../core/store-names.ts';
import { VERSION } from '../core/version.ts';
import type { ContentCheck, EntrySink, ValueCollector } from './content-check.ts';
import { ADAPTERS, adapterOf } from './registry.ts';
import type { StoreAdapter } from './store.ts';
import type { StoreWarning } from './warning.ts';

/** Maximum number of problems to keep. */
const PROBLEMS_MAX = 20;

/** How far the content of an archive has been checked. May be larger than the limit for a cursor. */
const CheckState = z.object({
  /** The saved state of each store's check. */
  stores: byStore(z.json()),
  /** The entry that the next leg continues with, and the saved state of its sink. */
  within: z.object({ store: StoreName, sink: z.json() }).nullable(),
  /** Stores with an entry that could not be read within one leg, so that not all of their records were counted. */
  partial: StoreList,
});
type CheckState = z.infer<typeof CheckState>;

/** Reported for a store with an entry that took more than one leg. */
const NOT_COUNTED: StoreWarning = {
  code: 'counts-not-compared',
  text: 'An entry was too large to be checked in one step, so the records of this store were not counted and compared with the manifest. All bytes are verified.',
};

/** Input of one leg of {@link checkArchive}. */
export interface ArchiveCheck extends Omit<Verification, 'open' | 'reads'> {
  /** The stores whose content is checked. Default: all of them. */
  readonly stores?: readonly StoreName[];
  /**
   * Reads only the entries of this adapter's store, with this adapter, whatever server the archive states. Default: the
   * bytes of all entries are checked.
   */
  readonly only?: StoreAdapter | undefined;
  /** The backends that can be checked. Default: those of the registry. */
  readonly adapters?: readonly StoreAdapter[];
  /** Receives texts of the records that this leg checks; for checks that end in one leg. */
  readonly collector?: ValueCollector | undefined;
  /** The state that the previous leg returned; null for the first leg. */
  readonly state: Json;
}

/** Result of one leg of {@link checkArchive}. */
export interface ArchiveCheckResult {
  /** Where the next leg continues; null after the last one. */
  readonly cursor: Json;
  /** Passed to the next leg along with the cursor. May be several megabytes. */
  readonly state: Json;
  /** Descriptions of what is wrong, naming the entry or record: at most 20, from all legs so far. */
  readonly problems: readonly string[];
  /** Returned by the last leg. */
  readonly warnings: readonly (StoreWarning & { readonly store: StoreName })[];
  /**
   * Returned by the last leg: what was read, counted and compared with the manifest. Stores whose records could not all
   * be counted are absent.
   */
  readonly tallies: Readonly<ByStore<Tallies>>;
}

/**
 * Runs one leg of the proof that an archive can be restored, in one pass and without a server: every byte is intact,
 * every line is a valid record, records that belong together are present, and counts and digests match the manifest. A
 * backup checks its sealed archive this way, and a restore the archive that it is about to load.
 */
export async function checkArchive(source: ByteSource, check: ArchiveCheck): Promise<ArchiveCheckResult> {
  const archive = await openArchive(source, check.limits);
  const state: CheckState =
    check.state === null
      ? { stores: {}, within: null, partial: [] }
      : parseInput(CheckState, check.state, 'The state of the check');
  const contents = new ContentChecks(archive, state, check);
  const { cursor, problems } = await verifyArchive(source, {
    ...check,
    timeLeft: () => check.timeLeft(),
    progress: (done, total) => check.progress?.(done, total),
    entry: (name, problem) => check.entry?.(name, problem),
    open: (entry, resumed) => contents.open(entry, resumed),
    ...(check.only ? { reads: ({ name }) => contents.reads(name) } : {}),
  });
  if (cursor !== null) return { cursor, state: await contents.save(), problems, warnings: [], tallies: {} };
  // If entries are damaged, differing counts add no information.
  if (problems.length > 0) return { cursor: null, state: null, problems, warnings: [], tallies: {} };
  const found = await contents.end();
  return { cursor: null, state: null, ...found, problems: found.problems.slice(0, PROBLEMS_MAX) };
}

/** {@link checkArchive} in one leg, for programs without a deadline. */
export function checkWholeArchive(
  source: ByteSource,
  check: Omit<ArchiveCheck, 'cursor' | 'state' | 'timeLeft'> = {},
): Promise<ArchiveCheckResult> {
  return checkArchive(source, {
    ...check,
    cursor: null,
    state: null,
    timeLeft: () => Number.POSITIVE_INFINITY,
  });
}

/** The checks of an archive's stores. */
class ContentChecks {
  readonly #archive: OpenedArchive;
  readonly #state: CheckState;
  readonly #checks = new Map<StoreName, ContentCheck>();
  readonly #partial: Set<StoreName>;
  /** The entry being read. */
  #open: { readonly store: StoreName; readonly sink: EntrySink } | undefined;

  constructor(
    archive: OpenedArchive,
    state: CheckState,
    {
      stores = archive.manifest.scope.stores,
      adapters = ADAPTERS,
      only,
      collector,
    }: Pick<ArchiveCheck, 'stores' | 'adapters' | 'only' | 'collector'>,
  ) {
    this.#archive = archive;
    this.#state = state;
    this.#partial = new Set(state.partial);
    const { storage_backends: backends, scope, ngraf_023: converted } = archive.manifest;
    for (const store of only ? [only.name] : stores) {
      const backend = backends[store];
      // A restore does not load entries that no adapter knows.
      const adapter = only ?? adapterOf(backend?.kind, store, adapters);
      if (!adapter || !scope.stores.includes(store)) continue;
      const origin = {
        archive,
        // Keys in NGRAF-023's archives lack the prefix that the recorded scope of such an archive has.
        scope: converted === undefined ? scope.scopes?.[store] : undefined,
        version: backend?.version,
        edition: backend?.edition,
        ...(collector ? { fieldsOf: (thing: string) => collector.fieldsOf(store, thing) } : {}),
      };
      this.#checks.set(store, adapter.check(origin, state.stores[store] ?? undefined));
    }
  }

  /** Whether an entry belongs to a store that is checked. */
  reads(name: string): boolean {
    return this.#storeOf(name) !== undefined;
  }

  open(entry: IndexEntry, resumed: boolean): ContentSink | undefined {
    const store = this.#storeOf(entry.name);
    const check = store === undefined ? undefined : this.#checks.get(store);
    if (store === undefined || !check) return undefined;
    const saved = resumed && this.#state.within?.store === store ? this.#state.within.sink : undefined;
    if (resumed && saved === undefined) {
      this.#partial.add(store);
      return undefined;
    }
    let sink: EntrySink | undefined;
    try {
      sink = check.open(entry, saved);
    } catch (error) {
      return failingSink(error);
    }
    if (!sink) return undefined;
    const inner = sink;
    this.#open = { store, sink };
    return {
      write: (chunk) => inner.write(chunk),
      end: async () => {
        this.#open = undefined;
        await inner.end();
      },
      abort: async () => {
        this.#open = undefined;
        await inner.abort();
      },
    };
  }

  /** The store that an entry belongs to, if it is checked. */
  #storeOf(entry: string): StoreName | undefined {
    const store = storeOf(entry);
    return store !== undefined && this.#checks.has(store) ? store : undefined;
  }

  /** Saves the state, between two entries or within one. */
  async save(): Promise<Json> {
    const open = this.#open;
    const within = open?.sink.save ? { store: open.store, sink: open.sink.save() } : null;
    if (open && !within) {
      await open.sink.abort();
      this.#partial.add(open.store);
    }
    return {
      stores: Object.fromEntries([...this.#checks].map(([store, check]) => [store, check.save()])),
      within,
      partial: [...this.#partial],
    };
  }

  async end(): Promise<Pick<ArchiveCheckResult, 'problems' | 'warnings' | 'tallies'>> {
    const problems: string[] = [];
    const tallies: ByStore<Tallies> = {};
    const warnings: (StoreWarning & { store: StoreName })[] = [];
    for (const [store, check] of this.#checks) {
      try {
        const found = await check.end();
        problems.push(...found.problems.map((problem) => `${store}: ${problem}`));
        warnings.push(...found.warnings.map((warning) => ({ store, ...warning })));
        if (this.#partial.has(store)) warnings.push({ store, ...NOT_COUNTED });
        else {
          this.#compare(store, found.tallies, problems, warnings);
          tallies[store] = found.tallies;
        }
      } catch (error) {
        if (!(error instanceof IntegrityError || error instanceof InvalidInputError)) throw error;
        problems.push(`${store}: ${error.message.replace(/\.$/, '')}`);
      }
    }
    return { problems, warnings, tallies };
  }

  /** Compares the counted records with the manifest, if the manifest covers the store. */
  #compare(
    store: StoreName,
    found: Tallies,
    problems: string[],
    warnings: (StoreWarning & { store: StoreName })[],
  ): void {
    const { tallies, ngbak_version: version } = this.#archive.manifest;
    const expected = tallies[store];
    if (expected === undefined) return;
    const differing: string[] = [];
    for (const name of new Set([...Object.keys(expected), ...Object.keys(found)])) {
      const [count, read] = [expected[name]?.count ?? 0, found[name]?.count ?? 0];
      // A collection without points is still a collection.
      const isMissing = expected[name] !== undefined && found[name] === undefined;
      if (count !== read || isMissing) {
        problems.push(
          `${store}: the manifest states ${count} ${name}, but the archive contains ${isMissing ? 'nothing of that name' : read}`,
        );
      } else if (count > 0 && expected[name]?.digest !== found[name]?.digest) differing.push(name);
    }
    if (differing.length === 0) return;
    if (version === VERSION) {
      problems.push(...differing.map((name) => `${store}: the digest of ${name} differs from the manifest`));
      return;
    }
    // Another version may digest the same record in a different form.
    warnings.push({
      store,
      code: 'digests-of-another-version',
      text: 'Digests of records differ from the manifest, which another version of ngbak wrote. Their counts are equal, and all bytes are verified.',
      count: differing.length,
      samples: differing.slice(0, 20),
    });
  }
}

/** The store that an entry belongs to, by its name. */
export function storeOf(entry: string): StoreName | undefined {
  const name = entry.startsWith(REFERENCES) ? entry.slice(REFERENCES.length) : entry;
  const [folder = ''] = name.split('/', 1);
  return isStoreName(folder) ? folder : undefined;
}

function failingSink(error: unknown): ContentSink {
  const fail = () => Promise.reject(error);
  return { write: fail, end: fail, abort: () => undefined };
}
