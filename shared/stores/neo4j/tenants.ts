import type { LegContext } from '../leg.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import { count } from './count.ts';
import { quote, RESERVED_PREFIX } from './names.ts';
import { eachOf, type IndexedTokens, type ScopeText } from './scope.ts';
import type { Neo4jServer, Parameters } from './server.ts';

/** Number of records named as samples. */
const NAMED_MAX = 5;

/** The labels and relationship types with a working RANGE index on a property alone. */
export async function indexedTokens(
  server: Neo4jServer,
  property: string,
  signal: AbortSignal,
): Promise<IndexedTokens> {
  const rows = await server.read(
    'looking for indexes on the property of its scope',
    `SHOW INDEXES YIELD type, state, entityType, labelsOrTypes, properties
     WHERE type = 'RANGE' AND state = 'ONLINE' AND properties = [$property] AND size(labelsOrTypes) = 1
     RETURN entityType AS entity, labelsOrTypes[0] AS token ORDER BY token`,
    { property },
    signal,
  );
  const of = (entity: string) =>
    rows.filter((row) => row.entity === entity).map(({ token }) => String(token));
  return { labels: of('NODE'), types: of('RELATIONSHIP') };
}

/**
 * What an operator should know about a scope that a property defines: records that seem to belong to it and do not, and
 * labels and types whose records can only be found by scanning the database. Returns nothing for other scopes.
 */
export async function tenantWarnings(
  server: Neo4jServer,
  scope: ScopeText,
  indexed: IndexedTokens,
  { signal }: Pick<LegContext, 'signal'>,
): Promise<StoreWarning[]> {
  const { property } = scope;
  if (property === undefined) return [];
  const name = JSON.stringify(property);
  const [otherTypes, outside, foreign, labels, types] = [
    await findNodesOfOtherTypes(server, scope, property, indexed, signal),
    await findOutside(server, scope, property, indexed, signal),
    await findForeign(server, scope, property, signal),
    await labelsWithoutIndex(server, scope, indexed, signal),
    await typesWithoutIndex(server, scope, property, indexed, signal),
  ];
  const all: StoreWarning[] = [
    {
      code: 'graph-scope-other-types',
      text: `Nodes have a value of the scope in ${name} as an element of a list or as another type than a text: they do not belong to the scope, are not saved, and stay as they are in a restore. They are named by their internal ids.`,
      ...otherTypes,
    },
    {
      code: 'graph-scope-relationships-outside',
      text: `Relationships have a value of the scope in ${name}, but both of their ends are outside of the scope: they are not saved, and stay as they are in a restore. They are named by type and internal id.`,
      ...outside,
    },
    {
      code: 'graph-scope-relationships-foreign',
      text: `Relationships between two nodes of the scope have another value in ${name}: they are saved, cleared and restored with these nodes, with their value. They are named by type and internal id.`,
      ...foreign,
    },
    {
      code: 'graph-scope-not-indexed',
      text: `No RANGE index on ${name} exists for labels or relationship types of the scope, so each query for them scans the whole database. Create one for each: CREATE INDEX FOR (n:Label) ON (n.${quote(property)}), or FOR ()-[r:TYPE]-() ON (r.${quote(property)}).`,
      count: labels.length + types.length,
      samples: [...labels, ...types].slice(0, WARNING_SAMPLES_MAX),
    },
  ];
  return all.filter(({ count }) => (count ?? 0) > 0);
}

type Found = Required<Pick<StoreWarning, 'count' | 'samples'>>;

/** Nodes whose value is a list that contains a value of the scope, or whose text is one, such as the integer 7. */
async function findNodesOfOtherTypes(
  server: Neo4jServer,
  scope: ScopeText,
  property: string,
  { labels }: IndexedTokens,
  signal: AbortSignal,
): Promise<Found> {
  const value = `n.${quote(property)}`;
  const text = `toStringOrNull(${value})`;
  // `toStringOrNull` is null for lists only.
  const condition = `${value} IS NOT NULL AND NOT ${value} IN $scope_values
    AND CASE WHEN ${text} IS NULL THEN any(x IN ${value} WHERE x IN $scope_values) ELSE ${text} IN $scope_values END`;
  const match = `CALL { ${eachOf('n', labels, condition)} }`;
  return findRecords(server, match, 'toString(id(n))', scope.parameters, signal);
}

