import type { Neo4jScope } from './connection.ts';
import { type AuxiliaryNames, auxiliaryNames, ID_PROPERTY, quote } from './names.ts';

/** Fragments of Cypher for one scope. */
export interface ScopeText {
  readonly label: string | undefined;
  readonly keyProperty: string | undefined;
  /** A node of the scope, for MATCH: `(n:Label)` or `(n)`; the marker of a restore is never one. */
  node(variable: string): string;
  /** A condition that is true for nodes of the scope. */
  contains(variable: string): string;
  readonly names: AuxiliaryNames;
  /** For messages: `label X` or `the whole database`. */
  readonly words: string;
}

export function scopeText({ label, key_property: keyProperty }: Neo4jScope): ScopeText {
  const names = auxiliaryNames(label);
  const labelText = label === undefined ? '' : `:${quote(label)}`;
  return {
    label,
    keyProperty,
    names,
    node: (variable) => `(${variable}${labelText})`,
    contains: (variable) =>
      label === undefined ? `NOT ${variable}:${names.marker}` : `${variable}${labelText}`,
    words: label === undefined ? 'the whole database' : `label "${label}"`,
  };
}

/**
 * What a query returns of a relationship's end, as `ReadEnd` of lines.ts wants it: labels and the key's value; where
 * there is no key, every property that is no list (`toStringOrNull` is null for lists only). `loaded` is the node's id
 * within an archive, while a restore is under way.
 */
export function endColumns(variable: string, { keyProperty }: ScopeText): string {
  const scalars = `[k IN keys(${variable}) WHERE toStringOrNull(${variable}[k]) IS NOT NULL | [k, ${variable}[k]]]`;
  const key = keyProperty === undefined ? 'null' : `${variable}.${quote(keyProperty)}`;
  const pairs = keyProperty === undefined ? scalars : `CASE WHEN ${key} IS NULL THEN ${scalars} END`;
  return `{id: id(${variable}), labels: labels(${variable}), key: ${key}, scalars: ${pairs}, loaded: ${variable}.${ID_PROPERTY}}`;
}
