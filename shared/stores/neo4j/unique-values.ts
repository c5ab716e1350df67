import { hash } from 'node:crypto';
import { z } from 'zod';
import { WARNING_SAMPLES_MAX } from '../warning.ts';
import type { SchemaRow } from './schema.ts';
import { encodeNamed, type Properties } from './values.ts';

/** Maximum number of values held: 128 MB. */
const VALUES_MAX = 8_000_000;
const SLOTS_MIN = 1024;

const Found = z.object({ count: z.number(), samples: z.array(z.string()) });
export const SavedUniqueValues = z.object({
  /** Base64, 8 bytes per value. */
  values: z.string(),
  complete: z.boolean(),
  /** By rule name. */
  repeated: z.record(z.string(), Found),
});

/**
 * A uniqueness rule: values of certain properties must be unique among all nodes with a label or relationships of a
 * type.
 */
interface Rule {
  readonly name: string;
  readonly entity: SchemaRow['entity'];
  /** A label or type; undefined if the rule applies to every record. */
  readonly token: string | undefined;
  readonly properties: readonly string[];
}

/** The rules stated by the constraints of an archive. */
export function uniqueRules(rows: readonly SchemaRow[]): Rule[] {
  return rows
    .filter(({ type, kind }) => type === 'constraint' && /UNIQUENESS|KEY$/.test(kind))
    .map(({ name, entity, tokens, properties }) => ({ name, entity, token: tokens[0], properties }));
}

/** Name of {@link keyRule}. No constraint can have this name. */
export const KEY_RULE = '';

/** The rule that the key property identifies each node of a scope. */
export function keyRule(property: string): Rule {
  return { name: KEY_RULE, entity: 'NODE', token: undefined, properties: [property] };
}

/**
 * Finds duplicates among values that must be unique. The records of an archive are read at different times, so a node
 * that was deleted and recreated during the backup may have been read twice. Holds a 64-bit hash of each value; among a
 * few million values, the probability of a collision is about one in a hundred thousand archives.
 */
export class UniqueValues {
  readonly rules: readonly Rule[];
  readonly #repeated: Map<string, { count: number; samples: string[] }>;
  /** Hash table with open addressing, two numbers per value; an empty slot holds 0 and 0. */
  #slots = new Uint32Array(2 * SLOTS_MIN);
  #size = 0;
  /** False once the limit of held values was exceeded. */
  #isComplete = true;

  constructor(rules: readonly Rule[], from: z.infer<typeof SavedUniqueValues> | undefined) {
    this.rules = rules;
    this.#repeated = new Map(Object.entries(from?.repeated ?? {}));
    this.#isComplete = from?.complete ?? true;
    const saved = Buffer.from(from?.values ?? '', 'base64');
    for (let at = 0; at + 8 <= saved.length; at += 8)
      this.#add(saved.readUInt32LE(at), saved.readUInt32LE(at + 4));
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /**
   * @param tokens labels of a node, or the type of a relationship. @param sample how to name a duplicate in messages
   */
  add(
    entity: SchemaRow['entity'],
    tokens: readonly string[],
    properties: Properties,
    sample: (rule: Rule) => string,
  ): void {
    for (const rule of this.rules) {
      if (rule.entity !== entity || (rule.token !== undefined && !tokens.includes(rule.token))) continue;
      // A record without one of the properties is exempt from the constraint.
      if (!rule.properties.every((name) => Object.hasOwn(properties, name))) continue;
      let text = rule.name;
      for (const name of rule.properties) {
        const { json, type = '' } = encodeNamed(name, properties[name]);
        text += `\0${type}\0${json}`;
      }
      const digest = hash('sha256', text, 'buffer');
      if (this.#add(digest.readUInt32LE(0) || 1, digest.readUInt32LE(4))) continue;
      const found = this.#repeated.get(rule.name) ?? { count: 0, samples: [] };
      found.count++;
      if (found.samples.length < WARNING_SAMPLES_MAX) found.samples.push(sample(rule));
      this.#repeated.set(rule.name, found);
    }
  }

  /** For each rule: the number of records that duplicate an earlier value, with samples. */
  repeated(name: string): { readonly count: number; readonly samples: readonly string[] } | undefined {
    return this.#repeated.get(name);
  }

  save(): z.infer<typeof SavedUniqueValues> {
    const values = Buffer.alloc(8 * this.#size);
    let at = 0;
    for (let slot = 0; slot < this.#slots.length; slot += 2) {
      if (this.#slots[slot] === 0) continue;
      at = values.writeUInt32LE(this.#slots[slot] ?? 0, at);
      at = values.writeUInt32LE(this.#slots[slot + 1] ?? 0, at);
    }
    return {
      values: values.toString('base64'),
      complete: this.#isComplete,
      repeated: Object.fromEntries(this.#repeated),
    };
  }

  /** Returns false if the value is already in the set. The first half of a hash is never 0. */
  #add(first: number, second: number): boolean {
    if (4 * (this.#size + 1) > this.#slots.length) this.#grow();
    const slot = this.#slotOf(first, second);
    if (this.#slots[slot] !== 0) return false;
    if (this.#size >= VALUES_MAX) {
      this.#isComplete = false;
      return true;
    }
    this.#slots[slot] = first;
    this.#slots[slot + 1] = second;
    this.#size++;
    return true;
  }

  /** The slot of a value, or the one where it would be inserted. */
  #slotOf(first: number, second: number): number {
    const mask = this.#slots.length - 2;
    let slot = (2 * second) & mask;
    while (this.#slots[slot] !== 0 && (this.#slots[slot] !== first || this.#slots[slot + 1] !== second)) {
      slot = (slot + 2) & mask;
    }
    return slot;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 2) {
      const [first = 0, second = 0] = [old[at], old[at + 1]];
      if (first === 0) continue;
      const slot = this.#slotOf(first, second);
      this.#slots[slot] = first;
      this.#slots[slot + 1] = second;
    }
  }
}
