import { createHash, type Hash } from 'node:crypto';
import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Number of files over which records are distributed by key. They are compared one by one, so memory is a 64th of the
 * whole.
 */
const BUCKETS = 64;
/** A bucket's lines are buffered up to this many characters before they are appended to its file. */
const BUFFER_CHARACTERS = 128 * 1024;

/** A reading of one record: a digest for each of its fields, such as `property:description` or `vector:dense`. */
export interface ProofRecord {
  /** The kind of record, such as `nodes` or `points entities`. */
  readonly part: string;
  /** Its identity: the id of a node or point, the name of a key. */
  readonly key: string;
  /** Digest by field. The part of the name before the colon is the aspect that it belongs to. */
  readonly fields: Readonly<Record<string, string>>;
  /** Absolute expiry time in the store, in milliseconds. */
  readonly expiresAt?: number;
}

/** Number of records, and a digest of all of them that does not depend on the order in which they were read. */
export interface AspectProof {
  readonly count: number;
  /** SHA-256 over the sorted records, 64 hexadecimal digits. */
  readonly digest: string;
}

/**
 * One part of a knowledge base: the number of records, and a proof for each aspect (`property`, `vector`, `value`,
 * …).
 */
export interface PartProof extends AspectProof {
  readonly aspects: Readonly<Record<string, AspectProof>>;
}

/** Digest of one value: SHA-256 in base64url. */
export function digestOf(...values: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const value of values) {
    // The length before the value distinguishes ["ab", "c"] from ["a", "bc"].
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    hash.update(`${bytes.byteLength}:`).update(bytes);
  }
  return hash.digest('base64url');
}

/** Collects the records of the stores in files, because they may exceed the memory. */
export class Ledger {
  readonly folder: string;
  readonly #buffers: string[] = Array.from({ length: BUCKETS }, () => '');

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** A new ledger in this folder, which is emptied first. */
  static async create(folder: string): Promise<Ledger> {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    return new Ledger(folder);
  }

  /** Adds one record. */
  async add(record: ProofRecord): Promise<void> {
    const bucket = createHash('md5').update(`${record.part}\0${record.key}`).digest().readUInt8(0) % BUCKETS;
    const fields = Object.fromEntries(Object.entries(record.fields).sort(([a], [b]) => (a < b ? -1 : 1)));
    const line = JSON.stringify([record.part, record.key, fields, record.expiresAt ?? null]);
    const buffered = `${this.#buffers[bucket]}${line}\n`;
    this.#buffers[bucket] = buffered;
    if (buffered.length >= BUFFER_CHARACTERS) await this.#flush(bucket);
  }

  /**
   * Sorts the buckets and computes their digests.
   *
   * @param isUnique whether a part has one record for each key. Redis may return a key twice in one scan, and then
   *   the later reading is used; two relationships between the same nodes are two records.
   */
  async finish(isUnique: (part: string) => boolean): Promise<Record<string, PartProof>> {
    const parts = new Map<string, { all: Digest; aspects: Map<string, Digest> }>();
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      await this.#flush(bucket);
      const lines = distinct(await readLines(bucketPath(this.folder, bucket)), isUnique).sort();
      await writeFile(bucketPath(this.folder, bucket), lines.map((line) => `${line}\n`).join(''));
      for (const line of lines) {
        const { part, key, fields } = parseLine(line);
        const proof = parts.get(part) ?? { all: new Digest(), aspects: new Map<string, Digest>() };
        parts.set(part, proof);
        proof.all.add(line);
        for (const [field, digest] of Object.entries(fields)) {
          const aspect = field.split(':', 1)[0] ?? field;
          const aspectProof = proof.aspects.get(aspect) ?? new Digest();
          proof.aspects.set(aspect, aspectProof);
          aspectProof.add(JSON.stringify([key, field, digest]));
        }
      }
    }
    return Object.fromEntries(
      [...parts]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([part, { all, aspects }]) => [part, { ...all.proof(), aspects: proofs(aspects) }]),
    );
  }

  async #flush(bucket: number): Promise<void> {
    const text = this.#buffers[bucket] ?? '';
    this.#buffers[bucket] = '';
    await appendFile(bucketPath(this.folder, bucket), text);
  }
}

class Digest {
  #count = 0;
  readonly #hash: Hash = createHash('sha256');

  add(line: string): void {
    this.#count++;
    this.#hash.update(line).update('\n');
  }

  proof(): AspectProof {
    return { count: this.#count, digest: this.#hash.copy().digest('hex') };
  }
}

function proofs(aspects: ReadonlyMap<string, Digest>): Record<string, AspectProof> {
  const names = [...aspects.keys()].sort();
  return Object.fromEntries(names.map((name) => [name, (aspects.get(name) ?? new Digest()).proof()]));
}

/** The records of a finished ledger, bucket by bucket: the same key is in the same bucket of every ledger. */
export async function* readBuckets(folders: readonly string[]): AsyncGenerator<ProofRecord[][]> {
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const records: ProofRecord[][] = [];
    for (const folder of folders) records.push((await readLines(bucketPath(folder, bucket))).map(parseLine));
    yield records;
  }
}

function bucketPath(folder: string, bucket: number): string {
  return join(folder, `bucket-${String(bucket).padStart(2, '0')}.jsonl`);
}

async function readLines(path: string): Promise<string[]> {
  return (await readFile(path, 'utf8')).split('\n').filter(Boolean);
}

function parseLine(line: string): ProofRecord {
  const [part, key, fields, expiresAt] = JSON.parse(line) as [
    string,
    string,
    Record<string, string>,
    number | null,
  ];
  return expiresAt === null ? { part, key, fields } : { part, key, fields, expiresAt };
}

function distinct(lines: string[], isUnique: (part: string) => boolean): string[] {
  const latest = new Map<string, string>();
  const repeated: string[] = [];
  for (const line of lines) {
    const { part, key } = parseLine(line);
    if (isUnique(part)) latest.set(`${part}\0${key}`, line);
    else repeated.push(line);
  }
  return [...latest.values(), ...repeated];
}
