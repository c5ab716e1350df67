import type { EntryReader } from '../../archive/types.ts';
import type { LegContext, RestoreOptions } from '../port.ts';
import { nodeBatches, readArchivedSchema, START } from './entries.ts';
import { readSchema, sameDefinition, schemaObstacle, servesOnly } from './schema.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';
import { hasDynamicLabels } from './write.ts';

/** Oldest version that a graph can be restored into. */
const MAJOR_MIN = 5;

/** What stands against loading this archive here, in words; nothing is written. */
export async function admitGraph(
  server: Neo4jServer,
  scope: ScopeText,
  archive: EntryReader,
  options: RestoreOptions,
  { signal }: LegContext,
): Promise<string[]> {
  const version = await server.version(signal);
  if (version.major < MAJOR_MIN) {
    return [`the target is Neo4j ${version.version}; it must be ${MAJOR_MIN} or later`];
  }
  const problems: string[] = await readOnly(server, signal);
  if (options.mode === 'merge' && scope.keyProperty === undefined) {
    problems.push(
      'merging needs "key_property" in the scope, which says by what property nodes are the same',
    );
  }
  if (options.mode === 'merge' && !hasDynamicLabels(version)) {
    problems.push(`merging needs Neo4j 5.26 or later, and the target is ${version.version}`);
  }
  for await (const { records } of nodeBatches(archive, START)) {
    if (records.some(({ labels }) => !scope.holds(labels))) {
      problems.push(`nodes of the archive have not the ${scope.words} of the target's scope`);
    }
    // The rest is held against the scope as it is loaded: archives are saved from one scope.
    break;
  }
  const archived = (await readArchivedSchema(archive)) ?? [];
  for (const row of archived) {
    const obstacle = schemaObstacle(row, version);
    if (obstacle !== undefined) problems.push(obstacle);
  }
  const existing = await readSchema(server, undefined, signal);
  for (const row of archived) {
    const other = existing.find(({ name }) => name === row.name);
    // What a replacing restore drops before can't be in the way.
    if (other && !(options.mode === 'replace' && servesOnly(other, scope)) && !sameDefinition(row, other)) {
      problems.push(`the target has another ${other.type} by the name of "${row.name}": rename or drop it`);
    }
  }
  return problems;
}

/** What stands against any writing. A cluster has a row for each of its servers; without the right to see them, none. */
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
    `the database "${name}" may only be read: look at server.databases.default_to_read_only and server.databases.read_only, or name another database`,
  ];
}
