import { collectGarbage } from '../../core/collect-garbage.ts';
import { MultisetDigest } from '../../core/digest.ts';
import type { QdrantClient } from './client.ts';
import { limitsOf, readCollection } from './collections.ts';
import type { QdrantScope } from './connection.ts';
import { AnswerTooLargeError, QdrantRefusedError } from './errors.ts';
import { collectionPath } from './paths.ts';
import { readPointBytes } from './point-bytes.ts';
import { CompactJson, type PointText, readPoint } from './point-text.ts';

/** Bytes of JSON that one page should have. Large enough that round trips don't count, small enough for memory. */
const PAGE_BYTES = 1024 ** 2;
/** Points in the first page, before their size is known. */
const FIRST_PAGE_POINTS = 64;
/** Points in a page at most, however small they are. */
const PAGE_POINTS_MAX = 10_000;

export type PointFilter = NonNullable<QdrantScope['filter']>;

/** A run of points in order of their ids. */
export interface PointPage {
  readonly points: readonly PointText[];
  /** JSON text of the id that the next page starts with; null where this is the last. */
  readonly next: string | null;
}

export interface ScrollOptions {
  /** JSON text of the id to start with; null for the beginning. */
  readonly from: string | null;
  readonly filter?: PointFilter | undefined;
  /** Only these fields of the payload, and no vectors. */
  readonly fields?: readonly string[];
  /** How many replicas must agree: see `readAgreement`. */
  readonly agreement?: string;
  /** Points in a page at most, where the collection's strict mode sets a limit. */
  readonly limit?: number;
  readonly signal: AbortSignal;
}

/** A filter in Qdrant's words. */
export function filterJson({ key, value }: PointFilter): string {
  return JSON.stringify({ must: [{ key, match: { value } }] });
}

/**
 * Reads a collection's points with vectors and payload, in order of their ids, page by page; the next page is fetched
 * while the last one is worked on. Holds two pages of about 1 MiB. Page sizes follow the points' sizes.
 */
export function scroll(
  client: QdrantClient,
  collection: string,
  options: ScrollOptions,
): AsyncGenerator<PointPage> {
  return scrollPages(client, collection, options, (answer) => parsePage(answer.toString('utf8')));
}

async function* scrollPages<Page extends { readonly next: string | null }>(
  client: QdrantClient,
  collection: string,
  options: ScrollOptions,
  parse: (answer: Buffer) => Page,
): AsyncGenerator<Page> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const max = Math.min(options.limit ?? PAGE_POINTS_MAX, PAGE_POINTS_MAX);
  let limit = Math.min(FIRST_PAGE_POINTS, max);
  const fetchPage = async (from: string | null) => {
    for (;;) {
      try {
        const answer = await fetchPoints(client, collection, { ...options, from, signal }, limit);
        return { answer, requested: limit };
      } catch (error) {
        if (!(error instanceof AnswerTooLargeError) || limit === 1) throw error;
        limit = Math.max(1, Math.floor(limit / 8));
      }
    }
  };
  let pending: ReturnType<typeof fetchPage> | undefined = fetchPage(options.from);
  try {
    while (pending) {
      const { answer, requested } = await pending;
      pending = undefined;
      const page = parse(answer);
      const fitting = Math.floor((requested * PAGE_BYTES) / answer.length);
      limit = Math.max(1, Math.min(max, requested * 4, fitting));
      if (page.next !== null) {
        pending = fetchPage(page.next);
        // Awaited on the next turn, or given up below: until then its failure is nobody's yet.
        pending.catch(() => undefined);
      }
      yield page;
      collectGarbage();
    }
  } finally {
    stop.abort();
  }
}

function fetchPoints(
  client: QdrantClient,
  collection: string,
  { from, filter, fields, agreement = '', signal }: ScrollOptions,
  limit: number,
): Promise<Buffer> {
  const parts = [
    `"limit":${limit}`,
    `"with_payload":${fields ? JSON.stringify(fields) : 'true'}`,
    `"with_vector":${!fields}`,
  ];
  if (from !== null) parts.push(`"offset":${from}`);
  if (filter) parts.push(`"filter":${filterJson(filter)}`);
  return client.answer('POST', collectionPath(collection, `/points/scroll${agreement}`), {
    body: `{${parts.join(',')}}`,
    signal,
  });
}

function parsePage(text: string): PointPage {
  const json = new CompactJson(text);
  const points: PointText[] = [];
  let next = 'null';
  json.eachMember(0, (outer) => {
    if (outer !== '"result"') {
      json.value();
      return;
    }
    json.eachMember(1, (key) => {
      if (key === '"points"') json.eachElement(() => points.push(readPoint(json)));
      else if (key === '"next_page_offset"') next = json.value();
      else json.value();
    });
  });
  return { points, next: next === 'null' ? null : next };
}

/** Digest of the first `count` points in order of their ids, and how many that were. */
export async function digestFirst(
  client: QdrantClient,
  collection: string,
  count: number,
  options: Omit<ScrollOptions, 'from'>,
): Promise<{ digest: string; points: number }> {
  const digest = new MultisetDigest();
  let points = 0;
  for await (const page of scrollPages(client, collection, { ...options, from: null }, readPointBytes)) {
    for (const point of page.points) {
      if (points === count) break;
      digest.add(point);
      points++;
    }
    if (points === count) break;
  }
  return { digest: digest.hex(), points };
}

/** Exact number of points. A collection whose strict mode forbids exact requests is counted by its ids. */
export function countPoints(
  client: QdrantClient,
  collection: string,
  filter: PointFilter | undefined,
  signal: AbortSignal,
): Promise<number> {
  return countMatching(client, collection, filter && filterJson(filter), signal);
}

/** As {@link countPoints}, for a filter in Qdrant's words. */
export async function countMatching(
  client: QdrantClient,
  collection: string,
  filter: string | undefined,
  signal: AbortSignal,
): Promise<number> {
  const body = filter === undefined ? '{"exact":true}' : `{"exact":true,"filter":${filter}}`;
  try {
    const result = await client.call('POST', collectionPath(collection, '/points/count'), { body, signal });
    return Number((result as { count?: unknown } | null)?.count);
  } catch (error) {
    if (!(error instanceof QdrantRefusedError) || !/exact search disabled/i.test(error.message)) throw error;
  }
  const state = await readCollection(client, collection, signal);
  const limit = state ? limitsOf(state.view).read : PAGE_POINTS_MAX;
  let count = 0;
  for await (const ids of scrollIds(client, collection, { filter, limit, signal })) count += ids.length;
  return count;
}

/** The JSON texts of the ids of a collection's points, page by page; `filter` in Qdrant's words. */
export async function* scrollIds(
  client: QdrantClient,
  collection: string,
  { filter, limit, signal }: { filter: string | undefined; limit: number; signal: AbortSignal },
): AsyncGenerator<readonly string[]> {
  const size = Math.min(limit, PAGE_POINTS_MAX);
  for (let from: string | null = null; ; ) {
    const parts = [`"limit":${size}`, '"with_payload":false', '"with_vector":false'];
    if (filter !== undefined) parts.push(`"filter":${filter}`);
    if (from !== null) parts.push(`"offset":${from}`);
    const page: PointPage = parsePage(
      await client.text('POST', collectionPath(collection, '/points/scroll'), {
        body: `{${parts.join(',')}}`,
        signal,
      }),
    );
    if (page.points.length > 0) yield page.points.map(({ id }) => id);
    from = page.next;
    if (from === null) return;
  }
}
