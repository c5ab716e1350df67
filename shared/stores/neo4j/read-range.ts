import type { Record as Neo4jRecord } from 'neo4j-driver';
import { collectGarbage } from '../../collect-garbage.ts';
import { IntegrityError } from '../../errors.ts';
import {
  NODE_COLUMNS,
  parseNode,
  parseRelationship,
  type ReadNode,
  type ReadRelationship,
  relationshipColumns,
} from './read-record.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';
import type { Range } from './shards.ts';

/** Bytes of a page, roughly: with the average size of a record they give its rows. */
const PAGE_BYTES = 512 * 1024;
/** Pages that the server makes while one is worked on. */
const PAGES_AHEAD = 2;
const PAGE_ROWS_MIN = 10;
const PAGE_ROWS_MAX = 1000;
/** Ids that are tried for a page at most: some hundredths of a second of the server. */
const PAGE_IDS_MAX = 100_000;
/** Before the size of the records is known. */
const PAGE_ROWS_FIRST = 100;
/** Ids that are asked for at once where they are too sparse to try each: the server scans the scope for every such list. */
const SORTED_IDS = 100_000;

/**
 * The nodes of a range, from the internal id `from` on, by ascending id, page by page. `size` tells the bytes of all that
 * the caller has made of them so far.
 */
export function readNodes(
  server: Neo4jServer,
  scope: ScopeText,
  range: Range,
  from: bigint,
  signal: AbortSignal,
  size: () => number,
): AsyncGenerator<ReadNode[]> {
  const inside = scope.contains('n');
  return readPages({
    server,
    kind: 'nodes',
    sorted: `MATCH ${scope.node('x')} WHERE id(x) >= $from AND id(x) <= $last AND ${scope.contains('x')}`,
    seek: `MATCH (n) WHERE id(n) = i AND ${inside} RETURN ${NODE_COLUMNS}`,
    range,
    from,
    signal,
    size,
    parse: parseNode,
  });
}

/**
 * The relationships of a range with an end in the scope, from the internal id `from` on, as {@link readNodes}. With
 * `archiveIds`, ends are told by the ids that they have in the archive that is being restored, too.
 */
export function readRelationships(
  server: Neo4jServer,
  scope: ScopeText,
  range: Range,
  from: bigint,
  signal: AbortSignal,
  size: () => number,
  columns: { archiveIds?: boolean } = {},
): AsyncGenerator<ReadRelationship[]> {
  const [a, b] = [scope.contains('a'), scope.contains('b')];
  const touches = scope.label === undefined ? '' : ` AND (${a} OR ${b})`;
  return readPages({
    server,
    kind: 'relationships',
    sorted: `MATCH (a)-[x]->(b) WHERE id(x) >= $from AND id(x) <= $last${touches}`,
    seek: `MATCH (a)-[r]->(b) WHERE id(r) = i${touches} RETURN ${relationshipColumns(scope, columns)}`,
    range,
    from,
    signal,
    size,
    parse: (row) => parseRelationship(row, scope),
  });
}

interface Reading<T> {
  readonly server: Neo4jServer;
  /** What is read, for messages. */
  readonly kind: string;
  /** Finds every record `x` of the scope with an id from `$from` to `$last`. */
  readonly sorted: string;
  /** Returns the record with the id `i`, where it is there and in the scope. */
  readonly seek: string;
  readonly range: Range;
  readonly from: bigint;
  readonly signal: AbortSignal;
  readonly size: () => number;
  readonly parse: (row: Neo4jRecord) => T;
}

async function* readPages<T extends { readonly id: bigint }>(reading: Reading<T>): AsyncGenerator<T[]> {
  const { server, kind, sorted, range, signal } = reading;
  const rows = new PageRows(reading.size);
  const last = BigInt(range.to) - 1n;
  let { from } = reading;
  if (range.access === 'seek') {
    yield* readSpan(reading, from, null, rows);
    return;
  }
  for (let more = from <= last; more; ) {
    const cypher = `${sorted} RETURN id(x) AS id ORDER BY id LIMIT $rows`;
    const parameters = { from, last, rows: BigInt(SORTED_IDS) };
    const found = await server.page(`listing ${kind}`, cypher, parameters, signal);
    const ids = found.map((row) => row.get('id') as bigint);
    yield* readSpan(reading, from, ids, rows);
    from = (ids.at(-1) ?? last) + 1n;
    more = ids.length === SORTED_IDS;
  }
}

