import type { EntryReader } from '../../archive/format/types.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { DONE, type LegContext, type LegResult } from '../leg.ts';
import type { Place, Route, Scratch } from '../route.ts';
import { tidyUp } from './auxiliary.ts';
import { clearNodes } from './clear.ts';
import type { Neo4jConnection, Neo4jScope } from './connection.ts';
import { quote, SCRATCH_PREFIX } from './names.ts';
import { readSchema } from './schema.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';
import { GraphQuestion } from './smoke.ts';
import { routeLabels } from './view.ts';

/** Scratch names of a graph: a label of its own, and other names for all other labels, so that no query finds the nodes. */
export const graphScratch: Scratch<Neo4jScope> = {
  async route(
    archive: EntryReader,
    saved: Neo4jScope | undefined,
    target: Neo4jScope,
    id: string,
  ): Promise<Route<Neo4jScope>> {
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
    const { label } = target;
    // Those that are asked by default name the label of the scope; others have it as a parameter.
    const text = label === undefined ? cypher : cypher.replaceAll(quote(label), quote(scope.label ?? ''));
    const isOfScope = text !== cypher || /\$label\b/.test(text);
    // A label that is written out has another name there, and a query without any label is about the whole database.
    const rest = text.replaceAll(quote(scope.label ?? ''), '').replaceAll(/-\s*\[[^\]]*\]/g, '');
    const namesOther = /:\s*[!%(\p{L}_]|:\s*`/u.test(rest);
    return isOfScope && !namesOther ? text : undefined;
  },
};

/** Whether a node could belong to two scopes, by their labels. */
export function graphsOverlap(
  one: Place<Neo4jConnection, Neo4jScope>,
  other: Place<Neo4jConnection, Neo4jScope>,
): boolean {
  if (addressOf(one.connection) !== addressOf(other.connection)) return false;
  // Without a name, it is the home database of the user, whichever that is.
  const [a, b] = [one.connection.database, other.connection.database];
  if (a !== undefined && b !== undefined && a !== b) return false;
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

/** Nodes, constraints and indexes of the scope, and what loads have beside them. */
export async function occupiedGraph(
  server: Neo4jServer,
  scope: ScopeText,
  { signal }: LegContext,
): Promise<readonly string[]> {
  const [row] = await server.read(
    'looking for what is there',
    `OPTIONAL MATCH ${scope.node('n')} WITH count(n) AS nodes
     OPTIONAL MATCH (l:${scope.names.loaded}) WITH nodes, count(l) AS loaded
     OPTIONAL MATCH (m:${scope.names.marker}) RETURN nodes, loaded, count(m) AS markers`,
    {},
    signal,
  );
  const counts = Object.entries(row ?? {}).filter(([, count]) => BigInt(count as bigint) > 0n);
  return [
    ...counts.map(([what, count]) => `${count} ${what}`),
    ...(await namesOfSchema(server, scope, signal)).map(({ type, name }) => `${type} "${name}"`),
  ];
}

/** Constraints and indexes of nodes with the label. Those of relationship types belong to others, too. */
async function namesOfSchema(server: Neo4jServer, scope: ScopeText, signal: AbortSignal) {
  const { rows, unsaved } = await readSchema(server, scope, signal);
  const own = rows.filter(({ entity }) => scope.label === undefined || entity === 'NODE');
  return [...own, ...(scope.label === undefined ? unsaved : [])].map(({ type, name }) => ({ type, name }));
}

/** Removes them. */
export async function removeGraph(
  server: Neo4jServer,
  scope: ScopeText,
  context: LegContext,
): Promise<LegResult> {
  const again: LegResult = { cursor: { removing: true }, tallies: {} };
  if (!(await clearNodes(server, scope, context)).emptied) return again;
  for (const { type, name } of await namesOfSchema(server, scope, context.signal)) {
    const kind = type === 'constraint' ? 'CONSTRAINT' : 'INDEX';
    await server.schema(
      `dropping ${type} "${name}"`,
      `DROP ${kind} ${quote(name)} IF EXISTS`,
      context.signal,
    );
  }
  return (await tidyUp(server, scope, context)) ? DONE : again;
}
