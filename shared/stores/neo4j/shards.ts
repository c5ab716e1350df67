import { z } from 'zod';
import type { Shard, StoreProbe } from '../export-step.ts';
import type { LegContext } from '../leg.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';

/** Below this export size in bytes, another chain of legs is not worthwhile. */
const SHARD_BYTES = 2 * 1024 ** 3;
/** Maximum number of concurrent readers, to limit the load on the server. */
const SHARDS_MAX = 8;
/**
 * Looking up a missing ID costs about a hundredth of reading a node (measured: 5 to 7 million a second against 60,000).
 * If fewer than one ID in this many is in use, sorted pages are cheaper.
 */
const SPARSE_FACTOR = 200n;

const Id = z.string().regex(/^\d{1,19}$/);
export const Range = z.strictObject({
  /** First internal ID. */
  from: Id,
  /** The internal ID after the last one. */
  to: Id,
  /** `seek` looks up every ID of the range; `sort` lets the server sort the records that it finds in the range. */
  access: z.enum(['seek', 'sort']),
  /** Approximate number of records in the range, for progress only. */
  records: z.number().int().nonnegative(),
});
export type Range = z.infer<typeof Range>;

/** The content of a shard. */
export const ShardPlan = z.strictObject({
  /** Part of the entries' names, such as `s01-`; empty if there is only one shard. */
  infix: z.string().regex(/^(s\d\d-)?$/),
  nodes: Range.nullable(),
  relationships: Range.nullable(),
  schema: z.boolean(),
});
export type ShardPlan = z.infer<typeof ShardPlan>;

/**
 * Divides the graph into ranges of internal IDs. There is always at least one shard, since even an empty graph has a
 * schema.
 */
export async function planShards(
  server: Neo4jServer,
  scope: ScopeText,
  probe: StoreProbe,
  signal: LegContext['signal'],
): Promise<Shard[]> {
  const nodes = await findSpan(server, scope, 'nodes', signal);
  const relationships = await findSpan(server, scope, 'relationships', signal);
  const count = Math.min(SHARDS_MAX, Math.max(1, Math.ceil(probe.estimatedBytes / SHARD_BYTES)));
  return Array.from({ length: count }, (_, index) => {
    const number = String(index + 1).padStart(2, '0');
    const params: ShardPlan = {
      infix: count === 1 ? '' : `s${number}-`,
      nodes: cut(nodes, index, count),
      relationships: cut(relationships, index, count),
      schema: index === count - 1,
    };
    return {
      id: `graph-${number}`,
      params,
      estimatedBytes: Math.ceil(probe.estimatedBytes / count),
      counts: { nodes: params.nodes?.records ?? 0, relationships: params.relationships?.records ?? 0 },
    };
  });
}

/** The lowest and highest internal ID, and the number of records; null if there are no records. */
type Span = { readonly low: bigint; readonly high: bigint; readonly found: bigint } | null;

/** The current range of internal IDs; null if there are no records. */
export async function wholeRange(
  server: Neo4jServer,
  scope: ScopeText,
  kind: 'nodes' | 'relationships',
  signal: AbortSignal,
): Promise<Range | null> {
  return cut(await findSpan(server, scope, kind, signal), 0, 1);
}

async function findSpan(
  server: Neo4jServer,
  scope: ScopeText,
  kind: 'nodes' | 'relationships',
  signal: AbortSignal,
): Promise<Span> {
  // The pattern matches a relationship within the scope from both ends: it is counted at its start node.
  const [match, records] =
    kind === 'nodes'
      ? [scope.find('x'), 'count(x)']
      : scope.isWholeDatabase
        ? ['MATCH ()-[x]->()', 'count(x)']
        : [
            scope.find('n', '-[x]-()'),
            `sum(CASE WHEN startNode(x) = n OR NOT ${scope.contains('startNode(x)')} THEN 1 ELSE 0 END)`,
          ];
  const [row] = await server.read(
    `finding the range of ids of its ${kind}`,
    `${match} RETURN min(id(x)) AS low, max(id(x)) AS high, ${records} AS found`,
    scope.parameters,
    signal,
  );
  const { low, high, found } = row ?? {};
  if (typeof low !== 'bigint' || typeof high !== 'bigint' || typeof found !== 'bigint') return null;
  return { low, high, found };
}

/** The range of the shard with that index, if `count` shards share the IDs evenly. */
function cut(span: Span, index: number, count: number): Range | null {
  if (span === null) return null;
  const { low, high, found } = span;
  const width = high - low + 1n;
  const edge = (at: number) => low + (width * BigInt(at)) / BigInt(count);
  if (edge(index) === edge(index + 1)) return null;
  return {
    from: String(edge(index)),
    to: String(edge(index + 1)),
    access: width > found * SPARSE_FACTOR ? 'sort' : 'seek',
    records: Math.ceil(Number(found) / count),
  };
}
