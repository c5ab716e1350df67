import { createHash } from 'node:crypto';
import type { EntryPiece, EntryReader, IndexEntry } from '../../../shared/archive/format/types.ts';
import { addTallies, type Tallies } from '../../../shared/core/digest.ts';
import type { Cursor, LegContext, LegResult } from '../../../shared/stores/leg.ts';
import { QdrantStore, qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import type { LoadOptions, VerifyResult } from '../../../shared/stores/restore-leg.ts';
import type { Store } from '../../../shared/stores/store.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';
import { servers } from '../../servers.ts';

export const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'overwrite' };

/** A server for tests, called with fetch, without code shared with the adapter. */
export interface Server {
  readonly url: string;
  readonly apiKey: string | undefined;
}

/** The server that all test files share. The collections of a test have unique names. */
export function sharedServer(): Server {
  const { url, apiKey } = servers.qdrant;
  return { url, apiKey };
}

/**
 * One call; `body` is JSON text if the form of numbers matters. Returns the text of the response. Throws if it failed.
 */
export async function ask(server: Server, method: string, path: string, body?: unknown): Promise<string> {
  const answer = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      'content-type': 'application/json',
      ...(server.apiKey === undefined ? {} : { 'api-key': server.apiKey }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text;
}

export async function result<T>(server: Server, method: string, path: string, body?: unknown): Promise<T> {
  return (JSON.parse(await ask(server, method, path, body)) as { result: T }).result;
}

let names = 0;

/** A unique collection name. */
export function freshName(label = 'c'): string {
  return `ngbak-test ${label} ${process.pid}.${Date.now()}.${names++}`;
}

/** Removes collections whose names contain `part`. */
export async function wipe(server: Server, part: string): Promise<void> {
  const { collections } = await result<{ collections: { name: string }[] }>(server, 'GET', '/collections');
  for (const { name } of collections) {
    if (name.includes(part)) await ask(server, 'DELETE', `/collections/${encodeURIComponent(name)}`);
  }
}

/**
 * The contents of a collection as text: points as the server writes them with the keys of `vector` sorted (their order
 * is random), settings, payload indexes, aliases.
 */
export async function contentOf(server: Server, name: string): Promise<string> {
  const path = `/collections/${encodeURIComponent(name)}`;
  const info = await result<{ config: unknown; payload_schema: Record<string, { points?: number }> }>(
    server,
    'GET',
    path,
  );
  for (const index of Object.values(info.payload_schema)) delete index.points;
  const schema = Object.fromEntries(Object.entries(info.payload_schema).sort());
  const { aliases } = await result<{ aliases: { alias_name: string }[] }>(server, 'GET', `${path}/aliases`);
  const points: string[] = [];
  for (let offset = 'null'; ; ) {
    const text = await ask(
      server,
      'POST',
      `${path}/points/scroll`,
      `{"limit":500,"offset":${offset},"with_vector":true}`,
    );
    const [, list = '', next = 'null'] =
      /"points":\[(.*)\],"next_page_offset":("[^"]+"|\d+|null)\}/s.exec(text) ?? [];
    for (const point of list.split(/,(?=\{"id":)/)) {
      const [, head = point, vector = ''] = /^(.*"vector":)(.*)\}$/s.exec(point) ?? [];
      points.push(
        `${head}${
          vector.startsWith('{')
            ? vector
                .slice(1, -1)
                .split(/,(?=")/)
                .sort()
                .join(',')
            : vector
        }`,
      );
    }
    if (next === 'null') break;
    offset = next;
  }
  return JSON.stringify(
    [info.config, schema, aliases.map(({ alias_name }) => alias_name).sort(), points],
    null,
    1,
  );
}

/** Names of temporary snapshots, aliases and collections of this job that are left on the server. */
export async function leftovers(
  server: Server,
  jobId: string,
  collections: readonly string[],
): Promise<string[]> {
  const { aliases } = await result<{ aliases: { alias_name: string }[] }>(server, 'GET', '/aliases');
  const all = await result<{ collections: { name: string }[] }>(server, 'GET', '/collections');
  const found = [
    ...aliases.map(({ alias_name }) => alias_name),
    ...all.collections.map(({ name }) => name),
  ].filter((name) => name.includes(jobId));
  for (const name of collections) {
    const path = `/collections/${encodeURIComponent(name)}/snapshots`;
    const snapshots = await result<{ name: string }[]>(server, 'GET', path);
    found.push(...snapshots.map((snapshot) => snapshot.name));
  }
  return found;
}

const opened: Store[] = [];

/** Closes every opened store, also after a failed test. */
export async function closeStores(): Promise<void> {
  for (const store of opened.splice(0)) await store.close();
}

/** Units of work small enough that a little data has many of them. */
export const SMALL = {
  chunkBytes: 50_000,
  pieceBytes: 64 * 1024,
  sureBytesPerSecond: 0,
  digestedPoints: 20_000,
};

export function openStore(server: Server, scope: object, limits?: typeof SMALL): Store {
  const connection = { url: server.url, ...(server.apiKey === undefined ? {} : { api_key: server.apiKey }) };
  const store = new QdrantStore(
    qdrantAdapter.Connection.parse(connection),
    qdrantAdapter.Scope.parse(scope),
    { target: 'test' },
    limits,
  );
  opened.push(store);
  return store;
}

let jobs = 0;

/** A context that never ends a leg by itself; `looks` ends it after a number of checks of the clock. */
export function legContext(
  looks = Number.POSITIVE_INFINITY,
  jobId?: string,
): LegContext & { logged: string[]; warned: StoreWarning[] } {
  let left = looks;
  const logged: string[] = [];
  const warned: StoreWarning[] = [];
  return {
    jobId: jobId ?? `job-${process.pid}-${Date.now()}-${jobs++}`,
    timeLeft: () => (left-- > 0 ? 600_000 : 0),
    signal: new AbortController().signal,
    progress: () => undefined,
    warn: (warning) => void warned.push(warning),
    log: (message, fields) => {
      logged.push(`${message} ${JSON.stringify(fields ?? {})}`);
    },
    logged,
    warned,
  };
}

/** The entries of an archive, held in memory. */
export class MemoryArchive implements EntryReader {
  readonly files = new Map<string, Buffer>();

  async *entries(prefix: string): AsyncGenerator<IndexEntry> {
    for (const [name, content] of this.files) if (name.startsWith(prefix)) yield indexEntry(name, content);
  }

  async find(name: string): Promise<IndexEntry | undefined> {
    const content = this.files.get(name);
    return content && indexEntry(name, content);
  }

  async *open(entry: IndexEntry): AsyncGenerator<Uint8Array> {
    const content = this.files.get(entry.name) ?? Buffer.alloc(0);
    for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000);
  }

  /** Appends a piece, as the archive writer does: in order, and of the stated length. */
  async add(piece: EntryPiece): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of piece.data) chunks.push(Buffer.from(chunk));
    const data = Buffer.concat(chunks);
    const before = piece.offset === 0 ? Buffer.alloc(0) : (this.files.get(piece.name) ?? Buffer.alloc(0));
    if (data.length !== piece.length || before.length !== piece.offset) {
      throw new Error(
        `Piece of ${piece.name} at ${piece.offset}: ${data.length} bytes of ${piece.length}, after ${before.length}`,
      );
    }
    this.files.set(piece.name, Buffer.concat([before, data]));
  }

  text(name: string): string {
    return this.files.get(name)?.toString('utf8') ?? '';
  }
}

