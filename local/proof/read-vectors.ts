import { digestOf, type Ledger } from './ledger.ts';

/** Points in one page. */
const PAGE = 256;

export interface QdrantServer {
  readonly url: string;
  readonly api_key?: string | undefined;
}

/** A number with the text that the server sent, which preserves `1.0`, `1` and 18446744073709551615. */
class ExactNumber {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

interface Page<Point> {
  readonly points: Point[];
  readonly next_page_offset: ExactNumber | string | null;
}

/** Reads every collection, or the given ones, with settings, payload indexes, aliases and points. */
export async function readVectors(
  server: QdrantServer,
  ledger: Ledger,
  options: { collections?: readonly string[] | undefined },
): Promise<void> {
  const { collections } = (await ask(server, 'GET', '/collections')) as { collections: { name: string }[] };
  const { aliases } = (await ask(server, 'GET', '/aliases')) as {
    aliases: { alias_name: string; collection_name: string }[];
  };
  for (const { name } of collections) {
    if (options.collections && !options.collections.includes(name)) continue;
    const own = aliases.filter((alias) => alias.collection_name === name).map((alias) => alias.alias_name);
    await readCollection(server, ledger, name, own);
    await readPoints(server, ledger, name);
  }
}

async function readCollection(
  server: QdrantServer,
  ledger: Ledger,
  name: string,
  aliases: readonly string[],
): Promise<void> {
  const info = (await ask(server, 'GET', `/collections/${encodeURIComponent(name)}`, undefined, exactly)) as {
    config: Record<string, unknown>;
    payload_schema: Record<string, { points?: unknown }>;
  };
  const fields: Record<string, string> = {};
  for (const [setting, value] of Object.entries(info.config))
    fields[`setting:${setting}`] = digestOf(canonicalJson(value));
  for (const [field, schema] of Object.entries(info.payload_schema)) {
    // The number of indexed points lags behind, and the points themselves are read anyway.
    const { points: _, ...definition } = schema;
    fields[`payload index:${field}`] = digestOf(canonicalJson(definition));
  }
  for (const alias of aliases) fields[`alias:${alias}`] = '';
  await ledger.add({ part: 'collections', key: name, fields });
}

/**
 * Reads ids and payloads with the text of every number, and vectors with the fast JSON parser: a 32-bit float
 * survives JSON's decimal form bit for bit, while a 64-bit id does not survive a JavaScript number.
 */
async function readPoints(server: QdrantServer, ledger: Ledger, name: string): Promise<void> {
  const path = `/collections/${encodeURIComponent(name)}/points/scroll`;
  for (let offset = 'null'; ; ) {
    const page = (wanted: string) => `{"limit":${PAGE},"offset":${offset},${wanted}}`;
    const [ids, vectors] = await Promise.all([
      ask(server, 'POST', path, page('"with_payload":true,"with_vector":false'), exactly),
      ask(server, 'POST', path, page('"with_payload":false,"with_vector":true')),
    ]);
    const { points, next_page_offset } = ids as Page<{
      id: unknown;
      payload?: Record<string, unknown> | null;
    }>;
    const withVectors = (vectors as Page<{ id: unknown; vector?: unknown }>).points;
    for (const [index, point] of points.entries()) {
      const id = scalarText(point.id);
      const other = withVectors[index];
      if (other === undefined || JSON.parse(id) !== other.id) {
        throw new Error(`Collection "${name}" changed while it was read for the proof, at point ${id}.`);
      }
      const fields: Record<string, string> = {};
      for (const [field, value] of Object.entries(point.payload ?? {})) {
        fields[`payload:${field}`] = digestOf(canonicalJson(value));
      }
      for (const [field, value] of namedVectors(other.vector))
        fields[`vector:${field}`] = vectorDigest(value);
      await ledger.add({ part: `points ${name}`, key: id, fields });
    }
    if (next_page_offset === null) return;
    offset = scalarText(next_page_offset);
  }
}

/** A single unnamed vector of a collection is a list or a list of lists, named ones are an object. */
function namedVectors(vector: unknown): [string, unknown][] {
  if (vector === undefined || vector === null) return [];
  return Array.isArray(vector) ? [['', vector]] : Object.entries(vector);
}

/** Digest of the bits of a dense, sparse or multi-vector. */
function vectorDigest(value: unknown): string {
  if (Array.isArray(value)) {
    if (value.every((element) => typeof element === 'number')) return digestOf('dense', floats(value));
    return digestOf('multi', ...value.map((row) => floats(row as number[])));
  }
  const { indices, values } = value as { indices: number[]; values: number[] };
  const order = indices.map((_, at) => at).sort((a, b) => (indices[a] ?? 0) - (indices[b] ?? 0));
  return digestOf(
    'sparse',
    Buffer.from(Uint32Array.from(order, (at) => indices[at] ?? 0).buffer),
    floats(order.map((at) => values[at] ?? 0)),
  );
}

function floats(values: readonly number[]): Uint8Array {
  return Buffer.from(Float32Array.from(values).buffer);
}

function exactly(_key: string, value: unknown, context: { source: string }): unknown {
  return typeof value === 'number' ? new ExactNumber(context.source) : value;
}

function scalarText(value: unknown): string {
  return value instanceof ExactNumber ? value.source : JSON.stringify(value);
}

/** JSON with sorted keys and the server's text of every number. */
function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object' || value instanceof ExactNumber) return scalarText(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
}

async function ask(
  server: QdrantServer,
  method: string,
  path: string,
  body?: string,
  reviver?: (key: string, value: unknown, context: { source: string }) => unknown,
): Promise<unknown> {
  const answer = await fetch(new URL(path, server.url), {
    method,
    headers: {
      'content-type': 'application/json',
      // Qdrant closes connections after some idle seconds, possibly just as the next request is sent.
      connection: 'close',
      ...(server.api_key === undefined ? {} : { 'api-key': server.api_key }),
    },
    ...(body === undefined ? {} : { body }),
  });
  const text = await answer.text();
  if (!answer.ok)
    throw new Error(`Qdrant answered ${answer.status} to ${method} ${path}: ${text.slice(0, 300)}`);
  // The third argument of a reviver exists in Node 24, but not yet in TypeScript's library.
  const parse = JSON.parse as (json: string, revive?: typeof reviver) => { result: unknown };
  return parse(text, reviver).result;
}
