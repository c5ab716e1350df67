import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import { Ledger, type PartProof, type ProofRecord, readBuckets } from './ledger.ts';
import { type FilesPlace, readFiles } from './read-files.ts';
import { readGraph } from './read-graph.ts';
import { readKeys } from './read-keys.ts';
import { type PostgresServer, readTables } from './read-tables.ts';
import { type QdrantServer, readVectors } from './read-vectors.ts';

interface Neo4jServer {
  readonly uri: string;
  readonly username: string;
  readonly password: string;
  readonly database?: string | undefined;
}

interface RedisServer {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** The connections of the stores of a knowledge base: those that are named are read. */
export interface ProofConnections {
  readonly neo4j?: Neo4jServer;
  readonly qdrant?: QdrantServer;
  readonly redis?: RedisServer;
  readonly postgres?: PostgresServer;
  readonly files?: FilesPlace;
}

/** What to read if the servers hold more than one knowledge base. If omitted: everything. */
export interface ProofScope {
  readonly label?: string;
  readonly collections?: readonly string[];
  readonly keyPrefix?: string;
  /** The rows of one knowledge base in tables that several share. */
  readonly workspace?: { readonly column: string; readonly value: string };
}

/** The contents of the stores, as counts and digests. The details are in files in `folder`, for a comparison. */
export interface Proof {
  readonly folder: string;
  readonly parts: Readonly<Record<string, PartProof>>;
  /**
   * Redis's time when its last key was read, in milliseconds: keys with an earlier expiry may be gone. 0 if no keys were
   * read.
   */
  readonly keysReadAt: number;
}

/** One difference. */
export interface ProofDifference {
  readonly part: string;
  /** The name of the record: an id, a key. Never its content. */
  readonly thing: string;
  readonly problem: string;
}

/** The changes in one part. */
export interface PartComparison {
  readonly before: number;
  readonly after: number;
  readonly missing: number;
  readonly added: number;
  readonly changed: number;
  /** Expired keys, which are not differences. */
  readonly expired: number;
}

export interface ProofComparison {
  /** True if nothing is missing, added or changed. */
  readonly identical: boolean;
  /** Number of records that differ. */
  readonly total: number;
  readonly parts: Readonly<Record<string, PartComparison>>;
  /** A sample of at most the requested size, distributed over the parts. */
  readonly differences: readonly ProofDifference[];
}

/**
 * Reads the stores and computes digests of their contents, with separate queries: it shares no code with the
 * backup, so that an error in the backup can't hide itself.
 *
 * @param folder for the details; emptied first, and removed by the caller
 * @throws Error if a store can't be reached or changes while it is read
 */
export async function readEverything(
  connections: ProofConnections,
  options: { folder: string; scope?: ProofScope },
): Promise<Proof> {
  const scope = options.scope ?? {};
  const ledger = await Ledger.create(options.folder);
  const { neo4j: graph, qdrant, redis, postgres, files } = connections;
  const [keysReadAt = 0] = await Promise.all([
    redis && keysOf(redis, ledger, scope),
    graph && graphOf(graph, ledger, scope),
    qdrant && readVectors(qdrant, ledger, { collections: scope.collections }),
    postgres && readTables(postgres, ledger, { workspace: scope.workspace }),
    files && readFiles(files, ledger),
  ]);
  const parts = await ledger.finish((part) => part.startsWith('keys '));
  return { folder: options.folder, parts, keysReadAt };
}

async function graphOf(
  { uri, username, password, database }: Neo4jServer,
  ledger: Ledger,
  { label }: ProofScope,
): Promise<void> {
  const driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
  try {
    await readGraph(driver, ledger, { database, label });
  } finally {
    await driver.close();
  }
}

async function keysOf(
  { url, username, password }: RedisServer,
  ledger: Ledger,
  { keyPrefix }: ProofScope,
): Promise<number> {
  const redis = new Redis(url, {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    // The newer protocol parses scores as numbers, and -0 as 0.
    protocol: 2,
    maxRetriesPerRequest: 2,
  });
  try {
    return await readKeys(redis, ledger, { keyPrefix });
  } finally {
    redis.disconnect();
  }
}

/** Compares two readings, record by record. Holds a 64th of both in memory at a time. */
export async function compareProofs(before: Proof, after: Proof, samples = 20): Promise<ProofComparison> {
  const comparison = new Comparison(before, after, samples);
  for await (const [left = [], right = []] of readBuckets([before.folder, after.folder])) {
    const leftGroups = Map.groupBy(left, identity);
    const rights = Map.groupBy(right, identity);
    for (const [key, records] of leftGroups) comparison.compare(records, rights.get(key) ?? []);
    for (const [key, records] of rights) if (!leftGroups.has(key)) comparison.compare([], records);
  }
  return comparison.result();
}

function identity(record: ProofRecord): string {
  return `${record.part}\0${record.key}`;
}

type Counts = { -readonly [Name in keyof PartComparison]: number };

class Comparison {
  readonly #after: Proof;
  readonly #samples: number;
  readonly #parts: Record<string, Counts> = {};
  readonly #differences = new Map<string, ProofDifference[]>();

