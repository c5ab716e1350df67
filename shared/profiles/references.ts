import type { z } from 'zod';
import { findTarget, type NgbakConfig } from '../core/config.ts';
import { HashSample } from '../core/hash-sample.ts';
import { roleOf, type ServedRole, type ServedStore, type StoreName } from '../core/store-names.ts';
import type { LegContext } from '../stores/leg.ts';
import type { Store } from '../stores/store.ts';
import { resolveStore, storesOfRole } from './open.ts';
import type { Field, Reference, TableField } from './profile.ts';
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
 * @param open opens a store of the target that is not restored; returns undefined if it cannot be queried now
 */
export async function countReferences(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  open: (store: ServedStore) => Promise<Store | undefined>,
  leg: LegContext,
): Promise<ReferenceCount[]> {
  const context = withinLimit(leg);
  const held = new Map<string, Ends | undefined>();
  const counts: ReferenceCount[] = [];
  for (const reference of referencesOf(config, plan)) {
    const { from, to } = reference;
    if (restoredOf(plan, from.store).length === 0) continue;
    if (restoredOf(plan, to.store).length === 0) {
      const goal = await openGoal(storesOfRole(config, plan.target, to.store), open);
      const count = await countInTarget(config, plan, archive, reference, goal, context);
      if (count) counts.push(count);
      continue;
    }
    const name = `${to.store} ${to.thing}.${to.field}`;
    if (!held.has(name)) {
      const values = await valuesOf(config, plan, archive, to);
      const isWhole = values.unread.length === 0 && hasAllOf(config, plan, to.store);
      held.set(name, values.texts && { ...(await sampleOf(values.texts, context)), isWhole });
    }
    const ends = held.get(name);
    const { texts: values } = await valuesOf(config, plan, archive, from);
    if (!ends || !values) continue;
    const counter = new Counter(reference, 'archive');
    for await (const run of values) {
      for (const value of split(run, reference.separator)) {
        counter.total++;
        const found = ends.sample.has(value);
        if (found === undefined || !(found || ends.isWhole)) continue;
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
 * After the stores were loaded: looks up the references to a store in the store itself and in the others of its role.
 * The first restored store of a role does so for all of them. The values come from the archive as viewed at the
 * destination, which the verification has found equal to the target's data.
 *
 * @param open opens another store of the target; returns undefined if it does not belong to what is restored
 */
export async function proveReferences(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  store: Store,
  open: (store: ServedStore) => Promise<Store | undefined>,
  leg: LegContext,
): Promise<ReferenceCount[]> {
  const context = withinLimit(leg);
  const role = roleOf(store.name);
  const references = referencesOf(config, plan).filter(
    ({ from, to }) => to.store === role && restoredOf(plan, from.store).length > 0,
  );
  if (role === 'config' || references.length === 0 || restoredOf(plan, role)[0] !== store.name) return [];
  const names = storesOfRole(config, plan.target, role).filter((name) => name !== store.name);
  const { stores: others, isWhole } = await openGoal(names, open);
  try {
    const goal = { stores: [store, ...others], isWhole };
    const counts: ReferenceCount[] = [];
    for (const reference of references) {
      const count = await countInTarget(config, plan, archive, reference, goal, context);
      if (count) counts.push(count);
    }
    return counts;
  } finally {
    for (const other of others) await other.close();
  }
}

/** The restored stores of a role, in archive order. */
function restoredOf({ stores }: ReferringPlan, role: ServedRole): ServedStore[] {
  return stores.filter((name): name is ServedStore => roleOf(name) === role);
}

/** The values that references lead to. What is not among them dangles only if all of the stores could be read. */
interface Ends {
  readonly sample: HashSample;
  readonly complete: boolean;
  readonly isWhole: boolean;
}

/** The stores that references lead to, and whether these are all that could hold the other end. */
interface Goal {
  readonly stores: readonly Store[];
  readonly isWhole: boolean;
}

async function openGoal(
  names: readonly ServedStore[],
  open: (store: ServedStore) => Promise<Store | undefined>,
): Promise<Goal> {
  const opened = await Promise.all(names.map(open));
  const stores = opened.filter((store) => store !== undefined);
  return { stores, isWhole: stores.length === names.length };
}

function withinLimit(leg: LegContext): LegContext {
  const end = Date.now() + COUNTING_MS_MAX;
  return { ...leg, timeLeft: () => Math.min(leg.timeLeft(), end - Date.now()) };
}

/** The references of a target's profile. Those of tables have their names if all of its stores of that role are tables. */
export function referencesOf(
  config: NgbakConfig,
  { target }: Pick<ReferringPlan, 'target'>,
): readonly Reference[] {
  const { profile, stores } = findTarget(config, target);
  const named = (field: Field): Field => {
    const all = storesOfRole(config, target, field.store);
    const isTables = all.length > 0 && all.every((name) => stores[name]?.kind === TABLES);
    if (!isTables || !field.table) return field;
    return { ...field, thing: field.table.thing, field: field.table.field };
  };
  return findProfile(profile)
    .references.filter(({ without }) => !without || storesOfRole(config, target, without).length === 0)
    .map((reference) => ({ ...reference, from: named(reference.from), to: named(reference.to) }));
}

/** The kind of stores that hold tables. */
const TABLES = 'postgres';

/**
 * What a field is named in a store of that kind. Undefined if it cannot be read there; null if such a store never has
 * it.
 */
export function placeOf(
  { thing, field, table }: Field,
  kind: string | undefined,
): TableField | undefined | null {
  if (kind === TABLES) return table;
  return table?.thing === thing ? null : { thing, field };
}

/**
 * Whether the values of a field can be read from an archive: from one of the stores of its role, and from all of those
 * that the target has.
 */
export async function readability(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  field: Field,
): Promise<{ readonly isReadable: boolean; readonly isWhole: boolean }> {
  const { texts, unread } = await valuesOf(config, plan, archive, field);
  return {
    isReadable: texts !== undefined,
    isWhole: unread.length === 0 && hasAllOf(config, plan, field.store),
  };
}

/** Whether all stores of a role that the target has are restored. */
function hasAllOf(config: NgbakConfig, plan: ReferringPlan, role: ServedRole): boolean {
  return restoredOf(plan, role).length === storesOfRole(config, plan.target, role).length;
}

async function valuesOf(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  field: Field,
): Promise<{ readonly texts?: AsyncIterable<readonly string[]>; readonly unread: readonly ServedStore[] }> {
  const unread: ServedStore[] = [];
  const found: AsyncIterable<readonly string[]>[] = [];
  for (const store of restoredOf(plan, field.store)) {
    const place = placeOf(field, findTarget(config, plan.target).stores[store]?.kind);
    if (place === null) continue;
    const values = place && (await valuesIn(config, plan, archive, store, place));
    if (values) found.push(values);
    else unread.push(store);
  }
  return found.length === 0 ? { unread } : { texts: joined(found), unread };
}

async function* joined(all: readonly AsyncIterable<readonly string[]>[]): AsyncGenerator<readonly string[]> {
  for (const values of all) yield* values;
}

async function valuesIn(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  store: ServedStore,
  { thing, field, isOptional = false }: TableField,
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
  return adapter.values(view, routedScope, { thing, field, isThing, isOptional });
}

async function countInTarget(
  config: NgbakConfig,
  plan: ReferringPlan,
  archive: SavedArchive,
  reference: Reference,
  goal: Goal,
  context: LegContext,
): Promise<ReferenceCount | undefined> {
  const { texts: values } = await valuesOf(config, plan, archive, reference.from);
  if (!values || goal.stores.length === 0) return undefined;
  const counter = new Counter(reference, 'target');
  let batch: string[] = [];
  const lookUp = async (): Promise<boolean> => {
    let missing: readonly string[] = [...new Set(batch)];
    let answered = 0;
    let unread = 0;
    for (const store of goal.stores) {
      const place = placeOf(reference.to, store.kind);
      if (place === null) continue;
      const absent = place && (await store.missing(place, missing, context));
      if (!absent) {
        unread++;
        continue;
      }
      missing = absent;
      answered++;
    }
    if (answered === 0) return false;
    const isWhole = goal.isWhole && unread === 0;
    const absent = new Set(missing);
    for (const value of batch) {
      const isAbsent = absent.has(value);
      if (isAbsent && !isWhole) continue;
      counter.checked++;
      if (isAbsent) counter.dangles(value);
    }
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
