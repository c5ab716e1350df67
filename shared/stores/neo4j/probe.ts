import type { Record as Neo4jRecord } from 'neo4j-driver-core';
import { InvalidInputError } from '../../core/errors.ts';
import type { StoreProbe } from '../export-step.ts';
import type { LegContext } from '../leg.ts';
import type { EncodedLine } from '../line-chunk.ts';
import { type FoundMark, MarkFinder, type MarkRequest } from '../marks.ts';
import { NAMES_MAX, type StoreDependencies } from '../store.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import { count } from './count.ts';
import { encodeNode, encodeRelationship } from './lines.ts';
import { quote, RESERVED_PREFIX } from './names.ts';
import { NODE_COLUMNS, named, parseNode, parseRelationship, relationshipColumns } from './read-record.ts';
import { readSchema, type ServerSchema } from './schema.ts';
import type { IndexedTokens, ScopeText } from './scope.ts';
import { MappedRows, type Neo4jServer } from './server.ts';
import { tenantWarnings } from './tenants.ts';

/** Records read to estimate the total size. */
const SAMPLE_RECORDS = 100;

/**
 * Measures the graph. Counts of a whole database come from the server's count store; relationships of a label are
 * counted by traversing them. The fence consists of the counts and the bookmark, which identifies the database's last
 * transaction: an equal bookmark proves that nothing was committed in the whole database.
 */
export async function probeGraph(
  server: Neo4jServer,
  scope: ScopeText,
  indexed: IndexedTokens,
  { countedLabels = [], marks = [] }: Pick<StoreDependencies, 'countedLabels' | 'marks'>,
  { signal }: Pick<LegContext, 'signal'>,
): Promise<StoreProbe> {
  const version = await server.version(signal);
  await refuseUnreadableNames(server, signal);
  const leftovers = await count(
    server,
    `MATCH (n:${scope.names.loaded}) RETURN count(n) AS found`,
    {},
    signal,
  );
  const schema = await readSchema(server, scope, signal);
  const counts: Record<string, number> = {
    ...(await countGraph(server, scope, signal)),
    schema: schema.rows.length,
  };
  const estimatedBytes = await estimateBytes(server, scope, counts, signal);
  const { bookmark } = await server.readMarked('reading its last transaction', 'RETURN 1', {}, signal);
  return {
    kind: 'neo4j',
    version: version.version,
    edition: version.edition,
    counts,
    ...(countedLabels.length === 0
      ? {}
      : { labels: await countLabels(server, scope, countedLabels, signal) }),
    ...(marks.length === 0 ? {} : { marks: await findMarks(server, schema, marks, signal) }),
    estimatedBytes,
    fence: {
      ...Object.fromEntries(Object.entries(counts).map(([name, value]) => [name, String(value)])),
      last_transaction: bookmark,
    },
    warnings: [
      ...unfinished(scope, leftovers),
      ...schemaWarnings(schema),
      ...(await tenantWarnings(server, scope, indexed, { signal })),
    ],
  };
}

async function countLabels(
  server: Neo4jServer,
  scope: ScopeText,
  labels: readonly string[],
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const counts: [string, number][] = [];
  for (const label of labels) {
    const match = scope.find('n', '', `n:${quote(label)}`);
    counts.push([label, await count(server, `${match} RETURN count(n) AS found`, scope.parameters, signal)]);
  }
  return Object.fromEntries(counts);
}

/** Indexes of the scope, and labels of the database that nodes have. */
async function findMarks(
  server: Neo4jServer,
  { rows }: ServerSchema,
  requests: readonly MarkRequest[],
  signal: AbortSignal,
): Promise<FoundMark[]> {
  const indexes = new MarkFinder('index', requests);
  for (const { name } of rows) indexes.see(name);
  const labels: FoundMark[] = [];
  for (const request of requests) {
    if (request.kind !== 'label') continue;
    const [node] = await server.read(
      'looking for a label of another version',
      `MATCH (n:${quote(request.label)}) RETURN 1 AS found LIMIT 1`,
      {},
      signal,
    );
    if (node) labels.push({ kind: 'label', name: request.label });
  }
  return [...indexes.found, ...labels];
}

function unfinished(scope: ScopeText, leftovers: number): StoreWarning[] {
  if (leftovers === 0) return [];
  return [
    {
      code: 'unfinished-restore',
      text: `Nodes of ${scope.words} still carry the auxiliary label of an unfinished restore; the graph may be incomplete.`,
      count: leftovers,
    },
  ];
}

/** Reports constraints and indexes that are not saved, or that are saved although they do not work. */
function schemaWarnings({ rows, unsaved }: ServerSchema): StoreWarning[] {
  const failed = rows.filter(({ hasFailed }) => hasFailed);
  const warnings: StoreWarning[] = [];
  if (unsaved.length > 0) {
    warnings.push({
      code: 'graph-schema-not-saved',
      text: 'Constraints or indexes are of kinds that this ngbak cannot save: create them by hand after a restore.',
      count: unsaved.length,
      samples: unsaved.slice(0, WARNING_SAMPLES_MAX).map(({ name, kind }) => `${name} (${kind})`),
    });
  }
  if (failed.length > 0) {
    warnings.push({
      code: 'graph-index-failed',
      text: 'Indexes are in state FAILED, so queries do not use them; a restore creates them again in whatever state results. SHOW INDEXES gives the reason as failureMessage.',
      count: failed.length,
      samples: failed.slice(0, WARNING_SAMPLES_MAX).map(({ name }) => name),
    });
  }
  return warnings;
}

