import { z } from 'zod';
import { parseInput } from '../../core/input.ts';
import { DONE, type LegContext, type LegResult } from '../leg.ts';
import type { RestoreLeg } from '../restore-leg.ts';
import { forgetBatches } from './auxiliary.ts';
import { readArchivedSchema } from './entries.ts';
import { quote } from './names.ts';
import { readSchema, type SchemaRow, servesOnly } from './schema.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';

/** Nodes examined per transaction. */
const CLEAR_NODES = 2000;
/** Nodes listed at once. */
const LISTED_NODES = 100_000n;
/** Relationships deleted per transaction: bounds its memory on the server, whatever the degree of a node. */
const CLEAR_RELATIONSHIPS = 20_000n;

const ClearCursor = z.strictObject({ cleared: z.number().int().nonnegative() });

/**
 * Empties the scope in transactions of bounded size: deletes its nodes with all their relationships, including those to
 * nodes outside the scope. If the archive contains a schema that will be restored, also drops constraints and indexes,
 * except those that serve other labels as well. A merge clears nothing.
 */
export async function clearGraph(
  server: Neo4jServer,
  scope: ScopeText,
  { archive, options, cursor, context }: RestoreLeg,
): Promise<LegResult> {
  if (options.mode === 'merge') return DONE;
  const { cleared: before } =
    cursor === null
      ? { cleared: 0 }
      : parseInput(ClearCursor, cursor, 'The cursor of clearing the graph', 'Start the restore again.');
  // Records loaded earlier by this job are deleted too, so the markers must be reset: the load starts again from the
  // beginning.
  await forgetBatches(server, scope, context.signal);
  const { cleared, emptied } = await clearNodes(server, scope, context, before);
  if (!emptied) return { cursor: { cleared }, tallies: {} };
  if ((await readArchivedSchema(archive)) !== undefined) await dropSchema(server, scope, context.signal);
  return { cursor: null, tallies: {} };
}

/** Deletes the nodes of the scope until none remain or the time is up. */
export async function clearNodes(
  server: Neo4jServer,
  scope: ScopeText,
  context: LegContext,
  before = 0,
): Promise<{ cleared: number; emptied: boolean }> {
  let cleared = before;
  let listed: unknown[] = [];
  for (;;) {
    if (listed.length === 0) listed = await listNodes(server, scope, context.signal);
    if (listed.length === 0) return { cleared, emptied: true };
    const { nodes, handled } = await clearSome(server, scope, listed.slice(0, CLEAR_NODES), context.signal);
    cleared += nodes;
    listed = listed.slice(handled);
    context.progress('nodes', cleared);
    if (context.timeLeft() <= 0) return { cleared, emptied: false };
  }
}

/** Internal IDs of nodes of the scope: many at once, because finding them may take a scan of the database. */
async function listNodes(server: Neo4jServer, scope: ScopeText, signal: AbortSignal): Promise<unknown[]> {
  const rows = await server.read(
    'listing what is cleared',
    `${scope.find('n', '', scope.contains('n'))} RETURN id(n) AS id LIMIT $nodes`,
    { ...scope.parameters, nodes: LISTED_NODES },
    signal,
  );
  return rows.map(({ id }) => id);
}

/** Deletes nodes, as far as a transaction may. Returns their number, and how many of the IDs are done with. */
async function clearSome(
  server: Neo4jServer,
  scope: ScopeText,
  listed: readonly unknown[],
  signal: AbortSignal,
): Promise<{ nodes: number; handled: number }> {
  return server.write('clearing the graph', signal, async (run) => {
    // The ID of a node that was deleted meanwhile may be that of a node outside of the scope.
    const nodes = await run(
      `UNWIND range(0, size($listed) - 1) AS at WITH at, $listed[at] AS i
       MATCH (n) WHERE id(n) = i AND ${scope.contains('n')}
       RETURN at, id(n) AS id, COUNT { (n)--() } AS degree ORDER BY at`,
      { ...scope.parameters, listed },
    );
    const ids: unknown[] = [];
    let relationships = 0n;
    let handled = listed.length;
    for (const { at, id, degree } of nodes) {
      relationships += degree as bigint;
      if (relationships > CLEAR_RELATIONSHIPS) {
        handled = Number(at);
        break;
      }
      ids.push(id);
    }
    if (nodes.length > 0 && ids.length === 0) {
      const parameters = { id: nodes[0]?.id, relationships: CLEAR_RELATIONSHIPS };
      await run('MATCH (n)-[r]-() WHERE id(n) = $id WITH r LIMIT $relationships DELETE r', parameters);
    } else {
      await run('UNWIND $ids AS i MATCH (n) WHERE id(n) = i DETACH DELETE n', { ids });
    }
    return { nodes: ids.length, handled };
  });
}

async function dropSchema(server: Neo4jServer, scope: ScopeText, signal: AbortSignal): Promise<void> {
  for (const row of (await readSchema(server, undefined, signal)).rows) {
    if (servesOnly(row, scope)) await dropSchemaItem(server, row, signal);
  }
}

/** Drops a constraint or an index. */
export async function dropSchemaItem(
  server: Neo4jServer,
  { type, name }: Pick<SchemaRow, 'type' | 'name'>,
  signal: AbortSignal,
): Promise<void> {
  const kind = type === 'constraint' ? 'CONSTRAINT' : 'INDEX';
  await server.schema(`dropping ${type} "${name}"`, `DROP ${kind} ${quote(name)} IF EXISTS`, signal);
}
