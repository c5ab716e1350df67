import type { Run } from './auxiliary.ts';
import type { NodeLine, RelationshipLine } from './lines.ts';
import { ID_PROPERTY, MERGED_PROPERTY, quote } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { ServerVersion } from './server.ts';

/** First version of Neo4j 5 that takes labels and types as values (Cypher manual, "Dynamic labels"). */
const DYNAMIC_LABELS_MINOR = 26;

/** Whether labels and types can be values of a query. */
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
 * Creates relationships between loaded nodes, and returns the numbers of those created within `relationships`. Missing
 * are those whose end is not loaded or has another key than it had when the relationship was saved: then writers moved
 * the graph under the backup, and the relationship belongs to no saved node.
 *
 * @param merged marks them as created by this merge
 */
export async function createRelationships(
  run: Run,
  scope: ScopeText,
  version: ServerVersion,
  relationships: readonly RelationshipLine[],
  merged: boolean,
): Promise<Set<number>> {
  const rows = relationships.map((relationship) => ({
    type: relationship.type,
    properties: merged ? { ...relationship.properties, [MERGED_PROPERTY]: true } : relationship.properties,
    ...endParameters(relationship),
  }));
  const create = (type: string) =>
    `${matchEnds(scope)} CREATE (s)-[r:${type}]->(e) SET r = row.properties RETURN count(r) AS created`;
  const groups = hasDynamicLabels(version)
    ? [{ key: '$(row.type)', rows }]
    : groupBy(rows, ({ type }) => quote(type));
  let created = 0;
  for (const group of groups) {
    const [row] = await run(create(group.key), { rows: group.rows });
    created += Number(row?.created);
  }
  // Which ones is asked for only where some are missing: naming thousands of rows is work for both sides.
  if (created === rows.length) return new Set(rows.keys());
  return attachable(run, scope, relationships);
}

/** The numbers of those relationships whose ends are loaded. */
export async function attachable(
  run: Run,
  scope: ScopeText,
  relationships: readonly RelationshipLine[],
): Promise<Set<number>> {
  const rows = relationships.map((relationship, index) => ({
    index: BigInt(index),
    ...endParameters(relationship),
  }));
  const found = await run(`${matchEnds(scope)} RETURN row.index AS index`, { rows });
  return new Set(found.map(({ index }) => Number(index)));
}

/** Parameters that {@link matchEnds} reads. */
export function endParameters({ start, end }: RelationshipLine) {
  const [startKey, startValue] = Object.entries(start.properties)[0] ?? [null, null];
  const [endKey, endValue] = Object.entries(end.properties)[0] ?? [null, null];
  return { start: start.id, startKey, startValue, end: end.id, endKey, endValue };
}

/** Finds the loaded nodes `s` and `e` that each row of `$rows` is to lie between. */
export function matchEnds({ names }: ScopeText): string {
  const fits = (node: string, end: string) =>
    `(row.${end}Key IS NULL OR row.${end}Value = ${node}[row.${end}Key])`;
  return `UNWIND $rows AS row
    MATCH (s:${names.loaded} {${ID_PROPERTY}: row.start}) USING INDEX s:${names.loaded}(${ID_PROPERTY})
    MATCH (e:${names.loaded} {${ID_PROPERTY}: row.end}) USING INDEX e:${names.loaded}(${ID_PROPERTY})
    WITH row, s, e WHERE ${fits('s', 'start')} AND ${fits('e', 'end')}`;
}

/** Rows that have the same key, together. */
export function groupBy<T>(rows: readonly T[], keyOf: (row: T) => string): { key: string; rows: T[] }[] {
  return [...Map.groupBy(rows, keyOf)].map(([key, grouped]) => ({ key, rows: grouped }));
}
