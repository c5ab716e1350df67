import { createHash } from 'node:crypto';
import { type Record as Neo4jRecord, Vector } from 'neo4j-driver-core';
import { collectGarbage } from '../../core/collect-garbage.ts';
import { canonicalNode } from './lines.ts';
import type { ReadEnd, ReadNode, ReadRelationship } from './read-record.ts';
import type { Neo4jServer, RowSink } from './server.ts';

/**
 * Maximum number of cached digests, about 150 bytes each. Nodes with many relationships stay in the cache; others are
 * queried again.
 */
const CACHE_MAX = 50_000;
/** Nodes per query. */
const BATCH_MAX = 5000;
/** Nodes whose line is at least this long are digested while they are exported, so that they need not be read again. */
const LARGE_LENGTH = 64 * 1024;
/** Nodes after which garbage is collected. */
const COLLECT_NODES = 100;

/**
 * Digests that identify relationship ends without a key: a digest of the node's labels and non-list properties. These
 * properties may be large, and a node may have many relationships, so they are read once per node and never along with
 * a relationship: the work and memory of the server stay proportional to the number of records.
 */
export class EndDigests {
  readonly #server: Neo4jServer;
  readonly #signal: AbortSignal;
  /** By internal ID, least recently used first. */
  readonly #cache = new Map<bigint, string>();
  /** Lookups run one at a time; otherwise two pages could query the same node. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(server: Neo4jServer, signal: AbortSignal) {
    this.#server = server;
    this.#signal = signal;
  }

  /** Caches the digest of a large node that was just read. `canonical` is the text from {@link canonicalNode}. */
  keepLarge({ id, labels, properties }: ReadNode, canonical: string): void {
    if (canonical.length < LARGE_LENGTH) return;
    const values = Object.entries(properties);
    // Whether the server treats a vector as a list depends on its version.
    if (values.some(([, value]) => value instanceof Vector)) return;
    const scalars = values.filter(([, value]) => !Array.isArray(value));
    const isAll = scalars.length === values.length;
    this.#keep(
      id,
      digestOf(isAll ? canonical : canonicalNode({ labels, properties: Object.fromEntries(scalars) })),
    );
  }

  /**
   * Returns the relationships with the digests of their ends. Omits a relationship if an end was deleted in the
   * meantime, because the relationship was deleted before it.
   */
  complete(records: readonly ReadRelationship[]): Promise<ReadRelationship[]> {
    const completed = this.#last.then(() => this.#complete(records));
    // A failure is reported to the page that requested the lookup; the next lookup does not depend on it.
    this.#last = completed.catch(() => undefined);
    return completed;
  }

  async #complete(records: readonly ReadRelationship[]): Promise<ReadRelationship[]> {
    const digests = new Map<bigint, string | undefined>();
    for (const { start, end } of records) {
      for (const { id, key } of [start, end]) {
        if (key === null && !digests.has(id)) digests.set(id, this.#take(id));
      }
    }
    const missing = [...digests].filter(([, digest]) => digest === undefined).map(([id]) => id);
    for (let at = 0; at < missing.length; at += BATCH_MAX) {
      await this.#query(missing.slice(at, at + BATCH_MAX), digests);
    }
    for (const [id, digest] of digests) if (digest !== undefined) this.#keep(id, digest);
    const named = (end: ReadEnd) => (end.key === null ? { ...end, digest: digests.get(end.id) } : end);
    return records
      .map((record) => ({ ...record, start: named(record.start), end: named(record.end) }))
      .filter(({ start, end }) => isNamed(start) && isNamed(end));
  }

  #keep(id: bigint, digest: string): void {
    this.#cache.set(id, digest);
    if (this.#cache.size <= CACHE_MAX) return;
    for (const oldest of this.#cache.keys()) {
      this.#cache.delete(oldest);
      return;
    }
  }

  /** A cached digest; marks it as most recently used. */
  #take(id: bigint): string | undefined {
    const digest = this.#cache.get(id);
    if (digest !== undefined) this.#cache.delete(id);
    return digest;
  }

  async #query(ids: readonly bigint[], digests: Map<bigint, string | undefined>): Promise<void> {
    // `toStringOrNull` is null for lists only.
    const sink: RowSink = new DigestSink(digests);
    await this.#server.page(
      'reading the ends of relationships',
      `UNWIND $ids AS i MATCH (n) WHERE id(n) = i
       RETURN i, labels(n), [p IN keys(n) WHERE toStringOrNull(n[p]) IS NOT NULL | [p, n[p]]]`,
      { ids },
      this.#signal,
      sink,
    );
  }
}

/** True if the archive can identify the end by a key or a digest. */
export function isNamed({ key, digest }: ReadEnd): boolean {
  return key !== null || digest !== undefined;
}

/** The digest of a node's canonical text, without the braces. */
function digestOf(canonical: string): string {
  return createHash('sha256').update(canonical.slice(1, -1)).digest('hex').slice(0, 32);
}

/** Digests each node as it arrives, so that its properties are not held in memory. */
class DigestSink implements RowSink {
  readonly #digests: Map<bigint, string | undefined>;
  #count = 0;

  constructor(digests: Map<bigint, string | undefined>) {
    this.#digests = digests;
  }

  add(row: Neo4jRecord): void {
    const pairs: [string, unknown][] = row.get(2);
    const text = canonicalNode({ labels: row.get(1), properties: Object.fromEntries(pairs) });
    this.#digests.set(row.get(0), digestOf(text));
    if (++this.#count % COLLECT_NODES === 0) collectGarbage();
  }

  /** A retried query overwrites the results of the previous attempt. */
  clear(): void {
    this.#count = 0;
  }
}