/** A page that was asked for. */
interface Page {
  /** Ids that it may hold: from the first to the one before the end. */
  readonly first: bigint;
  readonly end: bigint;
  /** Most rows that it may have: where it has as many, more of its ids may follow. */
  readonly limit: number;
  readonly rows: Promise<Neo4jRecord[]>;
}

/** Looks up the records with these ids, or with any id of the range. While a page is worked on, the server makes the next ones. */
async function* readSpan<T extends { readonly id: bigint }>(
  { server, kind, seek, range, signal, parse }: Reading<T>,
  from: bigint,
  ids: readonly bigint[] | null,
  rows: PageRows,
): AsyncGenerator<T[]> {
  const to = BigInt(range.to);
  let at = from;
  let index = 0;
  const ask = (first: bigint, end: bigint, listed?: readonly bigint[]): Page => {
    const limit = rows.next();
    const page = server.page(
      `reading ${kind}`,
      `UNWIND ${listed === undefined ? 'range($first, $last)' : '$ids'} AS i ${seek} LIMIT $rows`,
      { ...(listed === undefined ? { first, last: end - 1n } : { ids: listed }), rows: BigInt(limit) },
      signal,
    );
    // A failure is told when the page's turn comes; where nobody asks for it any more, there is nobody to tell.
    page.catch(() => undefined);
    return { first, end, limit, rows: page };
  };
  const askNext = (): Page => {
    const first = at;
    if (ids === null) {
      const end = first + BigInt(rows.nextIds());
      at = end < to ? end : to;
      return ask(first, at);
    }
    const listed = ids.slice(index, index + rows.next());
    index += listed.length;
    at = (listed.at(-1) ?? to) + 1n;
    return ask(first, at, listed);
  };
  const pages: Page[] = [];
  const askAhead = () => {
    while (pages.length < PAGES_AHEAD && (ids === null ? at < to : index < ids.length)) pages.push(askNext());
  };
  try {
    askAhead();
    for (let page = pages.shift(); page !== undefined; page = pages.shift()) {
      const records = (await page.rows).map(parse);
      let { first } = page;
      for (const { id } of records) {
        if (id < first || id >= page.end) throw outOfOrder(server, kind);
        first = id + 1n;
      }
      const isCut = ids === null && records.length === page.limit && first < page.end;
      if (isCut) pages.unshift(ask(first, page.end));
      else askAhead();
      rows.took(records.length, Number((isCut ? first : page.end) - page.first));
      if (records.length > 0) yield records;
      collectGarbage();
    }
  } finally {
    // Their sessions are to be closed before the store is.
    await Promise.allSettled(pages.map((page) => page.rows));
  }
}

/** How many rows make a page of about {@link PAGE_BYTES}, by the records that were worked on so far. */
class PageRows {
  readonly #size: () => number;
  #taken = 0;
  /** Ids that were tried for those taken. */
  #ids = 0;

  constructor(size: () => number) {
    this.#size = size;
  }

  next(): number {
    if (this.#taken === 0) return PAGE_ROWS_FIRST;
    const fitting = Math.floor((PAGE_BYTES * this.#taken) / Math.max(1, this.#size()));
    return Math.min(PAGE_ROWS_MAX, Math.max(PAGE_ROWS_MIN, fitting));
  }

  /** How many ids in a row are tried for a page, by how many of those tried so far were there. */
  nextIds(): number {
    const triedForEach = this.#taken === 0 ? 1 : this.#ids / this.#taken;
    return Math.min(PAGE_IDS_MAX, Math.ceil(this.next() * triedForEach));
  }

  /** To be called once the next pages were asked for: its records are not worked on yet. */
  took(records: number, ids: number): void {
    this.#taken += records;
    this.#ids += ids;
  }
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