/** Digests are computed once for each content, as in an archive's index. */
const digests = new WeakMap<Buffer, string>();

function indexEntry(name: string, content: Buffer): IndexEntry {
  let sha256 = digests.get(content);
  if (sha256 === undefined) {
    sha256 = createHash('sha256').update(content).digest('hex');
    digests.set(content, sha256);
  }
  return { name, size: content.length, sha256, offset: 0, length: content.length };
}

/**
 * Exports everything; each leg ends after `stepsPerLeg` steps, and its cursor is serialized as JSON as in a workflow.
 */
export async function exportAll(
  store: Store,
  context: LegContext,
  {
    stepsPerLeg = Number.POSITIVE_INFINITY,
    betweenLegs = () => Promise.resolve(),
  }: { stepsPerLeg?: number; betweenLegs?: () => Promise<void> } = {},
): Promise<{ archive: MemoryArchive; tallies: Tallies; legs: number; cursorCharacters: number }> {
  const archive = new MemoryArchive();
  let tallies: Tallies = {};
  let legs = 0;
  let cursorCharacters = 0;
  for (const shard of await store.plan(context, await store.probe(context))) {
    let cursor: Cursor | null = null;
    do {
      if (legs++ > 0) await betweenLegs();
      let steps = 0;
      for await (const step of store.export(shard, cursor, context)) {
        for (const piece of [step.piece, ...(step.companions ?? [])]) await archive.add(piece);
        tallies = addTallies(tallies, step.tallies);
        const text = JSON.stringify(step.next);
        cursorCharacters = Math.max(cursorCharacters, text.length);
        cursor = JSON.parse(text) as Cursor | null;
        if (++steps >= stepsPerLeg) break;
      }
    } while (cursor !== null);
  }
  return { archive, tallies, legs, cursorCharacters };
}

