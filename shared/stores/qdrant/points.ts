import { collectGarbage } from '../../core/collect-garbage.ts';
import { MultisetDigest } from '../../core/digest.ts';
import type { QdrantClient } from './client.ts';
import { limitsOf, readCollection } from './collections.ts';
import type { QdrantScope } from './connection.ts';
import { AnswerTooLargeError, QdrantRefusedError } from './errors.ts';
import { collectionPath } from './paths.ts';
import { readPointBytes } from './point-bytes.ts';
import { CompactJson, type PointText, readPoint } from './point-text.ts';

/** Target size of a page in bytes of JSON: large enough that round trips do not matter, small enough for memory. */
const PAGE_BYTES = 1024 ** 2;
/** Number of points in the first page, before their size is known. */
const FIRST_PAGE_POINTS = 64;
/** Maximum number of points in a page, however small they are. */
const PAGE_POINTS_MAX = 10_000;

export type PointFilter = NonNullable<QdrantScope['filter']>;

/** A batch of points in ID order. */
export interface PointPage {
  readonly points: readonly PointText[];
  /** JSON text of the ID at which the next page starts; null if this is the last page. */
  readonly next: string | null;
}

export interface ScrollOptions {
  /** JSON text of the ID to start from; null for the beginning. */
  readonly from: string | null;
  readonly filter?: PointFilter | undefined;
  /** Read only these payload fields, and no vectors. */
  readonly fields?: readonly string[];
  /** How many replicas must agree: see `readAgreement`. */
  readonly agreement?: string;
  /** Maximum number of points in a page, if the collection's strict mode sets a limit. */
  readonly limit?: number;
  readonly signal: AbortSignal;
}

/** A filter in Qdrant's syntax. */
export function filterJson({ key, value }: PointFilter): string {
  return JSON.stringify({ must: [{ key, match: { value } }] });
}

/**
 * Reads a collection's points with vectors and payload, page by page in ID order. The next page is fetched while the
 * current one is processed. Holds two pages of about 1 MiB in memory; the number of points per page adapts to their
 * size.
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
        // Awaited in the next iteration or discarded below. Until then, a failure must not become an unhandled
        // rejection.
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

/** Digests the first `count` points in ID order. Returns the digest and their actual number. */
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

/** Exact number of points. If the collection's strict mode forbids exact counts, counts the IDs instead. */
export function countPoints(
  client: QdrantClient,
  collection: string,
  filter: PointFilter | undefined,
  signal: AbortSignal,
): Promise<number> {
  return countMatching(client, collection, filter && filterJson(filter), signal);
}

/** Like {@link countPoints}, for a filter in Qdrant's syntax. */
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

/** The JSON texts of the IDs of a collection's points, page by page. `filter` is in Qdrant's syntax. */
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
