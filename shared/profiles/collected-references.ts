import { findTarget, type NgbakConfig } from '../core/config.ts';
import { hasRole, isServed, roleOf, type StoreName } from '../core/store-names.ts';
import type { CollectedField, ValueCollector } from '../stores/content-check.ts';
import type { Field } from './profile.ts';
import { isCollectionOf } from './profiles.ts';
import type { ReferenceCount } from './reference-count.ts';
import {
  nameOfReference,
  placeOf,
  type ReferringPlan,
  readability,
  referencesOf,
  SAMPLE_CHARACTERS,
  SAMPLES_MAX,
  split,
} from './references.ts';
import type { SavedArchive } from './view.ts';

/** Most values that are held, and most characters in them: about 100 MB. */
const VALUES_MAX = 1_000_000;
const CHARACTERS_MAX = 32 * 1024 ** 2;

/**
 * Counts the references between the stores of an archive while its records are checked, so that they need not be read
 * again. Exact, in bounded memory: if there are more values, `count` returns undefined, and `countReferences` reads the
 * archive instead.
 */
export class CollectedReferences implements ValueCollector {
  readonly #config: NgbakConfig;
  readonly #plan: ReferringPlan;
  /** How often each value of a field occurs: by field, and for referring ones also by separator. */
  readonly #values = new Map<string, Map<string, number>>();
  readonly #wanted: { readonly field: Field; readonly add: CollectedField['add'] }[] = [];
  readonly #limits: { readonly values: number; readonly characters: number };
  #held = 0;
  #characters = 0;
  /** False once there were too many values: then none is held. */
  #isComplete = true;

  constructor(
    config: NgbakConfig,
    plan: ReferringPlan,
    limits = { values: VALUES_MAX, characters: CHARACTERS_MAX },
  ) {
    this.#config = config;
    this.#plan = plan;
    this.#limits = limits;
    for (const reference of this.#references) {
      this.#want(reference.to);
      this.#want(reference.from, reference.separator);
    }
  }

  /** The references within the archive. Others are not counted, because that needs a server. */
  get #references() {
    const { stores } = this.#plan;
    return referencesOf(this.#config, this.#plan).filter(
      ({ from, to }) => hasRole(stores, from.store) && hasRole(stores, to.store),
    );
  }

  #want(field: Field, separator?: string): void {
    const key = keyOf(field, separator);
    if (this.#values.has(key)) return;
    const values = new Map<string, number>();
    this.#values.set(key, values);
    const add = (text: string): void => {
      if (separator === undefined) this.#add(values, text);
      else for (const part of split([text], separator)) this.#add(values, part, true);
    };
    this.#wanted.push({ field, add });
  }

  #add(values: Map<string, number>, value: string, isPart = false): void {
    if (!this.#isComplete) return;
    const count = values.get(value);
    if (count !== undefined) {
      values.set(value, count + 1);
      return;
    }
    this.#held++;
    this.#characters += value.length;
    this.#isComplete = this.#held <= this.#limits.values && this.#characters <= this.#limits.characters;
    // A part of a text is copied: otherwise it keeps the whole text in memory.
    if (this.#isComplete) values.set(isPart ? (JSON.parse(JSON.stringify(value)) as string) : value, 1);
    else for (const all of this.#values.values()) all.clear();
  }

  fieldsOf(store: StoreName, name: string): readonly CollectedField[] {
    const kind = isServed(store)
      ? findTarget(this.#config, this.#plan.target).stores[store]?.kind
      : undefined;
    return this.#wanted.flatMap(({ field, add }) => {
      const place = field.store === roleOf(store) ? placeOf(field, kind) : undefined;
      return place && isCollectionOf(name, place.thing) ? [{ name: place.field, add }] : [];
    });
  }

  /** The counts, once every record was checked. Undefined if there were too many values to hold. */
  async count(archive: SavedArchive): Promise<ReferenceCount[] | undefined> {
    if (!this.#isComplete) return undefined;
    const counts: ReferenceCount[] = [];
    for (const reference of this.#references) {
      const { from, to, separator } = reference;
      const readable = await readability(this.#config, this.#plan, archive, to);
      const { isReadable } = await readability(this.#config, this.#plan, archive, from);
      if (!readable.isReadable || !isReadable) continue;
      const ends = this.#values.get(keyOf(to));
      let total = 0;
      let checked = 0;
      let dangling = 0;
      const samples: string[] = [];
      for (const [value, count] of this.#values.get(keyOf(from, separator)) ?? []) {
        total += count;
        const isFound = ends?.has(value) ?? false;
        if (!isFound && !readable.isWhole) continue;
        checked += count;
        if (isFound) continue;
        dangling += count;
        if (samples.length < SAMPLES_MAX) samples.push(value.slice(0, SAMPLE_CHARACTERS));
      }
      counts.push({
        reference: nameOfReference(reference),
        against: 'archive',
        total,
        checked,
        dangling,
        complete: true,
        samples,
      });
    }
    return counts;
  }
}

function keyOf({ store, thing, field }: Field, separator = ''): string {
  return JSON.stringify([store, thing, field, separator]);
}
