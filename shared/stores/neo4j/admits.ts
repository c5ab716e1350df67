import { NgbakError } from '../../core/errors.ts';
import type { RestoreInput } from '../restore-leg.ts';
import { nodeBatches, readArchivedSchema, START } from './entries.ts';
import {
  isInPlaceOf,
  isOfOthersToo,
  readSchema,
  type SchemaRow,
  type ServerRow,
  sameDefinition,
  schemaObstacle,
  servesOnly,
} from './schema.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';
import { hasDynamicLabels } from './write.ts';

/** Disk space that a graph needs, as a multiple of its lines in the archive: the store and the transaction log. */
const DISK_SHARE = 2;
/** Oldest version that a graph can be restored into. */
const MAJOR_MIN = 5;

/**
 * The reasons why this archive cannot be loaded here; writes nothing. In the rollback of a failed restore, obstacles to
 * constraints and indexes are only logged, because the data take priority.
 */
export async function admitGraph(
  server: Neo4jServer,
  scope: ScopeText,
  { archive, options, context: { signal, asIs, log, room } }: RestoreInput,
): Promise<string[]> {
  const version = await server.version(signal);
  if (version.major < MAJOR_MIN) {
    return [`the target is Neo4j ${version.version}; it must be ${MAJOR_MIN} or later`];
  }
  const problems: string[] = await readOnly(server, signal);
  if (problems.length === 0) await server.tryWriting(signal);
  if (options.mode === 'merge' && scope.keyProperty === undefined) {
    problems.push('merging needs "key_property" in the scope, the property that identifies nodes');
  }
  if (options.mode === 'merge' && !hasDynamicLabels(version)) {
    problems.push(`merging needs Neo4j 5.26 or later, and the target is ${version.version}`);
  }
  for await (const { records } of nodeBatches(archive, START)) {
    if (records.some((node) => !scope.holds(node))) {
      problems.push(`nodes of the archive are outside of the target's scope (${scope.words})`);
    }
    // Further nodes are checked against the scope during the load; each archive was saved from a single scope.
    break;
  }
  // Neo4j has no procedure that reports free disk space.
  let bytes = 0;
  for await (const { size } of archive.entries('graph/')) bytes += size;
  room?.({ of: 'disk', needed: bytes * DISK_SHARE });
  const archived = (await readArchivedSchema(archive)) ?? [];
  const { rows: existing } = await readSchema(server, undefined, signal);
  const staying = existing.filter((row) => !(options.mode === 'replace' && servesOnly(row, scope)));
  const obstacles = [
    ...archived.flatMap((row) => schemaObstacle(row, version) ?? []),
    // A constraint or index that also applies to other labels is created only if possible.
    ...archived.flatMap((row) => (isOfOthersToo(row, scope) ? [] : (obstacleOf(row, staying) ?? []))),
    ...(await unknownAnalyzers(server, archived, signal)),
    ...(await activeTriggers(server, signal)),
  ];
  if (asIs !== true) return [...problems, ...obstacles];
  for (const obstacle of obstacles) log(`Ignored during a rollback: ${obstacle}.`);
  return problems;
}

/** Objects that stay in the target and prevent a constraint or index. */
function obstacleOf(row: SchemaRow, staying: readonly ServerRow[]): string | undefined {
  if (staying.some((other) => sameDefinition(row, other))) return undefined;
  const named = staying.find(({ name }) => name === row.name);
  // An index in the place of the constraint is left over from an interrupted creation; the load removes it.
  if (named && !isInPlaceOf(row, named)) {
    return `the target has a different ${named.type} with the name "${row.name}": rename or drop it`;
  }
  const other = staying.find(
    (found) => found.name !== row.name && (isInPlaceOf(row, found) || isInPlaceOf(found, row)),
  );
  return (
    other &&
    `${other.type} "${other.name}" of the target is on the same properties as ${row.type} "${row.name}" of the archive: drop it`
  );
}

/**
 * Reasons that prevent all writes. A cluster returns a row for each server; without the privilege to see them, none.
 */
async function readOnly(server: Neo4jServer, signal: AbortSignal): Promise<string[]> {
  const doing = 'asking whether the database may be written';
  const [info] = await server.read(doing, 'CALL db.info() YIELD name RETURN name', {}, signal);
  const name = String(info?.name);
  const rows = await server.read(
    doing,
    'SHOW DATABASES YIELD name, access WHERE name = $name RETURN access',
    { name },
    signal,
  );
  if (rows.length === 0 || rows.some(({ access }) => access === 'read-write')) return [];
  return [
    `the database "${name}" is read-only: check server.databases.default_to_read_only and server.databases.read_only, or use another database`,
  ];
}

/** Analyzers of full-text indexes that the server lacks: those of a plugin or of another version. */
async function unknownAnalyzers(
  server: Neo4jServer,
  archived: readonly SchemaRow[],
  signal: AbortSignal,
): Promise<string[]> {
  const wanted = archived.flatMap(({ name, config }) => {
    const analyzer = config['fulltext.analyzer'];
    return typeof analyzer === 'string' ? [{ name, analyzer }] : [];
  });
  if (wanted.length === 0) return [];
  const rows = await server.read(
    'listing its full-text analyzers',
    'CALL db.index.fulltext.listAvailableAnalyzers() YIELD analyzer RETURN analyzer',
    {},
    signal,
  );
  const known = new Set(rows.map(({ analyzer }) => analyzer));
  return wanted
    .filter(({ analyzer }) => !known.has(analyzer))
    .map(
      ({ name, analyzer }) =>
        `index "${name}" needs the full-text analyzer "${analyzer}", which the server does not have: install its plugin`,
    );
}

/** APOC triggers run within ngbak's transactions and change the loaded data. */
async function activeTriggers(server: Neo4jServer, signal: AbortSignal): Promise<string[]> {
  const doing = 'looking for triggers';
  const procedures = await server.read(
    doing,
    "SHOW PROCEDURES YIELD name WHERE name = 'apoc.trigger.list' RETURN name",
    {},
    signal,
  );
  if (procedures.length === 0) return [];
  try {
    const cypher =
      'CALL apoc.trigger.list() YIELD name, paused WITH name, paused WHERE NOT paused RETURN name';
    const triggers = await server.read(doing, cypher, {}, signal);
    return triggers.map(
      ({ name }) =>
        `the APOC trigger "${name}" is active and would change loaded data: stop it with apoc.trigger.stop until the restore has ended`,
    );
  } catch (error) {
    // APOC throws if triggers are disabled, which is the default.
    if (!(error instanceof NgbakError) || error.cause === undefined) throw error;
    if (!/ProcedureCallFailed|Security/.test(error.message)) throw error;
    return [];
  }
}
