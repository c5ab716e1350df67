import type { Record as Neo4jRecord } from 'neo4j-driver-core';
import { InvalidInputError } from '../../core/errors.ts';
import { ID_PROPERTY, quote } from './names.ts';
import type { Outside, ScopeText } from './scope.ts';
import type { Properties } from './values.ts';

/** A node as {@link NODE_COLUMNS} return it. */
export interface ReadNode {
  /** Internal ID. */
  readonly id: bigint;
  readonly labels: readonly string[];
  readonly properties: Properties;
}

/** One end of a relationship: its labels, and either its key value or a digest. */
export interface ReadEnd {
  readonly id: bigint;
  readonly labels: readonly string[];
  /** Value of the scope's key property; null if the node has none. */
  readonly key: unknown;
  /** If `key` is null: digest of the labels and the non-list properties; undefined until it has been looked up. */
  readonly digest: string | undefined;
  /** Absent if the node belongs to the scope, or a label alone defines it. */
  readonly outside: Outside | undefined;
  /** The node's ID in the archive that is being restored; null outside restores. */
  readonly loaded: unknown;
}

/** A relationship as {@link relationshipColumns} return it. */
export interface ReadRelationship {
  /** Internal ID. */
  readonly id: bigint;
  readonly type: string;
  readonly properties: Properties;
  readonly start: ReadEnd;
  readonly end: ReadEnd;
  /** False if one end is outside the scope. */
  readonly inside: boolean;
}

/**
 * The columns that a query returns for a node `n`. Plain columns, because a node value carries its ID as text and a map
 * repeats its keys in every row, and decoding these strings is most of the driver's work.
 */
export const NODE_COLUMNS = 'id(n), labels(n), properties(n)';

/** Parses a row of {@link NODE_COLUMNS}. */
export function parseNode(row: Neo4jRecord): ReadNode {
  return { id: row.get(0), labels: row.get(1), properties: row.get(2) };
}

/**
 * The columns that a query returns for a relationship `r` from `a` to `b`: as few as possible, since each costs the
 * server a tenth of the cost of the relationship itself. Of the ends' properties only the key is returned: see {@link
 * EndDigests}. With `archiveIds`, the columns include the archive IDs that a restore set on the ends.
 */
export function relationshipColumns(scope: ScopeText, { archiveIds = false } = {}): string {
  const ids = archiveIds ? [`a.${ID_PROPERTY}`, `b.${ID_PROPERTY}`] : [];
  // Labels are among the columns of the ends; other properties than the key are not.
  const tenants =
    scope.property === undefined ? [] : ['a', 'b'].map((end) => `${end}.${quote(scope.property ?? '')}`);
  return [
    'id(r), type(r), properties(r)',
    ...tenants,
    endColumns('a', scope),
    endColumns('b', scope),
    ...ids,
  ].join(', ');
}

function endColumns(variable: string, { keyProperty }: ScopeText): string {
  const columns = `id(${variable}), labels(${variable})`;
  return keyProperty === undefined
    ? columns
    : `${columns}, ${variable}.${quote(keyProperty)} AS ${variable}Key`;
}

/** Parses a row of {@link relationshipColumns}. Ends without a key have no digest yet. */
export function parseRelationship(row: Neo4jRecord, scope: ScopeText): ReadRelationship {
  const width = scope.keyProperty === undefined ? 2 : 3;
  const { property } = scope;
  const at = property === undefined ? 3 : 5;
  const start = parseEnd(row, at, width, at + 2 * width);
  const end = parseEnd(row, at + width, width, at + 1 + 2 * width);
  if (property !== undefined) {
    const [startOutside, endOutside] = [
      outsideOf(scope, start.labels, property, row.get(3)),
      outsideOf(scope, end.labels, property, row.get(4)),
    ];
    return {
      id: row.get(0),
      type: row.get(1),
      properties: row.get(2),
      inside: startOutside === undefined && endOutside === undefined,
      start: { ...start, outside: startOutside },
      end: { ...end, outside: endOutside },
    };
  }
  return {
    id: row.get(0),
    type: row.get(1),
    properties: row.get(2),
    inside: [start, end].every(({ labels }) => scope.holds({ labels, properties: {} })),
    start,
    end,
  };
}

/** What is known of an end outside of the scope; undefined for one that belongs to it. */
function outsideOf(
  scope: ScopeText,
  labels: readonly string[],
  property: string,
  value: unknown,
): Outside | undefined {
  if (scope.holds({ labels, properties: { [property]: value } })) return undefined;
  return value === null || typeof value === 'string' ? { value } : {};
}

function parseEnd(row: Neo4jRecord, at: number, width: number, loadedAt: number): ReadEnd {
  return {
    id: row.get(at),
    labels: row.get(at + 1),
    key: width > 2 ? row.get(at + 2) : null,
    digest: undefined,
    outside: undefined,
    loaded: row.length > loadedAt ? row.get(loadedAt) : null,
  };
}

/** Names the record that cannot be encoded. */
export function named<T>(target: string, record: ReadNode | ReadRelationship, encode: () => T): T {
  try {
    return encode();
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    const thing = 'type' in record ? `relationship ${record.id} (${record.type})` : `node ${record.id}`;
    throw new InvalidInputError(`Neo4j of target "${target}", ${thing}: ${error.message}`, {
      remedy: `${error.remedy} Find it by its internal id: WHERE id(x) = ${record.id}.`,
    });
  }
}
