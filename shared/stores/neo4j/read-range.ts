import type { Record as Neo4jRecord } from 'neo4j-driver-core';
import { collectGarbage } from '../../core/collect-garbage.ts';
import { IntegrityError } from '../../core/errors.ts';
import { EndDigests, isNamed } from './end-digests.ts';
import {
  NODE_COLUMNS,
  parseNode,
  parseRelationship,
  type ReadNode,
  type ReadRelationship,
  relationshipColumns,
} from './read-record.ts';
import type { ScopeText } from './scope.ts';
import { MappedRows, type Neo4jServer, type Parameters, type RowSink } from './server.ts';
import type { Range } from './shards.ts';

/**
 * Approximate page size in bytes: with the average size of a record, it determines the number of rows. Each page costs
 * the server milliseconds.
 */
export const PAGE_BYTES = 2 * 1024 ** 2;
/** Pages that the server prepares while one is processed. */
const PAGES_AHEAD = 2;
/** Pages held in memory at once. */
export const PAGES_AT_ONCE = PAGES_AHEAD + 1;
/** Number of records within a page after which garbage is collected. */
const COLLECT_ROWS = 500;
const PAGE_ROWS_MIN = 10;
export const PAGE_ROWS_MAX = 10_000;
/** Maximum number of IDs looked up per page: some hundredths of a second on the server. */
const PAGE_IDS_MAX = 100_000;
/** Page size before the size of records is known; until then, no further page is prefetched. */
const PAGE_ROWS_FIRST = 20;
/** Number of IDs listed at once if they are too sparse to look up each: the server scans the scope for every list. */
const SORTED_IDS = 100_000;

/** Receives the records of a page as they arrive, and stores their converted form. Reused for every page. */
export interface PageSink<T> {
  /** Approximate bytes of the converted records so far: they determine the number of records of the next pages. */
  readonly bytes: number;
  add(record: T): void;
  clear(): void;
}

/** A page of records in ascending order of internal ID; at least one record. */
export interface ReadPage<Sink> {
  /** The converted records; valid until the next page is requested. */
  readonly sink: Sink;
  readonly count: number;
  /** Internal ID of the last record. */
  readonly last: bigint;
}

/**
 * Reads the nodes of a range from the internal ID `from` on, in ascending order, page by page, each in one of {@link
 * PAGES_AT_ONCE} sinks.
 */
export function readNodes<Sink extends PageSink<ReadNode>>(
  server: Neo4jServer,
  scope: ScopeText,
  range: Range,
  from: bigint,
  signal: AbortSignal,
  sinks: Sink[],
): AsyncGenerator<ReadPage<Sink>> {
  const inside = scope.contains('n');
  return readPages({
    server,
    kind: 'nodes',
    sorted: scope.find('x', '', `id(x) >= $from AND id(x) <= $last AND ${scope.contains('x')}`),
    seek: `MATCH (n) WHERE id(n) = i AND ${inside} RETURN ${NODE_COLUMNS}`,
    parameters: scope.parameters,
    range,
    from,
    signal,
    parse: parseNode,
    sinks,
  });
}

/**
 * Reads the relationships of a range that have an end in the scope, from the internal ID `from` on, as {@link
 * readNodes} does. With `archiveIds`, ends include their IDs in the archive that is being restored.
 */
export function readRelationships<Sink extends PageSink<ReadRelationship>>(
  server: Neo4jServer,
  scope: ScopeText,
  range: Range,
  from: bigint,
  signal: AbortSignal,
  sinks: Sink[],
  {
    archiveIds = false,
    digests = new EndDigests(server, signal),
  }: {
    readonly archiveIds?: boolean;
    /** Cache of known digests of ends. */
    readonly digests?: EndDigests;
  } = {},
): AsyncGenerator<ReadPage<Sink>> {
  const [a, b] = [scope.contains('a'), scope.contains('b')];
  const touches = scope.isWholeDatabase ? '' : ` AND (${a} OR ${b})`;
  return readPages({
    server,
    kind: 'relationships',
    sorted: `MATCH (a)-[x]->(b) WHERE id(x) >= $from AND id(x) <= $last${touches}`,
    seek: `MATCH (a)-[r]->(b) WHERE id(r) = i${touches} RETURN ${relationshipColumns(scope, { archiveIds })}`,
    parameters: scope.parameters,
    range,
    from,
    signal,
    parse: (row) => parseRelationship(row, scope),
    isComplete: ({ start, end }) => isNamed(start) && isNamed(end),
    complete: (records) => digests.complete(records),
    sinks,
  });
}

