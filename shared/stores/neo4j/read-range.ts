import type { Node, Relationship } from 'neo4j-driver';
import { IntegrityError } from '../../errors.ts';
import type { ReadEnd } from './lines.ts';
import { endColumns, type ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';
import type { Range } from './shards.ts';

/** Bytes that the server may send ahead; with the average size of a record it gives the rows of a fetch. */
const AHEAD_BYTES = 4 * 1024 ** 2;
const FETCH_ROWS_MIN = 10;
const FETCH_ROWS_MAX = 1000;
/** Before the size of the records is known. */
const FETCH_ROWS_FIRST = 100;
/** Rows of one sorted query, where ids are too sparse to look them up. */
const SORTED_ROWS = 100_000n;

export interface ReadRelationship {
  readonly relationship: Relationship<bigint>;
  readonly start: ReadEnd;
  readonly end: ReadEnd;
  /** False where one end is outside of the scope. */
  readonly inside: boolean;
}

/**
 * The nodes of a range, from the internal id `from` on, by ascending id. `size` tells the
 * bytes of the last one yielded, roughly.
 */
export function readNodes(
  server: Neo4jServer,
  scope: ScopeText,
  range: Range,
  from: bigint,
  signal: AbortSignal,
  size: () => number,
): AsyncGenerator<Node<bigint>> {
  const inside = scope.contains('n');
  const cypher =
    range.access === 'seek'
      ? `UNWIND range($from, $last) AS i MATCH (n) WHERE id(n) = i AND ${inside} RETURN n`
      : `MATCH ${scope.node('n')} WHERE id(n) >= $from AND id(n) <= $last AND ${inside}
         RETURN n ORDER BY id(n) LIMIT $rows`;
  const row = ({ n }: Record<string, unknown>) => n as Node<bigint>;
  return readRange(server, 'nodes', cypher, row, (node) => node.identity, size, range, from, signal);
}

/** The relationships of a range with an end in the scope, from the internal id `from` on, by ascending id. */
export function readRelationships(
  server: Neo4jServer,
  scope: ScopeText,
  range: Range,
  from: bigint,
  signal: AbortSignal,
  size: () => number,
): AsyncGenerator<ReadRelationship> {
  const [a, b] = [scope.contains('a'), scope.contains('b')];
  const inside = scope.label === undefined ? 'true' : `(${a} AND ${b})`;
  const touches = scope.label === undefined ? '' : ` AND (${a} OR ${b})`;
  const columns = `RETURN r, ${inside} AS inside, ${endColumns('a', scope)} AS start, ${endColumns('b', scope)} AS end`;
  const cypher =
    range.access === 'seek'
      ? `UNWIND range($from, $last) AS i MATCH (a)-[r]->(b) WHERE id(r) = i${touches} ${columns}`
      : `MATCH (a)-[r]->(b) WHERE id(r) >= $from AND id(r) <= $last${touches}
         WITH a, r, b ORDER BY id(r) LIMIT $rows ${columns}`;
  const row = (values: Record<string, unknown>): ReadRelationship => ({
    relationship: values.r as Relationship<bigint>,
    start: values.start as ReadEnd,
    end: values.end as ReadEnd,
    inside: values.inside === true,
  });
  const id = ({ relationship }: ReadRelationship) => relationship.identity;
  return readRange(server, 'relationships', cypher, row, id, size, range, from, signal);
}

async function* readRange<T>(
  server: Neo4jServer,
  kind: string,
  cypher: string,
  parse: (values: Record<string, unknown>) => T,
  idOf: (record: T) => bigint,
  size: () => number,
  range: Range,
  from: bigint,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const to = BigInt(range.to);
  let at = from;
  let fetchRows = FETCH_ROWS_FIRST;
  let bytes = 0;
  let records = 0;
  while (at < to) {
    let found = 0n;
    let refit = false;
    const parameters = { from: at, last: to - 1n, rows: SORTED_ROWS };
    for await (const values of server.rows(`reading ${kind}`, cypher, parameters, signal, fetchRows)) {
      const record = parse(values);
      const id = idOf(record);
      if (id < at || id >= to) throw outOfOrder(server, kind);
      at = id + 1n;
      found++;
      records++;
      yield record;
      bytes += size();
      // A stream whose records are far larger or smaller than thought is opened again, with fetches that fit.
      refit = records >= FETCH_ROWS_FIRST && isFar(fetchRows, fittingRows(bytes / records));
      if (refit) break;
    }
    fetchRows = fittingRows(bytes / Math.max(1, records));
    if (!refit && (range.access === 'seek' || found < SORTED_ROWS)) return;
  }
}

function fittingRows(averageBytes: number): number {
  return Math.min(
    FETCH_ROWS_MAX,
    Math.max(FETCH_ROWS_MIN, Math.floor(AHEAD_BYTES / Math.max(1, averageBytes))),
  );
}

function isFar(rows: number, fitting: number): boolean {
  return fitting * 4 <= rows || fitting >= rows * 4;
}

function outOfOrder(server: Neo4jServer, kind: string): IntegrityError {
  return new IntegrityError(
    `Neo4j of target "${server.target}" returned ${kind} in another order than asked for.`,
    {
      remedy:
        'Nothing of this backup is kept. Report it as an error of ngbak, with the version of the server.',
    },
  );
}
