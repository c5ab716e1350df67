import type { EntryReader } from '../../archive/format/types.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { DONE, type LegContext, type LegResult } from '../leg.ts';
import type { Place, Route, Scratch } from '../route.ts';
import { tidyUp } from './auxiliary.ts';
import { clearNodes, dropSchemaItem } from './clear.ts';
import type { Neo4jConnection, Neo4jScope } from './connection.ts';
import { quote, SCRATCH_PREFIX } from './names.ts';
import { isByProperty, requireSameProperty, routeScratchTenants } from './route-tenants.ts';
import { readSchema } from './schema.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';
import { GraphQuestion } from './smoke.ts';
import { routeLabels } from './view.ts';

/**
 * Scratch names of a graph: a separate label for the scope, and a new name for every other label, so that no query
 * finds the nodes.
 */
export const graphScratch: Scratch<Neo4jScope> = {
  async route(
    archive: EntryReader,
    saved: Neo4jScope | undefined,
    target: Neo4jScope,
    id: string,
  ): Promise<Route<Neo4jScope>> {
    if (isByProperty(saved) || isByProperty(target)) return routeTenantsForDrill(saved, target, id);
    const problem =
      saved === undefined
        ? 'the archive does not state which label its nodes were saved by'
        : [saved, target].some(({ label }) => label === undefined)
          ? 'its scope is a whole database, which cannot be told apart from a copy in it'
          : [saved, target].some(({ also_label }) => also_label !== undefined)
            ? 'its scope has two labels'
            : undefined;
    if (problem !== undefined) {
      throw new InvalidInputError(`The graph can't get another label: ${problem}.`, {
        remedy: 'Use a scope of one label.',
      });
    }
    const rename = { label: `${SCRATCH_PREFIX}${id}` };
    return routeLabels(archive, saved, target, { only: {}, rename, sameProfile: true });
  },

  question(question: unknown, target: Neo4jScope, { scope }: Route<Neo4jScope>): unknown {
    const cypher = GraphQuestion.parse(question);
    const { label, property } = target;
    // The default smoke checks name the label of the scope; others take it as a parameter.
    const text = label === undefined ? cypher : cypher.replaceAll(quote(label), quote(scope.label ?? ''));
    const parameter = property === undefined ? /\$label\b/ : /\$scope_values\b/;
    const isOfScope = text !== cypher || parameter.test(text);
    // A label spelled out in the query has a different name in the drill, and a query without any label covers the
    // whole database.
    const rest = text.replaceAll(quote(scope.label ?? ''), '').replaceAll(/-\s*\[[^\]]*\]/g, '');
    const namesOther = /:\s*[!%(\p{L}_]|:\s*`/u.test(rest);
    return isOfScope && !namesOther ? text : undefined;
  },
};

/** A scratch value is enough to tell a copy apart only if nothing else defines the scope. */
function routeTenantsForDrill(
  saved: Neo4jScope | undefined,
  target: Neo4jScope,
  id: string,
): Route<Neo4jScope> {
  const scopes = requireSameProperty(saved, target);
  if (scopes.saved.label !== undefined || scopes.target.label !== undefined) {
    throw new InvalidInputError("The graph can't get another value: its scope has a label and a property.", {
      remedy: 'Use a scope of a property alone.',
    });
  }
  return routeScratchTenants(scopes.saved, scopes.target, id);
}

/** Whether a node could belong to both scopes, judged by their labels and properties. */
export function graphsOverlap(
  one: Place<Neo4jConnection, Neo4jScope>,
  other: Place<Neo4jConnection, Neo4jScope>,
): boolean {
  if (addressOf(one.connection) !== addressOf(other.connection)) return false;
  // A connection without a database name uses the user's home database, which may be any database.
  const [a, b] = [one.connection.database, other.connection.database];
  if (a !== undefined && b !== undefined && a !== b) return false;
  if (one.scope.property !== undefined || other.scope.property !== undefined) {
    // A node has one value in a property; by other properties or labels it might belong to both.
    const isShared = one.scope.in?.some((value) => other.scope.in?.includes(value));
    return one.scope.property !== other.scope.property || isShared !== false;
  }
  const labels = ({ label, also_label }: Neo4jScope) =>
    [label, also_label].filter((name) => name !== undefined);
  const [left, right] = [labels(one.scope), labels(other.scope)];
  return left.length === 0 || right.length === 0 || left.some((label) => right.includes(label));
}

function addressOf({ uri }: Neo4jConnection): string {
  const [, host = uri] = /^[^:]+:\/\/(.+)$/.exec(uri) ?? [];
  const address = host.toLowerCase();
  return /:\d+$/.test(address) ? address : `${address}:7687`;
}

/** Nodes, constraints and indexes of the scope, and the auxiliary objects of loads. */
export async function occupiedGraph(
  server: Neo4jServer,
  scope: ScopeText,
  { signal }: LegContext,
): Promise<readonly string[]> {
  const [row] = await server.read(
    'looking for what is there',
    `CALL { ${scope.find('n')} RETURN count(n) AS nodes }
     OPTIONAL MATCH (l:${scope.names.loaded}) WITH nodes, count(l) AS loaded
     OPTIONAL MATCH (m:${scope.names.marker}) RETURN nodes, loaded, count(m) AS markers`,
    scope.parameters,
    signal,
  );
  const counts = Object.entries(row ?? {}).filter(([, count]) => BigInt(count as bigint) > 0n);
  return [
    ...counts.map(([what, count]) => `${count} ${what}`),
    ...(await namesOfSchema(server, scope, signal)).map(({ type, name }) => `${type} "${name}"`),
  ];
}

/** Constraints and indexes on nodes with the label. Those on relationship types may belong to other scopes as well. */
async function namesOfSchema(server: Neo4jServer, scope: ScopeText, signal: AbortSignal) {
  // Constraints and indexes of a tenant's labels are those of all tenants.
  if (scope.property !== undefined) return [];
  const { rows, unsaved } = await readSchema(server, scope, signal);
  const own = rows.filter(({ entity }) => scope.isWholeDatabase || entity === 'NODE');
  return [...own, ...(scope.isWholeDatabase ? unsaved : [])].map(({ type, name }) => ({ type, name }));
}

/** Removes what {@link occupiedGraph} finds. */
export async function removeGraph(
  server: Neo4jServer,
  scope: ScopeText,
  context: LegContext,
): Promise<LegResult> {
  const again: LegResult = { cursor: { removing: true }, tallies: {} };
  if (!(await clearNodes(server, scope, context)).emptied) return again;
  for (const item of await namesOfSchema(server, scope, context.signal)) {
    await dropSchemaItem(server, item, context.signal);
  }
  return (await tidyUp(server, scope, context)) ? DONE : again;
}