interface RangeReading<T, Sink> {
  readonly server: Neo4jServer;
  /** The kind of records, for messages. */
  readonly kind: string;
  /** Query part that finds every record `x` of the scope with an ID from `$from` to `$last`. */
  readonly sorted: string;
  /** Query part that returns the record with the ID `i`, if it exists and is in the scope. */
  readonly seek: string;
  /** Parameters of both. */
  readonly parameters: Parameters;
  readonly range: Range;
  readonly from: bigint;
  readonly signal: AbortSignal;
  readonly parse: (row: Neo4jRecord) => T;
  /** False if a record lacks data that {@link RangeReading.complete} looks up. If absent, no record does. */
  readonly isComplete?: (record: T) => boolean;
  /** Looks up missing data of records. Omits records that have been deleted in the meantime. */
  readonly complete?: (records: readonly T[]) => Promise<readonly T[]>;
  /** Sinks not in use by a page. */
  readonly sinks: Sink[];
}

async function* readPages<T extends { readonly id: bigint }, Sink extends PageSink<T>>(
  reading: RangeReading<T, Sink>,
): AsyncGenerator<ReadPage<Sink>> {
  const { server, kind, sorted, range, signal } = reading;
  const rows = new PageRows();
  const last = BigInt(range.to) - 1n;
  let { from } = reading;
  if (range.access === 'seek') {
    yield* readSpan(reading, from, null, rows);
    return;
  }
  for (let more = from <= last; more; ) {
    const cypher = `${sorted} RETURN id(x) AS id ORDER BY id LIMIT $rows`;
    const parameters = { ...reading.parameters, from, last, rows: BigInt(SORTED_IDS) };
    const ids = new MappedRows<bigint>((row) => row.get(0));
    await server.page(`listing ${kind}`, cypher, parameters, signal, ids);
    yield* readSpan(reading, from, ids.all, rows);
    from = (ids.all.at(-1) ?? last) + 1n;
    more = ids.all.length === SORTED_IDS;
  }
}

/** A requested page, with the IDs from `from` up to but excluding `end`. */
class Page<T extends { readonly id: bigint }, Sink extends PageSink<T>> implements RowSink {
  readonly #reading: RangeReading<T, Sink>;
  readonly from: bigint;
  readonly end: bigint;
  /** Maximum number of records: if the page reaches it, its range may contain more. */
  readonly limit: number;
  readonly sink: Sink;
  /** Records in the sink. */
  count = 0;
  /** Number of records returned by the server. */
  #returned = 0;
  /** Records from the first incomplete one on, which keeps their order. */
  #incomplete: T[] = [];
  /** ID of the last record so far: the next one must be greater. */
  #last: bigint;

  constructor(reading: RangeReading<T, Sink>, from: bigint, end: bigint, limit: number, sink: Sink) {
    this.#reading = reading;
    this.from = from;
    this.end = end;
    this.limit = limit;
    this.sink = sink;
    this.#last = from - 1n;
  }

  add(row: Neo4jRecord): void {
    const { parse, server, kind } = this.#reading;
    const record = parse(row);
    const isExpected = record.id > this.#last && record.id < this.end && this.#returned < this.limit;
    if (!isExpected) throw unexpectedRecords(server, kind);
    this.#last = record.id;
    this.#returned++;
    if (this.#incomplete.length > 0 || this.#reading.isComplete?.(record) === false) {
      this.#incomplete.push(record);
    } else {
      this.#take(record);
    }
  }

