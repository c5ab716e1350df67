import type { Run } from './auxiliary.ts';
import type { NodeLine, RelationshipLine } from './lines.ts';
import { ID_PROPERTY, MERGED_PROPERTY, quote } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { ServerVersion } from './server.ts';

/** First version of Neo4j 5 that accepts labels and types as values (Cypher manual, "Dynamic labels"). */
const DYNAMIC_LABELS_MINOR = 26;

/** Whether labels and types can be passed as query values. */
export function hasDynamicLabels({ major, minor }: ServerVersion): boolean {
  return major > 5 || (major === 5 && minor >= DYNAMIC_LABELS_MINOR);
}

/** Creates nodes, marked as loaded. */
export async function createNodes(
  run: Run,
  scope: ScopeText,
  version: ServerVersion,
  nodes: readonly NodeLine[],
): Promise<void> {
  const rows = nodes.map(({ id, labels, properties }) => ({
    labels,
    properties: { ...properties, [ID_PROPERTY]: id },
  }));
  const create = (labels: string) =>
    `UNWIND $rows AS row CREATE (n:${scope.names.loaded}${labels}) SET n = row.properties`;
  if (hasDynamicLabels(version)) {
    await run(create(':$(row.labels)'), { rows });
    return;
  }
  for (const group of groupBy(rows, ({ labels }) => labels.map((label) => `:${quote(label)}`).join(''))) {
    await run(create(group.key), { rows: group.rows });
  }
}

/**
 * Creates relationships between loaded nodes, and returns the indexes of those created within `relationships`. A
 * relationship is not created if an end is not loaded or its key differs from the one saved with the relationship: in
 * that case the graph changed during the backup, and the relationship belongs to no saved node.
 *
 * @param merged marks the relationships as created by this merge
 */
export async function createRelationships(
  run: Run,
  scope: ScopeText,
  version: ServerVersion,
  relationships: readonly RelationshipLine[],
  merged: boolean,
): Promise<Set<number>> {
  const { match, column, rows } = placesOf(scope, relationships, ({ type, properties }) => ({
    type,
    properties: merged ? { ...properties, [MERGED_PROPERTY]: true } : properties,
  }));
  const create = (type: string) =>
    `${match} CREATE (s)-[r:${type}]->(e) SET r = ${column('properties')} RETURN count(r) AS created`;
  const groups = hasDynamicLabels(version)
    ? [{ key: `$(${column('type')})`, rows: [...rows.keys()] }]
    : groupBy([...rows.keys()], (index) => quote(relationships[index]?.type ?? ''));
  let created = 0;
  for (const group of groups) {
    const [row] = await run(create(group.key), { rows: group.rows.map((index) => rows[index]) });
    created += Number(row?.created);
  }
  // Queried only if some are missing: returning thousands of row numbers is work for both sides.
  if (created === rows.length) return new Set(rows.keys());
  return attachable(run, scope, relationships);
}

/** The indexes of the relationships whose ends are loaded. */
export async function attachable(
  run: Run,
  scope: ScopeText,
  relationships: readonly RelationshipLine[],
): Promise<Set<number>> {
  const numbered = (_: RelationshipLine, index: number) => ({ index: BigInt(index) });
  const { match, column, rows } = placesOf(scope, relationships, numbered);
  const found = await run(`${match} RETURN ${column('index')} AS index`, { rows });
  return new Set(found.map(({ index }) => Number(index)));
}

/** Query parts that locate the ends of relationships. */
export interface Places<Column extends string> {
  /** MATCH clauses that find the loaded nodes `s` and `e`, the ends of each row of `$rows`. */
  readonly match: string;
  /** One row per relationship. Rows are lists: maps would repeat every column name in every row. */
  readonly rows: readonly (readonly unknown[])[];
  /** Expression for a column of `row`. */
  readonly column: (name: Column | 'start' | 'end') => string;
}

/**
 * Locates the ends of relationships by their archive IDs, and only if their keys are unchanged.
 *
 * @param own  further columns that the caller's query reads, the same for every relationship
 */
export function placesOf<Own extends Record<string, unknown>>(
  { names }: ScopeText,
  relationships: readonly RelationshipLine[],
  own: (relationship: RelationshipLine, index: number) => Own,
): Places<keyof Own & string> {
  const ends = relationships.map(({ start, end }) => {
    const [startKey, startValue] = Object.entries(start.properties)[0] ?? [null, null];
    const [endKey, endValue] = Object.entries(end.properties)[0] ?? [null, null];
    return { start: start.id, startValue, end: end.id, endValue, startKey, endKey };
  });
  // A scope has a single key property. As a constant in the query it costs half as much as a property name in each row.
  const keys = new Set(
    ends.flatMap(({ startKey, endKey }) => [startKey, endKey]).filter((key) => key !== null),
  );
  const [only] = keys.size === 1 ? keys : [];
  const all = relationships.map((relationship, index) => {
    const { startKey, endKey, ...found } = ends[index] as (typeof ends)[number];
    return { ...found, ...(only === undefined ? { startKey, endKey } : {}), ...own(relationship, index) };
  });
  const columns = Object.keys(all[0] ?? {});
  const column = (name: string) => `row[${columns.indexOf(name)}]`;
  const fits = (node: string, end: string) => {
    const value = column(`${end}Value`);
    const key = only === undefined ? `[${column(`${end}Key`)}]` : `.${quote(only)}`;
    return `(${value} IS NULL OR ${value} = ${node}${key})`;
  };
  return {
    match: `UNWIND $rows AS row
      MATCH (s:${names.loaded} {${ID_PROPERTY}: ${column('start')}}) USING INDEX s:${names.loaded}(${ID_PROPERTY})
      MATCH (e:${names.loaded} {${ID_PROPERTY}: ${column('end')}}) USING INDEX e:${names.loaded}(${ID_PROPERTY})
      WITH row, s, e WHERE ${fits('s', 'start')} AND ${fits('e', 'end')}`,
    rows: all.map((row) => Object.values(row)),
    column,
  };
}

/** Groups rows by key. */
export function groupBy<T>(rows: readonly T[], keyOf: (row: T) => string): { key: string; rows: T[] }[] {
  return [...Map.groupBy(rows, keyOf)].map(([key, grouped]) => ({ key, rows: grouped }));
}
