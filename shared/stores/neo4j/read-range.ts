import type { Record as Neo4jRecord } from 'neo4j-driver';
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
import { MappedRows, type Neo4jServer, type RowSink } from './server.ts';
import type { Range } from './shards.ts';

/** Bytes of a page, roughly: with the average size of a record they give its rows. Each page costs the server milliseconds. */
export const PAGE_BYTES = 2 * 1024 ** 2;
/** Pages that the server makes while one is worked on. */
const PAGES_AHEAD = 2;
/** Pages that are held at once. */
export const PAGES_AT_ONCE = PAGES_AHEAD + 1;
/** Records after which there may be garbage to collect, within a page: there are many small ones in it. */
const COLLECT_ROWS = 500;
const PAGE_ROWS_MIN = 10;
export const PAGE_ROWS_MAX = 10_000;
/** Ids that are tried for a page at most: some hundredths of a second of the server. */
const PAGE_IDS_MAX = 100_000;
/** Before the size of the records is known; the server makes no further page then. */
const PAGE_ROWS_FIRST = 20;
/** Ids that are asked for at once where they are too sparse to try each: the server scans the scope for every such list. */
const SORTED_IDS = 100_000;

/** Takes the records of a page as they come, and keeps what they are turned into. Reused for every page. */
export interface PageSink<T> {
  /** Bytes of what was made so far, roughly: they tell how many records the next pages may have. */
  readonly bytes: number;
  add(record: T): void;
  clear(): void;
}

/** A page of records, by ascending internal id; at least one. */
export interface ReadPage<Sink> {
  /** What the records were turned into; valid until the next page is requested. */
  readonly sink: Sink;
  readonly count: number;
  /** Internal id of the last record. */
  readonly last: bigint;
}

/**
 * The nodes of a range, from the internal id `from` on, by ascending id, page by page, each in one of {@link PAGES_AT_ONCE}
 * sinks.
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
    sorted: `MATCH ${scope.node('x')} WHERE id(x) >= $from AND id(x) <= $last AND ${scope.contains('x')}`,
    seek: `MATCH (n) WHERE id(n) = i AND ${inside} RETURN ${NODE_COLUMNS}`,
    range,
    from,
    signal,
    parse: parseNode,
    sinks,
  });
}

/**
 * The relationships of a range with an end in the scope, from the internal id `from` on, as {@link readNodes}. With
 * `archiveIds`, ends have the ids that they have in the archive that is being restored, too.
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
    /** Digests of ends that are known already. */
    readonly digests?: EndDigests;
  } = {},
): AsyncGenerator<ReadPage<Sink>> {
  const [a, b] = [scope.contains('a'), scope.contains('b')];
  const touches = scope.label === undefined ? '' : ` AND (${a} OR ${b})`;
  return readPages({
    server,
    kind: 'relationships',
    sorted: `MATCH (a)-[x]->(b) WHERE id(x) >= $from AND id(x) <= $last${touches}`,
    seek: `MATCH (a)-[r]->(b) WHERE id(r) = i${touches} RETURN ${relationshipColumns(scope, { archiveIds })}`,
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
  /** What is read, for messages. */
  readonly kind: string;
  /** Finds every record `x` of the scope with an id from `$from` to `$last`. */
  readonly sorted: string;
  /** Returns the record with the id `i`, where it is there and in the scope. */
  readonly seek: string;
  readonly range: Range;
  readonly from: bigint;
  readonly signal: AbortSignal;
  readonly parse: (row: Neo4jRecord) => T;
  /** False for a record that lacks something which {@link RangeReading.complete} looks up. Absent: none does. */
  readonly isComplete?: (record: T) => boolean;
  /** Looks up what records lack. Records that are gone by now are left out. */
  readonly complete?: (records: readonly T[]) => Promise<readonly T[]>;
  /** Those that no page is in. */
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
    const parameters = { from, last, rows: BigInt(SORTED_IDS) };
    const ids = new MappedRows<bigint>((row) => row.get(0));
    await server.page(`listing ${kind}`, cypher, parameters, signal, ids);
    yield* readSpan(reading, from, ids.all, rows);
    from = (ids.all.at(-1) ?? last) + 1n;
    more = ids.all.length === SORTED_IDS;
  }
}

/** A page that was asked for, of the ids from `from` to the one before `end`. */
class Page<T extends { readonly id: bigint }, Sink extends PageSink<T>> implements RowSink {
  readonly #reading: RangeReading<T, Sink>;
  readonly from: bigint;
  readonly end: bigint;
  /** Most records that it may have: where it has as many, more of its ids may follow. */
  readonly limit: number;
  readonly sink: Sink;
  /** Records in the sink. */
  count = 0;
  /** Records that the server returned. */
  #returned = 0;
  /** From the first record on that lacks something: they keep their order. */
  #incomplete: T[] = [];
  /** Id of its last record so far: the next one must be greater. */
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
    const isAsked = record.id > this.#last && record.id < this.end && this.#returned < this.limit;
    if (!isAsked) throw notAsked(server, kind);
    this.#last = record.id;
    this.#returned++;
    if (this.#incomplete.length > 0 || this.#reading.isComplete?.(record) === false) {
      this.#incomplete.push(record);
    } else {
      this.#take(record);
    }
  }

  /** Looks up what records lack; to be called after the last one. */
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

  /** Where the rest begins if there were more records than it may have; null if it is complete. */
  rest(): bigint | null {
    const next = this.#last + 1n;
    return this.#returned === this.limit && next < this.end ? next : null;
  }

  read(): ReadPage<Sink> {
    return { sink: this.sink, count: this.count, last: this.#last };
  }
}

/** Looks up the records with these ids, or with any id of the range. While a page is worked on, the server makes the next ones. */
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
        { ...(listed === undefined ? { first, last: end - 1n } : { ids: listed }), rows: limit },
        signal,
        page,
      )
      .then(() => page.complete());
    // A failure is thrown when the page is requested; if it never is, nobody needs to know.
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
    // Their sessions are to be closed before the store is.
    await Promise.allSettled(requests.map(({ done }) => done));
  }
}

/** How many rows make a page of about {@link PAGE_BYTES}, by the pages that were read so far, the latest first of all. */
class PageRows {
  #records = 0;
  /** Ids that were tried for these records. */
  #ids = 0;
  /** Bytes of what these records were turned into. */
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

  /** How many ids in a row are tried for a page, by how many of those tried so far were there. */
  nextIds(): number {
    const wanted = this.isKnown ? (this.next() * this.#ids) / this.#records : PAGE_ROWS_FIRST + this.#ids;
    return Math.min(PAGE_IDS_MAX, Math.ceil(wanted));
  }

  /** A page that has records counts as much as all those before it. */
  took(records: number, ids: number, bytes: number): void {
    const weight = records > 0 ? 0.5 : 1;
    this.#records = this.#records * weight + records;
    this.#ids = this.#ids * weight + ids;
    this.#bytes = this.#bytes * weight + bytes;
  }
}

function notAsked(server: Neo4jServer, kind: string): IntegrityError {
  return new IntegrityError(
    `Neo4j of target "${server.target}" returned other ${kind} than requested, more of them, or in another order.`,
    {
      remedy:
        'The unfinished backup is removed. Report it as a bug in ngbak, with the version of the server.',
    },
  );
}
