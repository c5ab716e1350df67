import { z } from 'zod';
import { HashSet, SavedHashSet } from '../../core/hash-set.ts';
import { WARNING_SAMPLES_MAX } from '../warning.ts';
import type { SchemaRow } from './schema.ts';
import { encodeNamed, type Properties } from './values.ts';

/** Maximum number of values held: 128 MB. */
const VALUES_MAX = 8_000_000;

const Found = z.object({ count: z.number(), samples: z.array(z.string()) });
export const SavedUniqueValues = SavedHashSet.extend({
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
  /** True if records with different labels may have the same values. */
  readonly isByLabels?: boolean;
}

/** The rules stated by the constraints of an archive. */
export function uniqueRules(rows: readonly SchemaRow[]): Rule[] {
  return rows
    .filter(({ type, kind }) => type === 'constraint' && /UNIQUENESS|KEY$/.test(kind))
    .map(({ name, entity, tokens, properties }) => ({ name, entity, token: tokens[0], properties }));
}

/** Name of {@link keyRule}. No constraint can have this name. */
export const KEY_RULE = '';

/** The rule that the key property identifies each node of a scope, or each of those with the same labels. */
export function keyRule(property: string, isByLabels: boolean): Rule {
  return { name: KEY_RULE, entity: 'NODE', token: undefined, properties: [property], isByLabels };
}

/**
 * Finds duplicates among values that must be unique. The records of an archive are read at different times, so a node
 * that was deleted and recreated during the backup may have been read twice.
 */
export class UniqueValues {
  readonly rules: readonly Rule[];
  readonly #repeated: Map<string, { count: number; samples: string[] }>;
  readonly #values: HashSet;

  constructor(rules: readonly Rule[], from: z.infer<typeof SavedUniqueValues> | undefined) {
    this.rules = rules;
    this.#repeated = new Map(Object.entries(from?.repeated ?? {}));
    this.#values = new HashSet(VALUES_MAX, from);
  }

  /** False once the limit of held values was exceeded. */
  get isComplete(): boolean {
    return this.#values.isComplete;
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
      let text = rule.isByLabels ? JSON.stringify([rule.name, ...tokens].sort()) : rule.name;
      for (const name of rule.properties) {
        const { json, type = '' } = encodeNamed(name, properties[name]);
        text += `\0${type}\0${json}`;
      }
      if (this.#values.add(text)) continue;
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
    return { ...this.#values.save(), repeated: Object.fromEntries(this.#repeated) };
  }
}
