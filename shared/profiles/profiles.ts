import type { Tallies, Tally } from '../core/digest.ts';
import { InvalidInputError } from '../core/errors.ts';
import { parseInput } from '../core/input.ts';
import { roleOf, type ServedRole, type StoreName } from '../core/store-names.ts';
import { cognee } from './cognee.ts';
import { custom } from './custom.ts';
import { graphiti } from './graphiti.ts';
import { langchain } from './langchain.ts';
import { lightrag } from './lightrag.ts';
import { llamaindex } from './llamaindex.ts';
import { mem0 } from './mem0.ts';
import { msGraphrag } from './ms-graphrag.ts';
import { nanoGraphrag } from './nano-graphrag.ts';
import { neo4jGraphrag } from './neo4j-graphrag.ts';
import { ngraf023 } from './ngraf-023.ts';
import { type Profile, type ProfileScopes, STATISTICS } from './profile.ts';

/** A profile that validates its parameters. */
type AnyProfile = Omit<Profile, 'Parameters'>;

function anyProfile<P>(profile: Profile<P>): AnyProfile {
  const parse = (parameters: unknown) =>
    parseInput(
      profile.Parameters,
      parameters,
      `"parameters" of profile ${profile.name}`,
      'Correct them in cdk.json and deploy; docs/profiles.md lists the parameters of each profile.',
    );
  return {
    ...profile,
    scopes: (parameters, kvKind) => profile.scopes(parse(parameters), kvKind),
    versionMarks: (parameters) => profile.versionMarks?.(parse(parameters)) ?? [],
  };
}

const PROFILES: readonly AnyProfile[] = [
  anyProfile(nanoGraphrag),
  anyProfile(ngraf023),
  anyProfile(lightrag),
  anyProfile(msGraphrag),
  anyProfile(cognee),
  anyProfile(graphiti),
  anyProfile(neo4jGraphrag),
  anyProfile(llamaindex),
  anyProfile(langchain),
  anyProfile(mem0),
  anyProfile(custom),
];

/** Names of the profiles that a target can use. */
export const PROFILE_NAMES: readonly string[] = PROFILES.map(({ name }) => name);

/** Names of the profiles whose systems can keep key-value data in several forms. */
export const PROFILES_THAT_MOVE: readonly string[] = PROFILES.filter(({ movable }) => movable).map(
  ({ name }) => name,
);

/** Finds a profile by name. Throws InvalidInputError, listing the existing ones. */
export function findProfile(name: string): AnyProfile {
  const profile = PROFILES.find((candidate) => candidate.name === name);
  if (profile) return profile;
  throw new InvalidInputError(`There is no profile "${name}".`, {
    remedy: `Use one of: ${PROFILE_NAMES.join(', ')}; docs/profiles.md describes them.`,
  });
}

/** Prefix of LightRAG's collections and tables of vectors. */
const LIGHTRAG_VECTORS = 'lightrag_vdb_';

/**
 * Whether a collection or table is the `thing` of a reference: it has that name, or is one of LightRAG's, whose names
 * end with the embedding model.
 */
export function isCollectionOf(collection: string, thing: string): boolean {
  const prefix = thing.startsWith(LIGHTRAG_VECTORS) ? thing : `${LIGHTRAG_VECTORS}${thing}`;
  return collection === thing || `${collection}_`.startsWith(`${prefix}_`);
}

/**
 * Returns the part of each store that belongs to a knowledge base, as defined by the stores' adapters.
 *
 * @param name       name of the profile
 * @param parameters its parameters in the target's configuration
 * @param kvKind     adapter of the key-value data: `redis`, `files` or `postgres`
 * @returns scopes by store; stores that the profile does not define are absent
 */
export function profileScopes(name: string, parameters: unknown, kvKind = 'redis'): ProfileScopes {
  return findProfile(name).scopes(parameters, kvKind);
}

/**
 * Computes the statistics of a knowledge base from what was exported. Counts that the stores of this backup can't
 * provide are absent.
 *
 * @param tallies what was exported, by store and name of the tally
 * @param labels numbers of nodes by label, and of rows by text (`table.column=text`), as measured at the start of the
 *   backup
 */
export function profileStatistics(
  name: string,
  _parameters: unknown,
  tallies: Record<string, Tallies>,
  labels?: Readonly<Record<string, number>>,
): Record<string, number> {
  const { counts, tables, columns = {}, labels: labelled } = findProfile(name);
  const { graph } = tallies;
  const of = (role: ServedRole) =>
    Object.entries(tallies).flatMap(([store, found]) => (roleOf(store as StoreName) === role ? [found] : []));
  const statistics: Record<string, number> = {};
  for (const statistic of STATISTICS) {
    const count = countOf(of('kv'), counts[statistic], tables?.[statistic]);
    if (count !== undefined) statistics[statistic] = count;
  }
  for (const [statistic, column] of Object.entries(columns)) {
    for (const [label, count] of Object.entries(labels ?? {})) {
      if (label.startsWith(`${column}=`))
        statistics[`${statistic}_${label.slice(column.length + 1)}`] = count;
    }
  }
  if (graph) {
    if (labelled === undefined) statistics.entities = graph.nodes?.count ?? 0;
    for (const statistic of STATISTICS) {
      const label = labelled?.[statistic];
      if (label !== undefined && labels !== undefined) statistics[statistic] = labels[label] ?? 0;
    }
    statistics.relationships = graph.relationships?.count ?? 0;
  }
  const vectors = of('vectors');
  if (vectors.length > 0) {
    statistics.vectors = vectors
      .flatMap((found) => Object.entries(found))
      .filter(([tally]) => tally.startsWith('points:'))
      .reduce((sum, [, { count }]) => sum + count, 0);
  }
  return statistics;
}

/**
 * The number of keys of a namespace, or of rows of a table, in the stores of key-value data. Undefined if it is not
 * known.
 */
function countOf(
  stores: readonly Tallies[],
  namespace: string | undefined,
  table: string | undefined,
): number | undefined {
  const counted: number[] = [];
  // Data without a namespace of keys may be in a store of another role.
  let isKnown = stores.length > 0 && namespace !== undefined;
  for (const tallies of stores) {
    const isInTables = tallies.tables !== undefined;
    const counts = isInTables
      ? table !== undefined && `rows:${table}`
      : namespace !== undefined && `keys:${namespace}`;
    const found = counts ? talliesOf(tallies, counts) : [];
    if (found.length > 0) counted.push(...found.map(({ count }) => count));
    // A table without rows of the workspace is not in the archive. Keys in large files are not counted.
    else if (!counts || (!isInTables && tallies.files)) isKnown = false;
  }
  return counted.length > 0 || isKnown ? counted.reduce((sum, count) => sum + count, 0) : undefined;
}

/** The tally of that name, or those that begin with it if it ends with `*`. */
function talliesOf(tallies: Tallies, name: string): Tally[] {
  const isOf = (tally: string) => (name.endsWith('*') ? tally.startsWith(name.slice(0, -1)) : tally === name);
  return Object.entries(tallies).flatMap(([tally, data]) => (isOf(tally) ? [data] : []));
}
