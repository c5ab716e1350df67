import { createHash } from 'node:crypto';
import { type Record as Neo4jRecord, Vector } from 'neo4j-driver';
import { collectGarbage } from '../../core/collect-garbage.ts';
import { canonicalNode } from './lines.ts';
import type { ReadEnd, ReadNode, ReadRelationship } from './read-record.ts';
import type { Neo4jServer, RowSink } from './server.ts';

/** Digests that are kept, about 150 bytes each. A node with many relationships stays among them; others are asked again. */
const KEPT_MAX = 50_000;
/** Nodes asked for in one query. */
const BATCH_MAX = 5000;
/** Nodes with a line of this length are digested when they are exported: they need not be read a second time. */
const LARGE_LENGTH = 64 * 1024;
/** Nodes after which there may be garbage to collect. */
const COLLECT_NODES = 100;

/**
 * What the archive names an end by that has no key: a digest of its labels and of those of its properties that are not
 * lists. Those properties may be large, and a node may have many relationships, so they are read once for each node and
 * never with a relationship: work and memory of the server follow the number of records.
 */
export class EndDigests {
  readonly #server: Neo4jServer;
  readonly #signal: AbortSignal;
  /** By internal id, the least recently used first. */
  readonly #kept = new Map<bigint, string>();
  /** Lookups run one after the other: two pages would ask for the same node otherwise. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(server: Neo4jServer, signal: AbortSignal) {
    this.#server = server;
    this.#signal = signal;
  }

  /** Keeps the digest of a large node that was just read. `canonical` is the text that {@link canonicalNode} makes of it. */
  keepLarge({ id, labels, properties }: ReadNode, canonical: string): void {
    if (canonical.length < LARGE_LENGTH) return;
    const values = Object.entries(properties);
    // Which of the two a vector is to the server depends on its version.
    if (values.some(([, value]) => value instanceof Vector)) return;
    const scalars = values.filter(([, value]) => !Array.isArray(value));
    const isAll = scalars.length === values.length;
    this.#keep(
      id,
      digestOf(isAll ? canonical : canonicalNode({ labels, properties: Object.fromEntries(scalars) })),
    );
  }

  /**
   * The relationships with the digests of their ends. A relationship is left out if an end was deleted meanwhile: it was
   * deleted before.
   */
  complete(records: readonly ReadRelationship[]): Promise<ReadRelationship[]> {
    const completed = this.#last.then(() => this.#complete(records));
    // A failure belongs to the page that asked; the next lookup does not depend on it.
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
      await this.#ask(missing.slice(at, at + BATCH_MAX), digests);
    }
    for (const [id, digest] of digests) if (digest !== undefined) this.#keep(id, digest);
    const named = (end: ReadEnd) => (end.key === null ? { ...end, digest: digests.get(end.id) } : end);
    return records
      .map((record) => ({ ...record, start: named(record.start), end: named(record.end) }))
      .filter(({ start, end }) => isNamed(start) && isNamed(end));
  }

  #keep(id: bigint, digest: string): void {
    this.#kept.set(id, digest);
    if (this.#kept.size <= KEPT_MAX) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      return;
    }
  }

  /** A digest that was kept; it becomes the most recently used. */
  #take(id: bigint): string | undefined {
    const digest = this.#kept.get(id);
    if (digest !== undefined) this.#kept.delete(id);
    return digest;
  }

  async #ask(ids: readonly bigint[], digests: Map<bigint, string | undefined>): Promise<void> {
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

/** True if the archive can name the end: by a key or by a digest. */
export function isNamed({ key, digest }: ReadEnd): boolean {
  return key !== null || digest !== undefined;
}

/** The digest of a node's canonical text, without its braces. */
function digestOf(canonical: string): string {
  return createHash('sha256').update(canonical.slice(1, -1)).digest('hex').slice(0, 32);
}

/** Digests each node as it arrives: its properties are not held. */
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

  /** A repeated query overwrites what the first one found. */
  clear(): void {
    this.#count = 0;
  }
}