/** Relationships with a value of the scope, neither end of which belongs to it. */
async function findOutside(
  server: Neo4jServer,
  scope: ScopeText,
  property: string,
  { types }: IndexedTokens,
  signal: AbortSignal,
): Promise<Found> {
  const outside = `NOT ${scope.contains('a')} AND NOT ${scope.contains('b')}`;
  // Without the label of a part of the tenant, the ends of a relationship may be in the other parts.
  if (scope.label !== undefined) return { count: 0, samples: [] };
  const branches = types.map(
    (type) =>
      `MATCH (a)-[r:${quote(type)}]->(b) WHERE r.${quote(property)} IN $scope_values AND ${outside} RETURN r`,
  );
  const rest = `MATCH (a)-[r]->(b) WHERE NOT type(r) IN $types AND r.${quote(property)} IN $scope_values AND ${outside} RETURN r`;
  const match = `CALL { ${[...branches, rest].join(' UNION ALL ')} }`;
  return findRecords(server, match, RELATIONSHIP, { ...scope.parameters, types: [...types] }, signal);
}

/** Relationships between nodes of the scope with a value of another one. */
async function findForeign(
  server: Neo4jServer,
  scope: ScopeText,
  property: string,
  signal: AbortSignal,
): Promise<Found> {
  const value = `r.${quote(property)}`;
  const isForeign = `${value} IS NOT NULL AND NOT coalesce(${value} IN $scope_values, false)`;
  const match = scope.find('a', '-[r]->(b)', `${scope.contains('b')} AND ${isForeign}`);
  return findRecords(server, match, RELATIONSHIP, scope.parameters, signal);
}

/** How a relationship `r` is named. */
const RELATIONSHIP = "type(r) + ' ' + toString(id(r))";

/** Counts records, and names some of them. */
async function findRecords(
  server: Neo4jServer,
  match: string,
  name: string,
  parameters: Parameters,
  signal: AbortSignal,
): Promise<Found> {
  const found = await count(server, `${match} RETURN count(*) AS found`, parameters, signal);
  if (found === 0) return { count: 0, samples: [] };
  const rows = await server.read(
    'naming records at the edge of its scope',
    `${match} RETURN ${name} AS name LIMIT ${NAMED_MAX}`,
    parameters,
    signal,
  );
  return { count: found, samples: rows.map((row) => String(row.name)) };
}

/** Labels of nodes of the scope that none of the indexes finds. */
async function labelsWithoutIndex(
  server: Neo4jServer,
  scope: ScopeText,
  { labels }: IndexedTokens,
  signal: AbortSignal,
): Promise<string[]> {
  if (scope.label !== undefined && labels.includes(scope.label)) return [];
  const rows = await server.read(
    'looking for labels without an index on the property of its scope',
    `${scope.find('n', '', 'none(label IN labels(n) WHERE label IN $labels)')}
     UNWIND CASE size(labels(n)) WHEN 0 THEN ['no label'] ELSE labels(n) END AS label
     RETURN DISTINCT label ORDER BY label LIMIT $names`,
    { ...scope.parameters, labels: [...labels], names: BigInt(WARNING_SAMPLES_MAX) },
    signal,
  );
  return rows
    .filter(({ label }) => !String(label).startsWith(RESERVED_PREFIX))
    .map(({ label }) => `(:${label})`);
}

/** Types of relationships of the scope that have the property, and no index on it. */
async function typesWithoutIndex(
  server: Neo4jServer,
  scope: ScopeText,
  property: string,
  { types }: IndexedTokens,
  signal: AbortSignal,
): Promise<string[]> {
  const rows = await server.read(
    'looking for relationship types without an index on the property of its scope',
    `${scope.find('n', '-[r]->()', `NOT type(r) IN $types AND r.${quote(property)} IS NOT NULL`)}
     RETURN DISTINCT type(r) AS type ORDER BY type LIMIT $names`,
    { ...scope.parameters, types: [...types], names: BigInt(WARNING_SAMPLES_MAX) },
    signal,
  );
  return rows.map(({ type }) => `[:${type}]`);
}
