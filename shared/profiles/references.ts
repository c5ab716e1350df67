import type { z } from 'zod';
import { findTarget, type NgbakConfig } from '../core/config.ts';
import { HashSample } from '../core/hash-sample.ts';
import type { StoreName } from '../core/store-names.ts';
import type { LegContext } from '../stores/leg.ts';
import type { Store } from '../stores/store.ts';
import { resolveStore } from './open.ts';
import type { Reference } from './profile.ts';
import { findProfile, isCollectionOf } from './profiles.ts';
import type { ReferenceCount } from './reference-count.ts';
import type { Routes } from './routes-record.ts';
import { type SavedArchive, viewOf } from './view.ts';

/** Number of values looked up in one query. */
const LOOK_UP_VALUES = 2000;
/**
 * Maximum time that one step spends on counting references, in milliseconds. The counts are informational and must not
 * take time away from the restore.
 */
const COUNTING_MS_MAX = 5 * 60 * 1000;
/** Most dangling values that a count contains, and most characters of each. */
export const SAMPLES_MAX = 5;
export const SAMPLE_CHARACTERS = 100;

/** What determines the references to count: the stores of a target, under the names that a restore gives them. */
export interface ReferringPlan {
  readonly target: string;
  readonly stores: readonly StoreName[];
  readonly routes?: z.infer<typeof Routes> | undefined;
}

/**
 * Counts the references in the restored data, from the archive as viewed at the destination. The referenced records are
 * looked up in the archive if their store is restored too, otherwise in the target. Only reads; stops when the time
 * runs out.
 *
 * @param open opens a store of the target that is not restored; returns undefined if the target has none
 */
export async function countReferences(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  open: (store: 'graph' | 'vectors' | 'kv') => Promise<Store | undefined>,
  leg: LegContext,
): Promise<ReferenceCount[]> {
  const context = withinLimit(leg);
  const held = new Map<string, { sample: HashSample; complete: boolean } | undefined>();
  const counts: ReferenceCount[] = [];
  for (const reference of referencesOf(config, plan)) {
    const { from, to } = reference;
    if (!plan.stores.includes(from.store)) continue;
    if (!plan.stores.includes(to.store)) {
      const goal = await open(to.store);
      const count = goal && (await countInTarget(config, plan, archive, reference, goal, context));
      if (count) counts.push(count);
      continue;
    }
    const name = `${to.store} ${to.thing}.${to.field}`;
    if (!held.has(name)) {
      const values = await valuesOf(config, plan, archive, to);
      held.set(name, values && (await sampleOf(values, context)));
    }
    const ends = held.get(name);
    const values = await valuesOf(config, plan, archive, from);
    if (!ends || !values) continue;
    const counter = new Counter(reference, 'archive');
    for await (const run of values) {
      for (const value of split(run, reference.separator)) {
        counter.total++;
        const found = ends.sample.has(value);
        if (found === undefined) continue;
        counter.checked++;
        if (!found) counter.dangles(value);
      }
      if (isOver(context)) counter.complete = false;
      if (!counter.complete) break;
    }
    counter.complete &&= ends.complete;
    counts.push(counter.count());
  }
  return counts;
}

/**
 * After a store was loaded: looks up the references to it in the store itself. The values come from the archive as
 * viewed at the destination, which the verification has found equal to the target's data.
 */
export async function proveReferences(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  goal: Store,
  leg: LegContext,
): Promise<ReferenceCount[]> {
  const context = withinLimit(leg);
  const counts: ReferenceCount[] = [];
  for (const reference of referencesOf(config, plan)) {
    if (reference.to.store !== goal.name || !plan.stores.includes(reference.from.store)) continue;
    const count = await countInTarget(config, plan, archive, reference, goal, context);
    if (count) counts.push(count);
  }
  return counts;
}

function withinLimit(leg: LegContext): LegContext {
  const end = Date.now() + COUNTING_MS_MAX;
  return { ...leg, timeLeft: () => Math.min(leg.timeLeft(), end - Date.now()) };
}

