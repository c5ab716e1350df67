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
const CLEAR_NODES = 2000n;
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
  for (;;) {
    const { nodes, emptied } = await clearSome(server, scope, context.signal);
    cleared += nodes;
    context.progress('nodes', cleared);
    if (emptied || context.timeLeft() <= 0) return { cleared, emptied };
  }
}

async function clearSome(
  server: Neo4jServer,
  scope: ScopeText,
  signal: AbortSignal,
): Promise<{ nodes: number; emptied: boolean }> {
  return server.write('clearing the graph', signal, async (run) => {
    const nodes = await run(
      `MATCH ${scope.node('n')} WITH n LIMIT $nodes RETURN id(n) AS id, COUNT { (n)--() } AS degree`,
      { nodes: CLEAR_NODES },
    );
    const ids: unknown[] = [];
    let relationships = 0n;
    for (const { id, degree } of nodes) {
      relationships += degree as bigint;
      if (relationships > CLEAR_RELATIONSHIPS) break;
      ids.push(id);
    }
    if (nodes.length > 0 && ids.length === 0) {
      const parameters = { id: nodes[0]?.id, relationships: CLEAR_RELATIONSHIPS };
      await run('MATCH (n)-[r]-() WHERE id(n) = $id WITH r LIMIT $relationships DELETE r', parameters);
    } else {
      await run('UNWIND $ids AS i MATCH (n) WHERE id(n) = i DETACH DELETE n', { ids });
    }
    return { nodes: ids.length, emptied: nodes.length === 0 };
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