/** Counts nodes and relationships of the scope; unless it is a whole database, also the dangling relationships. */
export async function countGraph(
  server: Neo4jServer,
  scope: ScopeText,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const all = await count(server, `${scope.find('n')} RETURN count(n) AS found`, scope.parameters, signal);
  if (scope.isWholeDatabase) {
    const markers = await count(
      server,
      `MATCH (n:${scope.names.marker}) RETURN count(n) AS found`,
      {},
      signal,
    );
    const relationships = await count(server, 'MATCH ()-[r]->() RETURN count(r) AS found', {}, signal);
    return { nodes: all - markers, relationships };
  }
  const inside = scope.contains('b');
  const [out] = await server.read(
    'counting its relationships',
    `${scope.find('a', '-[r]->(b)')} RETURN count(r) AS found, count(CASE WHEN ${inside} THEN 1 END) AS inside`,
    scope.parameters,
    signal,
  );
  const incoming = await count(
    server,
    `${scope.find('a', '<-[r]-(b)', `NOT ${inside}`)} RETURN count(r) AS found`,
    scope.parameters,
    signal,
  );
  const within = Number(out?.inside ?? 0);
  return { nodes: all, relationships: within, dangling: Number(out?.found ?? 0) - within + incoming };
}

/**
 * The driver puts properties into an object, where `__proto__` is not an ordinary property: its value would be lost.
 */
async function refuseUnreadableNames(server: Neo4jServer, signal: AbortSignal): Promise<void> {
  const known = await server.read(
    'listing its property names',
    "CALL db.propertyKeys() YIELD propertyKey WHERE propertyKey = '__proto__' RETURN propertyKey",
    {},
    signal,
  );
  if (known.length === 0) return;
  const cypher = (pattern: string) =>
    `MATCH ${pattern} WHERE x.\`__proto__\` IS NOT NULL RETURN count(x) AS found`;
  const found =
    (await count(server, cypher('(x)'), {}, signal)) +
    (await count(server, cypher('()-[x]->()'), {}, signal));
  if (found === 0) return;
  throw new InvalidInputError(
    `Neo4j of target "${server.target}": ${found} records have a property "__proto__".`,
    {
      remedy: "Rename it: Neo4j's JavaScript driver can't read it, so it would be missing in the backup.",
    },
  );
}

async function estimateBytes(
  server: Neo4jServer,
  scope: ScopeText,
  counts: Record<string, number>,
  signal: AbortSignal,
): Promise<number> {
  const parameters = { ...scope.parameters, records: BigInt(SAMPLE_RECORDS) };
  const bytesOf = ({ line }: EncodedLine) => Buffer.byteLength(line) + 1;
  const sample = async (kind: string, cypher: string, encode: (row: Neo4jRecord) => EncodedLine) => {
    const sizes = new MappedRows((row) => bytesOf(encode(row)));
    await server.page(`reading a sample of its ${kind}`, cypher, parameters, signal, sizes);
    return mean(sizes.all);
  };
  const nodeBytes = await sample(
    'nodes',
    `${scope.find('n')} RETURN ${NODE_COLUMNS} LIMIT $records`,
    (row) => {
      const node = parseNode(row);
      return named(server.target, node, () => encodeNode(node));
    },
  );
  const relationshipBytes = await sample(
    'relationships',
    `${scope.find('a', '-[r]->(b)')} WITH a, r, b LIMIT $records RETURN ${relationshipColumns(scope)}`,
    (row) => {
      const relationship = parseRelationship(row, scope);
      return named(server.target, relationship, () => encodeRelationship(relationship, scope.keyProperty));
    },
  );
  const paths = (counts.relationships ?? 0) + (counts.dangling ?? 0);
  return Math.ceil(nodeBytes * (counts.nodes ?? 0) + relationshipBytes * paths);
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A property that tells tenants apart, and the labels of the nodes that have it. */
const TENANT_PROPERTY = 'group_id';
const TENANT_LABELS = ['Episodic', 'Entity'];
/** Maximum number of tenants that are named. */
const TENANTS_MAX = 100;

/**
 * Labels and relationship types in use, and the groups of Graphiti. Their tokens outlive deleted records, so unused ones
 * are omitted.
 */
export async function graphNames(server: Neo4jServer, signal: AbortSignal): Promise<string[]> {
  const rows = await server.read(
    'listing its labels',
    `CALL { CALL db.labels() YIELD label WHERE NOT label STARTS WITH '${RESERVED_PREFIX}' RETURN '(:' + label + ')' AS name
            UNION ALL CALL db.relationshipTypes() YIELD relationshipType RETURN '[:' + relationshipType + ']' AS name }
     RETURN name LIMIT $names`,
    { names: BigInt(NAMES_MAX) },
    signal,
  );
  const names = rows.map(({ name }) => String(name));
  if (!TENANT_LABELS.every((label) => names.includes(`(:${label})`))) return names;
  const value = `n.${TENANT_PROPERTY}`;
  const tenants = await server.read(
    'listing the groups of its nodes',
    `MATCH (n:${TENANT_LABELS.join('|')}) WHERE ${value} = toStringOrNull(${value})
     RETURN DISTINCT ${value} AS tenant ORDER BY tenant LIMIT ${TENANTS_MAX}`,
    {},
    signal,
  );
  return [...tenants.map(({ tenant }) => `{${TENANT_PROPERTY}: ${JSON.stringify(tenant)}}`), ...names].slice(
    0,
    NAMES_MAX,
  );
}