  constructor(before: Proof, after: Proof, samples: number) {
    this.#after = after;
    this.#samples = samples;
    for (const name of [...Object.keys(before.parts), ...Object.keys(after.parts)].sort()) {
      this.#parts[name] = {
        before: before.parts[name]?.count ?? 0,
        after: after.parts[name]?.count ?? 0,
        missing: 0,
        added: 0,
        changed: 0,
        expired: 0,
      };
    }
  }

  /**
   * Compares all records with the same key: usually one on each side, more for relationships between the same nodes.
   */
  compare(before: readonly ProofRecord[], after: readonly ProofRecord[]): void {
    const unmatched = [...after];
    const missing: ProofRecord[] = [];
    for (const record of before) {
      const text = JSON.stringify(record.fields);
      const found = unmatched.findIndex((other) => JSON.stringify(other.fields) === text);
      if (found < 0) missing.push(record);
      else unmatched.splice(found, 1);
    }
    for (const record of missing) {
      const other = unmatched.shift();
      if (other) this.#note('changed', record, describeChanges(record, other));
      else if (record.expiresAt !== undefined && record.expiresAt <= this.#after.keysReadAt) {
        this.#count(record.part).expired++;
      } else this.#note('missing', record, 'is missing');
    }
    for (const record of unmatched) this.#note('added', record, 'was not there before');
  }

  result(): ProofComparison {
    const total = Object.values(this.#parts).reduce(
      (sum, part) => sum + part.missing + part.added + part.changed,
      0,
    );
    return { identical: total === 0, total, parts: this.#parts, differences: this.#sample() };
  }

  #note(kind: 'missing' | 'added' | 'changed', { part, key }: ProofRecord, problem: string): void {
    this.#count(part)[kind]++;
    const differences = this.#differences.get(part) ?? [];
    this.#differences.set(part, differences);
    if (differences.length < this.#samples) differences.push({ part, thing: key, problem });
  }

  /** One from each part in turn, until there are enough. */
  #sample(): ProofDifference[] {
    const sample: ProofDifference[] = [];
    const lists = [...this.#differences.values()];
    for (let round = 0; round < this.#samples; round++) {
      for (const list of lists) {
        const difference = list[round];
        if (difference && sample.length < this.#samples) sample.push(difference);
      }
    }
    return sample;
  }

  #count(part: string): Counts {
    const counts = this.#parts[part];
    if (!counts) throw new Error(`The ledger holds records of "${part}", which its proof does not count.`);
    return counts;
  }
}

/** `property:weight` changed, `label:PACKAGE` missing: the names of fields, never their values. */
function describeChanges(before: ProofRecord, after: ProofRecord): string {
  const words: string[] = [];
  for (const [field, digest] of Object.entries(before.fields)) {
    const other = after.fields[field];
    if (other === undefined) words.push(`${name(field)} is missing`);
    else if (other !== digest) words.push(`${name(field)} is different`);
  }
  for (const field of Object.keys(after.fields)) {
    if (before.fields[field] === undefined) words.push(`${name(field)} was not there before`);
  }
  return words.slice(0, 5).join(', ') + (words.length > 5 ? `, and ${words.length - 5} more` : '');
}

function name(field: string): string {
  const [aspect, ...rest] = field.split(':');
  return rest.length === 0 ? (aspect ?? field) : `${aspect} ${rest.join(':')}`.trimEnd();
}