/** Runs a resumable phase to its end, with a new context for each leg. */
export async function runLegs<L extends LegResult>(
  leg: (cursor: Cursor | null, context: LegContext) => Promise<L>,
  newContext: () => LegContext,
): Promise<L[]> {
  const legs: L[] = [];
  for (let cursor: Cursor | null = null; legs.length < 1000; ) {
    const done: L = await leg(cursor, newContext());
    legs.push(done);
    if (done.cursor === null) return legs;
    cursor = JSON.parse(JSON.stringify(done.cursor)) as Cursor;
  }
  throw new Error('The phase does not come to an end.');
}

/** Restores as the workflow does: admits, clear, load, verify, finish. Returns the result of the verification. */
export async function restoreAll(
  store: Store,
  archive: EntryReader,
  options: LoadOptions = REPLACE,
  looks = Number.POSITIVE_INFINITY,
): Promise<{
  problems: readonly string[];
  verified: VerifyResult[];
  loaded: LegResult[];
  jobId: string;
  warned: StoreWarning[];
}> {
  const { jobId } = legContext();
  const warned: StoreWarning[] = [];
  const next = () => ({
    ...legContext(looks, jobId),
    warn: (warning: StoreWarning) => void warned.push(warning),
  });
  const problems = await store.admits({ archive, options, context: next() });
  if (problems.length > 0) return { problems, verified: [], loaded: [], jobId, warned };
  await runLegs((cursor, context) => store.clear({ archive, options, cursor, context }), next);
  const loaded = await runLegs((cursor, context) => store.load({ archive, options, cursor, context }), next);
  const verified = await runLegs(
    (cursor, context) => store.verify({ archive, options, cursor, context }),
    next,
  );
  await runLegs((_cursor, context) => store.finish(context), next);
  return { problems, verified, loaded, jobId, warned };
}

/** All differences of all legs of a verification. */
export function differencesOf(verified: readonly VerifyResult[]): {
  differences: number;
  samples: string[];
  tallies: Tallies;
} {
  return {
    differences: verified.reduce((sum, { differences }) => sum + differences, 0),
    samples: verified.flatMap(({ samples }) => samples.map(({ thing, problem }) => `${thing} ${problem}`)),
    tallies: verified.reduce<Tallies>((sum, { tallies }) => addTallies(sum, tallies), {}),
  };
}

