import { InvalidInputError } from '../../core/errors.ts';
import type { Subset } from '../../core/subset.ts';
import type { Neo4jScope } from './connection.ts';
import { type AuxiliaryNames, auxiliaryNames, quote, RESERVED_PREFIX } from './names.ts';

/** What decides whether a node belongs to a scope. */
export interface ScopedNode {
  readonly labels: readonly string[];
  readonly properties: Readonly<Record<string, unknown>>;
}

/**
 * What is known of a node outside of a scope that a property defines: its value of the property, null if it has none.
 * Without `value`: the value is not a text, or not known.
 */
export interface Outside {
  readonly value?: string | null;
}

/** Cypher fragments for one scope. A query that contains one of them needs {@link ScopeText.parameters}. */
export interface ScopeText {
  /** Label of the knowledge base; undefined if the scope is a whole database, or nodes by a property only. */
  readonly label: string | undefined;
  /** The property whose value tells the tenants of a database apart, and the values that belong to the scope. */
  readonly property: string | undefined;
  readonly values: readonly string[];
  /** True if everything in the database belongs to the scope. */
  readonly isWholeDatabase: boolean;
  /**
   * False if the scope covers only some of the nodes with its label, so that an index on the label also serves other
   * nodes.
   */
  readonly isWholeLabel: boolean;
  readonly keyProperty: string | undefined;
  /** The parameters that the fragments refer to. Values never become part of a query's text. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /**
   * The clauses that find every node of the scope, with the pattern that follows the node: `MATCH (n:Label)-[r]->(b)
   * WHERE …`. They may find the marker of a restore of a whole database.
   */
  find(variable: string, path?: string, condition?: string): string;
  /** A condition that is true for nodes of the scope and false, never null, for others. */
  contains(variable: string): string;
  /** Whether a node belongs to the scope. */
  holds(node: ScopedNode): boolean;
  readonly names: AuxiliaryNames;
  /** For messages: `label "X"` or `the whole database`. */
  readonly words: string;
}

/** Labels and relationship types that have a RANGE index on the property of a scope. */
export interface IndexedTokens {
  readonly labels: readonly string[];
  readonly types: readonly string[];
}

/** @param indexed labels whose index finds nodes by the scope's property: they are looked up first */
export function scopeText(
  scope: Neo4jScope,
  { labels: indexed }: Pick<IndexedTokens, 'labels'> = { labels: [] },
): ScopeText {
  const { label, also_label: also, property, in: values = [], key_property: keyProperty } = scope;
  const labels = [label, also].filter((name) => name !== undefined);
  const names = auxiliaryNames(labels, property === undefined ? undefined : { property, values });
  const labelText = labels.map((name) => `:${quote(name)}`).join('');
  const conditions = (variable: string) => [
    ...(labelText === '' ? [] : [`${variable}${labelText}`]),
    ...(property === undefined ? [] : [ofProperty(variable, property)]),
  ];
  const isWholeDatabase = label === undefined && property === undefined;
  return {
    label,
    property,
    values,
    isWholeDatabase,
    isWholeLabel: label !== undefined && also === undefined && property === undefined,
    keyProperty,
    names,
    parameters: property === undefined ? {} : { scope_values: values },
    find: (variable, path = '', condition) => {
      const pattern = `(${variable}${labelText})${path}`;
      const where = (all: readonly (string | undefined)[]) => {
        const given = all.filter((one) => one !== undefined);
        return given.length === 0 ? '' : ` WHERE ${given.join(' AND ')}`;
      };
      if (property === undefined) return `MATCH ${pattern}${where([condition])}`;
      const own = ofProperty(variable, property);
      // With a label, the server finds the index by itself.
      if (labelText !== '' || indexed.length === 0) return `MATCH ${pattern}${where([own, condition])}`;
      return `CALL { ${eachOf(variable, indexed, own)} } MATCH ${pattern}${where([condition])}`;
    },
    contains: (variable) =>
      isWholeDatabase ? `NOT ${variable}:${names.marker}` : `(${conditions(variable).join(' AND ')})`,
    holds: (node) =>
      labels.every((name) => node.labels.includes(name)) &&
      (property === undefined || isOneOf(values, ownValue(node, property))),
    words: wordsOf(labels, property, values),
  };
}

/** Whether a property has one of the scope's values: only texts do, not lists that contain one. */
function ofProperty(variable: string, property: string): string {
  const value = `${variable}.${quote(property)}`;
  // Without the first condition, the result for a node without the property would be null, and so would its negation.
  return `(${value} IS NOT NULL AND ${value} IN $scope_values)`;
}

/**
 * Finds all nodes with a condition: by the index of each label that has one, then among the nodes without these labels,
 * whose labels the server reads without their properties. Each node is found once.
 */
export function eachOf(variable: string, indexed: readonly string[], condition: string): string {
  const branches = indexed.map(
    (label, at) =>
      `MATCH (${variable}:${quote(label)}) WHERE ${[condition, ...without(variable, indexed.slice(0, at))].join(' AND ')}`,
  );
  const rest = `MATCH (${variable}) WHERE ${[...without(variable, indexed), condition].join(' AND ')}`;
  return [...branches, rest].map((branch) => `${branch} RETURN ${variable}`).join(' UNION ALL ');
}

function without(variable: string, labels: readonly string[]): string[] {
  return labels.map((label) => `NOT ${variable}:${quote(label)}`);
}

function ownValue({ properties }: ScopedNode, property: string): unknown {
  return Object.hasOwn(properties, property) ? properties[property] : undefined;
}

function isOneOf(values: readonly string[], value: unknown): boolean {
  return typeof value === 'string' && values.includes(value);
}

/** Number of values that a message lists. */
const VALUES_SHOWN_MAX = 5;
const VALUE_CHARACTERS_MAX = 100;

/** A value for messages. It may be the text of an archive: it is truncated. */
export function shownValue(value: string): string {
  return JSON.stringify(value.slice(0, VALUE_CHARACTERS_MAX));
}

function wordsOf(labels: readonly string[], property: string | undefined, values: readonly string[]): string {
  const shown = values.slice(0, VALUES_SHOWN_MAX).map(shownValue);
  const more = values.length > shown.length ? ` and ${values.length - shown.length} more` : '';
  const parts = [
    ...(labels.length === 0 ? [] : [`label ${labels.map((name) => `"${name}"`).join(' and ')}`]),
    ...(property === undefined ? [] : [`property "${property}" in ${shown.join(', ')}${more}`]),
  ];
  return parts.length === 0 ? 'the whole database' : parts.join(' and ');
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
