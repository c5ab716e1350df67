import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { LINE_BYTES_MAX } from '../entry-lines.ts';
import type { ExportStep, Shard } from '../export-step.ts';
import type { Cursor, LegContext } from '../leg.ts';
import { LineChunk } from '../line-chunk.ts';
import { EndDigests } from './end-digests.ts';
import { type Encode, LinePage } from './line-page.ts';
import { CHUNK_BYTES, CHUNK_ROOM_BYTES, encodeNode, encodeRelationship } from './lines.ts';
import { PAGES_AT_ONCE, readNodes, readRelationships } from './read-range.ts';
import { named, type ReadNode } from './read-record.ts';
import { encodeSchema, readSchema } from './schema.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';
import { type Range, ShardPlan } from './shards.ts';

const ExportCursor = z.strictObject({
  stage: z.enum(['nodes', 'relationships', 'schema']),
  /** Next internal ID. */
  at: z.string().regex(/^\d{1,19}$/),
  /** Number of the next entry, from 1. */
  chunk: z.number().int().positive(),
  /** Number of records of the stage so far, for progress. */
  done: z.number().int().nonnegative(),
});
type ExportCursor = z.infer<typeof ExportCursor>;

/**
 * Streams a shard: nodes, then relationships including the dangling ones, then the schema. Every entry ends at an
 * internal ID, where any leg can resume: records that are added or deleted during the backup may or may not be
 * included, but records that persist are never lost or duplicated.
 */
export async function* exportShard(
  server: Neo4jServer,
  scope: ScopeText,
  shard: Shard,
  cursor: Cursor | null,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  const plan = parseInput(ShardPlan, shard.params, `The plan of shard ${shard.id}`, 'Start a new backup.');
  let at: ExportCursor | null =
    cursor === null
      ? firstOf(plan, 'nodes')
      : parseInput(ExportCursor, cursor, `The cursor of shard ${shard.id}`, 'Start a new backup.');
  const room = makeRoom(server, scope, context.signal);
  if (at?.stage === 'nodes' && plan.nodes !== null) {
    yield* exportRange(server, scope, plan, plan.nodes, at, room, context);
    at = firstOf(plan, 'relationships');
  }
  if (at?.stage === 'relationships' && plan.relationships !== null) {
    yield* exportRange(server, scope, plan, plan.relationships, at, room, context);
    at = firstOf(plan, 'schema');
  }
  if (at?.stage === 'schema') yield await exportSchema(server, scope, context);
}

/** Buffers for reading a shard, reused by all stages. */
interface Room {
  readonly inside: LineChunk;
  /** Dangling relationships. */
  readonly dangling: LineChunk;
  readonly pages: LinePage[];
  readonly digests: EndDigests;
}

function makeRoom(server: Neo4jServer, scope: ScopeText, signal: AbortSignal): Room {
  const digests = new EndDigests(server, signal);
  const encode: Encode = (record) => {
    const isNode = !('type' in record);
    const encoded = named(server.target, record, () =>
      isNode ? encodeNode(record) : encodeRelationship(record, scope.keyProperty),
    );
    if (isNode && !hasKey(record, scope)) digests.keepLarge(record, encoded.canonical);
    checkLength(server, isNode ? 'nodes' : 'relationships', record.id, encoded.line);
    return encoded;
  };
  return {
    inside: new LineChunk(CHUNK_ROOM_BYTES, CHUNK_BYTES),
    dangling: new LineChunk(CHUNK_ROOM_BYTES),
    pages: Array.from({ length: PAGES_AT_ONCE }, () => new LinePage(encode)),
    digests,
  };
}

function hasKey({ properties }: ReadNode, { keyProperty }: ScopeText): boolean {
  return keyProperty !== undefined && Object.hasOwn(properties, keyProperty);
}

/** The start of a stage, or of the next one if the shard has no records for it. Null after the last stage. */
function firstOf(plan: ShardPlan, stage: ExportCursor['stage']): ExportCursor | null {
  if (stage === 'nodes' && plan.nodes) return { stage, at: plan.nodes.from, chunk: 1, done: 0 };
  if (stage !== 'schema' && plan.relationships) {
    return { stage: 'relationships', at: plan.relationships.from, chunk: 1, done: 0 };
  }
  return plan.schema ? { stage: 'schema', at: '0', chunk: 1, done: 0 } : null;
}

async function* exportRange(
  server: Neo4jServer,
  scope: ScopeText,
  plan: ShardPlan,
  range: Range,
  cursor: ExportCursor,
  room: Room,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  const stage = cursor.stage === 'nodes' ? 'nodes' : 'relationships';
  const after = firstOf(plan, stage === 'nodes' ? 'relationships' : 'schema');
  let number = cursor.chunk;
  const { inside, dangling, pages, digests } = room;
  let { done } = cursor;
  const step = (next: ExportCursor | null): ExportStep => {
    const pieces = [
      ...(inside.count > 0 ? [inside.piece(entryName(stage, plan.infix, number))] : []),
      ...(dangling.count > 0 ? [dangling.piece(entryName('dangling', plan.infix, number))] : []),
    ];
    const [piece, ...companions] = pieces;
    if (!piece) throw new TypeError('a step without a record');
    const tallies = {
      ...(inside.count > 0 ? { [stage]: inside.tally() } : {}),
      ...(dangling.count > 0 ? { dangling: dangling.tally() } : {}),
    };
    context.progress(stage, done, Math.max(done, range.records));
    number++;
    return { piece, companions, tallies, next };
  };
  // A chunk is emitted only once the next record has arrived, so that the last chunk carries the cursor of the next
  // stage.
  const from = BigInt(cursor.at);
  const reading =
    stage === 'nodes'
      ? readNodes(server, scope, range, from, context.signal, pages)
      : readRelationships(server, scope, range, from, context.signal, pages, { digests });
  for await (const { sink, count } of reading) {
    for (let index = 0; index < count; ) {
      if (inside.bytes + dangling.bytes >= CHUNK_BYTES) {
        yield step({ stage, at: String(sink.idAt(index)), chunk: number + 1, done });
        inside.clear();
        dangling.clear();
      }
      const next = sink.copyTo(index, inside, dangling, CHUNK_BYTES);
      done += next - index;
      index = next;
    }
  }
  if (inside.count + dangling.count > 0) yield step(after);
  inside.clear();
  dangling.clear();
}

function checkLength(server: Neo4jServer, stage: string, id: bigint, line: string): void {
  // A UTF-16 code unit takes at most three bytes in UTF-8, so few lines need to be measured.
  if (line.length * 3 <= LINE_BYTES_MAX) return;
  const bytes = Buffer.byteLength(line);
  if (bytes <= LINE_BYTES_MAX) return;
  throw new InvalidInputError(
    `Neo4j of target "${server.target}": record ${id} of its ${stage} has ${bytes} bytes in the archive; the limit is ${LINE_BYTES_MAX}.`,
    { remedy: 'Keep such large values outside of the graph.' },
  );
}

async function exportSchema(server: Neo4jServer, scope: ScopeText, context: LegContext): Promise<ExportStep> {
  const chunk = new LineChunk(CHUNK_ROOM_BYTES);
  for (const row of (await readSchema(server, scope, context.signal)).rows) chunk.add(encodeSchema(row));
  return {
    piece: chunk.piece('graph/schema.jsonl'),
    tallies: chunk.count === 0 ? {} : { schema: chunk.tally() },
    next: null,
  };
}

function entryName(kind: string, infix: string, number: number): string {
  return `graph/${kind}-${infix}${String(number).padStart(5, '0')}.jsonl`;
}
