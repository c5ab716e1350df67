import type { Record as Neo4jRecord } from 'neo4j-driver';
import { ID_PROPERTY, quote } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { Properties } from './values.ts';

/** A node as {@link NODE_COLUMNS} return it. */
export interface ReadNode {
  /** Internal id. */
  readonly id: bigint;
  readonly labels: readonly string[];
  readonly properties: Properties;
}

/** An end of a relationship: labels, then the key's value, or pairs of properties. */
export interface ReadEnd {
  readonly id: bigint;
  readonly labels: readonly string[];
  /** Value of the scope's key property; null where there is none. */
  readonly key: unknown;
  /** Where `key` is null: the node's properties that are no lists, as pairs. */
  readonly scalars: readonly (readonly [string, unknown])[] | null;
  /** The node's id within the archive that is being restored; null outside of restores. */
  readonly loaded: unknown;
}

/** A relationship as {@link relationshipColumns} return it. */
export interface ReadRelationship {
  /** Internal id. */
  readonly id: bigint;
  readonly type: string;
  readonly properties: Properties;
  readonly start: ReadEnd;
  readonly end: ReadEnd;
  /** False where one end is outside of the scope. */
  readonly inside: boolean;
}

/**
 * What a query returns of a node `n`. Plain columns: a node itself comes with texts of ids, and a map with its names in
 * every row, and decoding such texts is most of the driver's work.
 */
export const NODE_COLUMNS = 'id(n), labels(n), properties(n)';

/** Reads a row of {@link NODE_COLUMNS}. */
export function parseNode(row: Neo4jRecord): ReadNode {
  return { id: row.get(0), labels: row.get(1), properties: row.get(2) };
}

/**
 * What a query returns of a relationship `r` from `a` to `b`: as few columns as possible, since each costs the server
 * a tenth of what the relationship itself does. `archiveIds` asks for those of a restore, too.
 */
export function relationshipColumns(scope: ScopeText, { archiveIds = false } = {}): string {
  const ids = archiveIds ? [`a.${ID_PROPERTY}`, `b.${ID_PROPERTY}`] : [];
  return ['id(r), type(r), properties(r)', endColumns('a', scope), endColumns('b', scope), ...ids].join(', ');
}

/**
 * Labels and the key's value; where there is no key, every property that is no list (`toStringOrNull` is null for lists
 * only). No property is a list of lists, so one that begins with an empty list tells the two apart.
 */
function endColumns(variable: string, { keyProperty }: ScopeText): string {
  const pairs = `[[]] + [p IN keys(${variable}) WHERE toStringOrNull(${variable}[p]) IS NOT NULL | [p, ${variable}[p]]]`;
  const identity =
    keyProperty === undefined ? pairs : `coalesce(${variable}.${quote(keyProperty)}, ${pairs})`;
  return `id(${variable}), labels(${variable}), ${identity} AS ${variable}Identity`;
}

/** Reads a row of {@link relationshipColumns}. */
export function parseRelationship(row: Neo4jRecord, scope: ScopeText): ReadRelationship {
  const start = parseEnd(row, 3, 9);
  const end = parseEnd(row, 6, 10);
  return {
    id: row.get(0),
    type: row.get(1),
    properties: row.get(2),
    inside: scope.holds(start.labels) && scope.holds(end.labels),
    start,
    end,
  };
}

function parseEnd(row: Neo4jRecord, at: number, loadedAt: number): ReadEnd {
  const identity: unknown = row.get(at + 2);
  const isPairs = Array.isArray(identity) && Array.isArray(identity[0]);
  return {
    id: row.get(at),
    labels: row.get(at + 1),
    key: isPairs ? null : identity,
    scalars: isPairs ? identity.slice(1) : null,
    loaded: row.length > loadedAt ? row.get(loadedAt) : null,
  };
}