/** A collection with every kind of vector, id and payload that Qdrant supports. */
export async function seedEverything(server: Server, name: string, shards = 1): Promise<void> {
  const path = `/collections/${encodeURIComponent(name)}`;
  await ask(server, 'PUT', path, {
    vectors: {
      dense: { size: 4, distance: 'Cosine', hnsw_config: { m: 24 } },
      half: { size: 4, distance: 'Dot', datatype: 'float16', on_disk: true },
      u8: { size: 4, distance: 'Euclid', datatype: 'uint8' },
      multi: { size: 2, distance: 'Manhattan', multivector_config: { comparator: 'max_sim' } },
    },
    sparse_vectors: { sparse: { index: { on_disk: true } }, idf: { modifier: 'idf' } },
    shard_number: shards,
    on_disk_payload: false,
    hnsw_config: { m: 12, ef_construct: 55 },
    optimizers_config: { indexing_threshold: 4321, max_segment_size: 200_000 },
    quantization_config: { scalar: { type: 'int8', quantile: 0.97, always_ram: true } },
    metadata: { note: 'kept', nothing: null },
  });
  await ask(
    server,
    'PUT',
    `${path}/points?wait=true`,
    `{"points":[
    {"id":18446744073709551615,"vector":{"dense":[1,2,3,4],"half":[0.1,0.2,1e-7,3],"u8":[1,2,3,255],"multi":[[1,2],[3,4],[5,6]],"sparse":{"indices":[9,1,4294967295],"values":[0.5,0.1,3.0]}},
     "payload":{"z":9007199254740993,"f":1.0,"i":1,"u":18446744073709551615,"neg":-9223372036854775808,"e":1e300,"t":1e-7,"nz":-0.0,"s":"é\\u0001\\u2028\\ud83d\\ude00\\"\\\\ /]},{","n":null,"b":true,"nest":{"y":[1,{"q":2,"a":1}],"x":{}},"":"empty key","list":[[],[1,2],["a"]]}},
    {"id":9007199254740993,"vector":{"dense":[0,0,0,0],"idf":{"indices":[],"values":[]}},"payload":{"s":"other"}},
    {"id":0,"vector":{},"payload":{}},
    {"id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","vector":{"multi":[[0.5,-0.25]]},"payload":null},
    {"id":"00000000-0000-0000-0000-000000000001","vector":{"idf":{"indices":[7],"values":[1.5]}},"payload":{"s":"last","when":"2025-10-06T14:30:00Z","at":{"lon":13.4,"lat":52.5}}}]}`,
  );
  for (const [field_name, field_schema] of Object.entries({
    s: { type: 'keyword', is_tenant: true },
    i: 'integer',
    'nest.x': 'bool',
    tx: { type: 'text', tokenizer: 'word', lowercase: true, min_token_len: 2 },
    when: 'datetime',
    at: 'geo',
  })) {
    await ask(server, 'PUT', `${path}/index?wait=true`, { field_name, field_schema });
  }
  await ask(server, 'POST', '/collections/aliases', {
    actions: [`${name} alias ä`, `${name} second`].map((alias_name) => ({
      create_alias: { collection_name: name, alias_name },
    })),
  });
}

/** A plain collection of `count` points with a payload `{n, tenant}`; ids from `first`. */
export async function seedPlain(
  server: Server,
  name: string,
  count: number,
  { dimensions = 8, first = 0, tenant = (n: number) => `t${n % 2}`, create = true } = {},
): Promise<void> {
  const path = `/collections/${encodeURIComponent(name)}`;
  if (create) await ask(server, 'PUT', path, { vectors: { size: dimensions, distance: 'Cosine' } });
  for (let at = 0; at < count; at += 1000) {
    const points = Array.from({ length: Math.min(1000, count - at) }, (_, index) => {
      const n = first + at + index;
      return {
        id: n,
        vector: Array.from({ length: dimensions }, (_, d) => Math.sin(n * 7 + d)),
        payload: { n, tenant: tenant(n) },
      };
    });
    await ask(server, 'PUT', `${path}/points?wait=true`, { points });
  }
}
