import { InvalidInputError } from '../../core/errors.ts';
import type { Subset } from '../../core/subset.ts';
import type { Neo4jScope } from './connection.ts';
import { type AuxiliaryNames, auxiliaryNames, quote, RESERVED_PREFIX } from './names.ts';

/** Cypher fragments for one scope. */
export interface ScopeText {
  /** Label of the knowledge base; undefined if the scope is a whole database. */
  readonly label: string | undefined;
  /**
   * False if the scope covers only some of the nodes with its label, so that an index on the label also serves other
   * nodes.
   */
  readonly isWholeLabel: boolean;
  readonly keyProperty: string | undefined;
  /** Pattern for a node of the scope in MATCH: `(n:Label)` or `(n)`. Never matches the marker of a restore. */
  node(variable: string): string;
  /** A condition that is true for nodes of the scope. */
  contains(variable: string): string;
  /** Whether a node with these labels belongs to the scope. */
  holds(labels: readonly string[]): boolean;
  readonly names: AuxiliaryNames;
  /** For messages: `label "X"` or `the whole database`. */
  readonly words: string;
}

export function scopeText({ label, also_label: also, key_property: keyProperty }: Neo4jScope): ScopeText {
  const labels = [label, also].filter((name) => name !== undefined);
  const names = auxiliaryNames(labels);
  const labelText = labels.map((name) => `:${quote(name)}`).join('');
  return {
    label,
    isWholeLabel: also === undefined,
    keyProperty,
    names,
    node: (variable) => `(${variable}${labelText})`,
    contains: (variable) =>
      label === undefined ? `NOT ${variable}:${names.marker}` : `${variable}${labelText}`,
    holds: (found) => labels.every((name) => found.includes(name)),
    words:
      label === undefined ? 'the whole database' : `label ${labels.map((name) => `"${name}"`).join(' and ')}`,
  };
}

/** Restricts a scope to its nodes with a given label: see `StoreAdapter.narrow`. */
export function narrowGraph(scope: Neo4jScope, { label }: Subset): Neo4jScope {
  if (label === undefined || label === scope.label || label === scope.also_label) return scope;
  if (label.startsWith(RESERVED_PREFIX)) {
    throw new InvalidInputError(`Label "${label}" is reserved for ngbak.`, {
      remedy: 'Choose another label.',
    });
  }
  if (scope.label === undefined) return { ...scope, label };
  if (scope.also_label === undefined) return { ...scope, also_label: label };
  throw new InvalidInputError(
    `The target's scope is the nodes of ${scopeText(scope).words}: one more label, "${label}", cannot be selected.`,
    { remedy: 'Leave the label out.' },
  );
}
