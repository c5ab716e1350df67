import { EMPTY_ARCHIVE } from '../archive/read/empty.ts';
import { NgbakError } from '../core/errors.ts';
import type { StoreName } from '../core/store-names.ts';
import type { ExportStep, Shard, StoreProbe } from './export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from './leg.ts';
import type { RestoreInput, RestoreLeg, VerifyResult } from './restore-leg.ts';
import { NAMES_MAX, type Store, type StoreAdapter } from './store.ts';

/**
 * Defaults that suit most stores: one shard, nothing to clean up, no smoke checks. A backend implements the abstract
 * methods and overrides the defaults that do not fit.
 */
export abstract class BaseStore implements Store {
  readonly name: StoreName;
  readonly kind: string;

  /** @param adapter the adapter that creates it */
  constructor({ name, kind }: Pick<StoreAdapter, 'name' | 'kind'>) {
    this.name = name;
    this.kind = kind;
  }

  abstract probe(context: LegContext): Promise<StoreProbe>;
  abstract export(shard: Shard, cursor: Cursor | null, context: LegContext): AsyncIterable<ExportStep>;
  abstract clear(leg: RestoreLeg): Promise<LegResult>;
  abstract load(leg: RestoreLeg): Promise<LegResult>;
  abstract verify(leg: RestoreLeg): Promise<VerifyResult>;

  /** Plans one shard, or none if there is nothing to save. */
  async plan(_context: LegContext, { counts, estimatedBytes }: StoreProbe): Promise<Shard[]> {
    const isEmpty = Object.values(counts).every((count) => count === 0);
    return isEmpty ? [] : [{ id: 'all', params: {}, estimatedBytes }];
  }

  /** Does nothing: exports only read, and the legs of a restore start nothing outside the store. */
  async cleanup(_context: LegContext): Promise<void> {
    return Promise.resolve();
  }

  /** Returns the names of what is counted. */
  async names(context: LegContext): Promise<readonly string[]> {
    return Object.keys((await this.probe(context)).counts).slice(0, NAMES_MAX);
  }

  /** Admits any archive whose content check passed, unless it is to be merged: merging needs an implementation. */
  async admits({ options }: RestoreInput): Promise<readonly string[]> {
    if (options.mode !== 'merge') return Promise.resolve([]);
    return Promise.resolve([`a store of the kind "${this.kind}" cannot merge: use the mode "replace"`]);
  }

  /** Always throws, because {@link StoreAdapter.questions} offers no questions. */
  async smoke(_question: unknown, _context: LegContext): Promise<string> {
    return Promise.reject(
      new NgbakError(`A store of the kind "${this.kind}" does not support smoke checks.`, {
        remedy: 'Leave "smoke" out of its configuration.',
      }),
    );
  }

  /** Returns undefined: no references point to the records of this store. */
  async missing(
    _what: { readonly thing: string; readonly field: string },
    _values: readonly string[],
    _context: LegContext,
  ): Promise<readonly string[] | undefined> {
    return Promise.resolve(undefined);
  }

  /** Reports the records that a probe counts. */
  async occupied(context: LegContext): Promise<readonly string[]> {
    const { counts } = await this.probe(context);
    return Object.entries(counts).flatMap(([name, count]) => (count === 0 ? [] : [`${name} ${count}`]));
  }

  /** Clears what a restore of an empty archive would clear. */
  async remove(context: LegContext): Promise<LegResult> {
    const options = { mode: 'replace', onConflict: 'fail' } as const;
    const cleared = await this.clear({ archive: EMPTY_ARCHIVE, options, cursor: null, context });
    return cleared.cursor === null ? this.finish(context) : cleared;
  }

  /** Does nothing: loads leave nothing behind. */
  async finish(_context: LegContext): Promise<LegResult> {
    return Promise.resolve(DONE);
  }

  /** Does nothing: no connection stays open. */
  async close(): Promise<void> {
    return Promise.resolve();
  }
}
