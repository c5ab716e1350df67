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
  const { match, ends } = placesOf(scope, relationships);
  const rows = relationships.map(({ type, properties }, index) => ({
    type,
    properties: merged ? { ...properties, [MERGED_PROPERTY]: true } : properties,
    ...ends[index],
  }));
  const create = (type: string) =>
    `${match} CREATE (s)-[r:${type}]->(e) SET r = row.properties RETURN count(r) AS created`;
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
  const { match, ends } = placesOf(scope, relationships);
  const rows = ends.map((end, index) => ({ index: BigInt(index), ...end }));
  const found = await run(`${match} RETURN row.index AS index`, { rows });
  return new Set(found.map(({ index }) => Number(index)));
}

/** Where relationships go. */
export interface Places {
  /** Finds the loaded nodes `s` and `e` that each row of `$rows` is to lie between. */
  readonly match: string;
  /** What of each row `match` reads, in the order of the relationships. */
  readonly ends: readonly object[];
}

/** How the ends of relationships are found: by the ids of the archive, and only with the keys that they had. */
export function placesOf({ names }: ScopeText, relationships: readonly RelationshipLine[]): Places {
  const ends = relationships.map(({ start, end }) => {
    const [startKey, startValue] = Object.entries(start.properties)[0] ?? [null, null];
    const [endKey, endValue] = Object.entries(end.properties)[0] ?? [null, null];
    return { start: start.id, startKey, startValue, end: end.id, endKey, endValue };
  });
  // A scope has one key. Named in the query, it is found at half the price of a name that each row brings along.
  const keys = new Set(
    ends.flatMap(({ startKey, endKey }) => [startKey, endKey]).filter((key) => key !== null),
  );
  const [only] = keys.size === 1 ? keys : [];
  const fits = (node: string, end: string) =>
    `(row.${end}Value IS NULL OR row.${end}Value = ${node}${only === undefined ? `[row.${end}Key]` : `.${quote(only)}`})`;
  return {
    match: `UNWIND $rows AS row
      MATCH (s:${names.loaded} {${ID_PROPERTY}: row.start}) USING INDEX s:${names.loaded}(${ID_PROPERTY})
      MATCH (e:${names.loaded} {${ID_PROPERTY}: row.end}) USING INDEX e:${names.loaded}(${ID_PROPERTY})
      WITH row, s, e WHERE ${fits('s', 'start')} AND ${fits('e', 'end')}`,
    ends:
      only === undefined
        ? ends
        : ends.map(({ start, startValue, end, endValue }) => ({ start, startValue, end, endValue })),
  };
}

/** Rows that have the same key, together. */
export function groupBy<T>(rows: readonly T[], keyOf: (row: T) => string): { key: string; rows: T[] }[] {
  return [...Map.groupBy(rows, keyOf)].map(([key, grouped]) => ({ key, rows: grouped }));
}