  /** Looks up missing data of the records; must be called after the last one. */
  async complete(): Promise<void> {
    if (this.#incomplete.length === 0) return;
    const records = (await this.#reading.complete?.(this.#incomplete)) ?? this.#incomplete;
    this.#incomplete = [];
    for (const record of records) this.#take(record);
  }

  #take(record: T): void {
    this.sink.add(record);
    if (++this.count % COLLECT_ROWS === 0) collectGarbage();
  }

  clear(): void {
    this.count = 0;
    this.#returned = 0;
    this.#incomplete = [];
    this.#last = this.from - 1n;
    this.sink.clear();
  }

  /** Start of the remainder if the limit cut the page off; null if the page is complete. */
  rest(): bigint | null {
    const next = this.#last + 1n;
    return this.#returned === this.limit && next < this.end ? next : null;
  }

  read(): ReadPage<Sink> {
    return { sink: this.sink, count: this.count, last: this.#last };
  }
}

/**
 * Looks up the records with these IDs, or with any ID of the range. The server prepares the next pages while one is
 * processed.
 */
async function* readSpan<T extends { readonly id: bigint }, Sink extends PageSink<T>>(
  reading: RangeReading<T, Sink>,
  from: bigint,
  ids: readonly bigint[] | null,
  rows: PageRows,
): AsyncGenerator<ReadPage<Sink>> {
  const { server, kind, seek, range, signal, sinks } = reading;
  const to = BigInt(range.to);
  let at = from;
  let index = 0;
  const request = (first: bigint, end: bigint, listed?: readonly bigint[]) => {
    const sink = sinks.pop();
    if (sink === undefined) throw new TypeError('more pages at once than sinks');
    const page = new Page(reading, first, end, rows.next(), sink);
    const limit = BigInt(page.limit);
    const done = server
      .page(
        `reading ${kind}`,
        `UNWIND ${listed === undefined ? 'range($first, $last)' : '$ids'} AS i ${seek} LIMIT $rows`,
        {
          ...reading.parameters,
          ...(listed === undefined ? { first, last: end - 1n } : { ids: listed }),
          rows: limit,
        },
        signal,
        page,
      )
      .then(() => page.complete());
    // A failure is thrown when the page is requested; if it never is, the failure does not matter.
    done.catch(() => undefined);
    return { page, done };
  };
  const requestNext = () => {
    const first = at;
    if (ids === null) {
      const end = first + BigInt(rows.nextIds());
      at = end < to ? end : to;
      return request(first, at);
    }
    const listed = ids.slice(index, index + rows.next());
    index += listed.length;
    at = (listed.at(-1) ?? to) + 1n;
    return request(first, at, listed);
  };
  const requests: ReturnType<typeof request>[] = [];
  const requestAhead = () => {
    const most = rows.isKnown ? PAGES_AHEAD : 1;
    while (requests.length < most && (ids === null ? at < to : index < ids.length))
      requests.push(requestNext());
  };
  try {
    requestAhead();
    for (let next = requests.shift(); next !== undefined; next = requests.shift()) {
      const { page, done } = next;
      await done;
      const rest = ids === null ? page.rest() : null;
      rows.took(page.count, Number((rest ?? page.end) - page.from), page.sink.bytes);
      if (rest !== null) requests.unshift(request(rest, page.end));
      else requestAhead();
      if (page.count > 0) yield page.read();
      sinks.push(page.sink);
      collectGarbage();
    }
  } finally {
    // Their sessions must be closed before the store is.
    await Promise.allSettled(requests.map(({ done }) => done));
  }
}

/**
 * Determines how many rows make a page of about {@link PAGE_BYTES}, from the pages read so far; the latest has the most
 * weight.
 */
class PageRows {
  #records = 0;
  /** Number of IDs looked up for these records. */
  #ids = 0;
  /** Bytes of these records in converted form. */
  #bytes = 0;

  /** True once the size of records is known. */
  get isKnown(): boolean {
    return this.#records > 0;
  }

  next(): number {
    if (!this.isKnown) return PAGE_ROWS_FIRST;
    const fitting = Math.floor((PAGE_BYTES * this.#records) / Math.max(1, this.#bytes));
    return Math.min(PAGE_ROWS_MAX, Math.max(PAGE_ROWS_MIN, fitting));
  }

  /** How many consecutive IDs to look up for a page, given the share of IDs found so far. */
  nextIds(): number {
    const wanted = this.isKnown ? (this.next() * this.#ids) / this.#records : PAGE_ROWS_FIRST + this.#ids;
    return Math.min(PAGE_IDS_MAX, Math.ceil(wanted));
  }

  /** A page with records has as much weight as all earlier pages together. */
  took(records: number, ids: number, bytes: number): void {
    const weight = records > 0 ? 0.5 : 1;
    this.#records = this.#records * weight + records;
    this.#ids = this.#ids * weight + ids;
    this.#bytes = this.#bytes * weight + bytes;
  }
}

function unexpectedRecords(server: Neo4jServer, kind: string): IntegrityError {
  return new IntegrityError(
    `Neo4j of target "${server.target}" returned other ${kind} than requested, more of them, or in another order.`,
    {
      remedy:
        'The unfinished backup is removed. Report it as a bug in ngbak, with the version of the server.',
    },
  );
}