/** The references of a target's profile. */
export function referencesOf(config: NgbakConfig, plan: Pick<ReferringPlan, 'target'>): readonly Reference[] {
  return findProfile(findTarget(config, plan.target).profile).references;
}

/** Whether the values of a field can be read from an archive. */
export async function canRead(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  field: Reference['from'],
): Promise<boolean> {
  return (await valuesOf(config, plan, archive, field)) !== undefined;
}

async function valuesOf(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  { store, thing, field }: Reference['from'],
): Promise<AsyncIterable<readonly string[]> | undefined> {
  const { adapter, scope } = resolveStore(config, plan.target, store);
  const route = plan.routes?.[store];
  const view = viewOf(config, plan, archive, store);
  const names = Object.entries(route?.names ?? {});
  const isThing = (collection: string) => {
    const saved = names.find(([, to]) => to === collection)?.[0] ?? collection;
    return isCollectionOf(saved, thing);
  };
  const routedScope = route ? adapter.Scope.parse(route.scope) : scope;
  return adapter.values(view, routedScope, { thing, field, isThing });
}

async function countInTarget(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  reference: Reference,
  goal: Store,
  context: LegContext,
): Promise<ReferenceCount | undefined> {
  const values = await valuesOf(config, plan, archive, reference.from);
  if (!values) return undefined;
  const counter = new Counter(reference, 'target');
  let batch: string[] = [];
  const lookUp = async (): Promise<boolean> => {
    const missing = await goal.missing(reference.to, [...new Set(batch)], context);
    if (!missing) return false;
    const dangling = new Set(missing);
    counter.checked += batch.length;
    for (const value of batch) if (dangling.has(value)) counter.dangles(value);
    batch = [];
    return true;
  };
  for await (const run of values) {
    for (const value of split(run, reference.separator)) {
      counter.total++;
      batch.push(value);
    }
    if (batch.length >= LOOK_UP_VALUES && !(await lookUp())) return undefined;
    if (isOver(context)) counter.complete = false;
    if (!counter.complete) break;
  }
  if (batch.length > 0 && !(await lookUp())) return undefined;
  return counter.count();
}

function isOver({ timeLeft, signal }: LegContext): boolean {
  signal.throwIfAborted();
  return timeLeft() <= 0;
}

/** The values in texts that a separator divides; the texts themselves without one. */
export function split(values: readonly string[], separator: string | undefined): readonly string[] {
  if (separator === undefined) return values;
  return values.flatMap((value) => value.split(separator)).filter((part) => part !== '');
}

/** For example `vectors entities.entity_name → graph nodes.id`. */
export function nameOfReference({ from, to }: Reference): string {
  return `${from.store} ${from.thing}.${from.field} → ${to.store} ${to.thing}.${to.field}`;
}

class Counter {
  total = 0;
  checked = 0;
  complete = true;
  readonly #reference: string;
  readonly #against: ReferenceCount['against'];
  readonly #samples = new Set<string>();
  #dangling = 0;

  constructor(reference: Reference, against: ReferenceCount['against']) {
    this.#reference = nameOfReference(reference);
    this.#against = against;
  }

  dangles(value: string): void {
    this.#dangling++;
    if (this.#samples.size < SAMPLES_MAX) this.#samples.add(value.slice(0, SAMPLE_CHARACTERS));
  }

  count(): ReferenceCount {
    return {
      reference: this.#reference,
      against: this.#against,
      total: this.total,
      checked: this.checked,
      dangling: this.#dangling,
      complete: this.complete,
      samples: [...this.#samples],
    };
  }
}

/** The values of a field; if the time runs out, those read so far. */
async function sampleOf(
  values: AsyncIterable<readonly string[]>,
  context: LegContext,
): Promise<{ sample: HashSample; complete: boolean }> {
  const sample = new HashSample();
  for await (const run of values) {
    for (const value of run) sample.add(value);
    if (isOver(context)) return { sample, complete: false };
  }
  return { sample, complete: true };
}
