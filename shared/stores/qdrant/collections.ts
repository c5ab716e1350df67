import { isLosslessNumber, parse, stringify } from 'lossless-json';
import { z } from 'zod';
import { IntegrityError } from '../../core/errors.ts';
import type { QdrantClient } from './client.ts';
import { QdrantNotFoundError } from './errors.ts';
import { type RequestLimits, requestLimits, StrictMode } from './limits.ts';
import { MARK } from './names.ts';
import { collectionPath } from './paths.ts';

/**
 * JSON whose numbers keep their exact text (lossless-json): a part of a configuration, saved and sent back unmodified.
 */
export type Lossless = unknown;

const Vector = z.looseObject({
  size: z.number().int().positive(),
  distance: z.string(),
  datatype: z.string().nullish(),
  on_disk: z.boolean().nullish(),
  multivector_config: z.unknown().optional(),
});

/** The fields of a collection's configuration that ngbak evaluates. All others are passed through unread. */
const ConfigView = z.looseObject({
  params: z.looseObject({
    vectors: z.union([Vector, z.record(z.string(), Vector)]).nullish(),
    sparse_vectors: z.record(z.string(), z.unknown()).nullish(),
    sharding_method: z.string().nullish(),
    replication_factor: z.number().nullish(),
  }),
  optimizer_config: z.looseObject({
    indexing_threshold: z.number().nullish(),
    prevent_unoptimized: z.boolean().nullish(),
  }),
  hnsw_config: z.looseObject({ m: z.number().nullish() }).nullish(),
  strict_mode_config: StrictMode.nullish(),
});
export type ConfigView = z.infer<typeof ConfigView>;

/** A collection without its points. */
export interface CollectionState {
  /** `config` as reported by the server, numbers as text. */
  readonly config: Lossless;
  readonly view: ConfigView;
  /** `green` if no optimization is pending. */
  readonly status: string | undefined;
  /** Payload indexes by field, in the form that creates them again. */
  readonly indexes: Readonly<Record<string, Lossless>>;
}

const Info = z.looseObject({
  config: z.unknown(),
  status: z.string().optional(),
  payload_schema: z.record(
    z.string(),
    z.looseObject({ data_type: z.string(), params: z.unknown().optional() }),
  ),
});

/** Reads configuration and payload indexes; undefined if the collection does not exist. */
export async function readCollection(
  client: QdrantClient,
  name: string,
  signal: AbortSignal,
): Promise<CollectionState | undefined> {
  let text: string;
  try {
    text = await client.text('GET', collectionPath(name), { signal });
  } catch (error) {
    if (error instanceof QdrantNotFoundError) return undefined;
    throw error;
  }
  const answer = parse(text) as { result?: unknown };
  const info = Info.safeParse(answer.result);
  if (!info.success) throw invalidConfiguration(name, info.error);
  const indexes = Object.fromEntries(
    Object.entries(info.data.payload_schema).map(([field, { data_type, params }]) => [
      field,
      params ?? data_type,
    ]),
  );
  const { config, status } = info.data;
  return { config, view: viewConfig(name, config), status, indexes };
}

/** Returns a typed view of a configuration. Throws IntegrityError if it is not valid. */
export function viewConfig(name: string, config: Lossless): ConfigView {
  const view = ConfigView.safeParse(JSON.parse(losslessText(config)));
  if (!view.success) throw invalidConfiguration(name, view.error);
  return view.data;
}

/** Serializes a lossless value as JSON. */
export function losslessText(value: Lossless): string {
  return stringify(value) ?? 'null';
}

/** JSON text with sorted keys and without nulls: equal for equivalent configurations. */
export function comparableText(value: Lossless): string {
  return losslessText(tidy(value));
}

/** Sorts keys, and removes nulls, which mean "not set" everywhere except in users' metadata. */
export function tidy(value: Lossless, keepNulls = false): Lossless {
  if (Array.isArray(value)) return value.map((inner) => tidy(inner, keepNulls));
  if (typeof value !== 'object' || value === null || isLosslessNumber(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => keepNulls || inner !== null)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, inner]) => [key, tidy(inner, keepNulls || key === 'metadata')]),
  );
}

/** The dense vectors by name. The unnamed vector has the name "". */
export function denseVectors(view: ConfigView): Record<string, z.infer<typeof Vector>> {
  const { vectors } = view.params;
  if (!vectors) return {};
  const single = Vector.safeParse(vectors);
  return single.success ? { '': single.data } : (vectors as Record<string, z.infer<typeof Vector>>);
}

/** Describes the vectors of a collection (names, sizes, distances, types). Points fit if the descriptions are equal. */
export function vectorLayout(view: ConfigView): string {
  const dense = Object.entries(denseVectors(view)).map(
    ([name, { size, distance, datatype, multivector_config }]) =>
      `${name || '(unnamed)'} ${size} ${distance} ${datatype ?? 'float32'}${multivector_config ? ' multi' : ''}`,
  );
  const sparse = Object.keys(view.params.sparse_vectors ?? {}).map((name) => `${name} sparse`);
  return [...dense, ...sparse].sort().join(', ') || 'no vectors';
}

/** Describes the names and sizes of a collection's dense vectors: what a client must know to search in it. */
export function vectorSizes(view: ConfigView): string {
  const sizes = Object.entries(denseVectors(view)).map(
    ([name, { size }]) => `${name || '(unnamed)'} ${size}`,
  );
  return sizes.sort().join(', ') || 'no vectors';
}

function isReplicated({ params }: ConfigView): boolean {
  return (params.replication_factor ?? 1) > 1;
}

/**
 * Query parameter that makes replicas agree on a read, so that one that lags behind cannot answer for all. Empty
 * without replicas.
 */
function readAgreement(view: ConfigView): string {
  return isReplicated(view) ? '?consistency=majority' : '';
}

/** Query parameter that makes all replicas apply writes in the same order. Empty without replicas. */
export function writeOrder(view: ConfigView): string {
  return isReplicated(view) ? '&ordering=strong' : '';
}

/** Bytes per component, by vector type. */
const COMPONENT_BYTES: Readonly<Record<string, number>> = { float16: 2, uint8: 1 };

/** Size of a point's dense vectors in bytes. A multivector counts as one vector. */
export function vectorBytes(view: ConfigView): number {
  return Object.values(denseVectors(view)).reduce(
    (sum, { size, datatype }) => sum + size * (COMPONENT_BYTES[datatype ?? ''] ?? 4),
    0,
  );
}

/** The largest requests that a collection accepts. */
export function limitsOf({ strict_mode_config: strict }: ConfigView): RequestLimits {
  return requestLimits(strict);
}

/** How the points of a collection are read. */
export interface ReadOptions {
  /** Maximum number of points per request. */
  readonly limit: number;
  /** How many replicas must agree: see `readAgreement`. */
  readonly agreement: string;
  readonly signal: AbortSignal;
}

export function readOptions(view: ConfigView, signal: AbortSignal): ReadOptions {
  return { limit: limitsOf(view).read, agreement: readAgreement(view), signal };
}

/** Names of all collections, sorted. */
export async function listCollections(client: QdrantClient, signal: AbortSignal): Promise<string[]> {
  const result = await client.call('GET', '/collections', { signal });
  const { collections } = z
    .looseObject({ collections: z.array(z.looseObject({ name: z.string() })) })
    .parse(result);
  return collections.map(({ name }) => name).sort();
}

export interface Alias {
  readonly alias: string;
  readonly collection: string;
}

/** All aliases on the server, including our temporary ones. */
export async function listAliases(client: QdrantClient, signal: AbortSignal): Promise<Alias[]> {
  const result = await client.call('GET', '/aliases', { signal });
  const { aliases } = z
    .looseObject({ aliases: z.array(z.looseObject({ alias_name: z.string(), collection_name: z.string() })) })
    .parse(result);
  return aliases.map(({ alias_name, collection_name }) => ({
    alias: alias_name,
    collection: collection_name,
  }));
}

/** The aliases of a collection that users created, sorted. */
export function aliasesOf(aliases: readonly Alias[], collection: string): string[] {
  return aliases
    .filter((entry) => entry.collection === collection && !entry.alias.startsWith(MARK))
    .map(({ alias }) => alias)
    .sort();
}

export type AliasAction =
  | { create_alias: { collection_name: string; alias_name: string } }
  | { delete_alias: { alias_name: string } };

/** Changes several aliases atomically. */
export async function changeAliases(
  client: QdrantClient,
  actions: readonly AliasAction[],
  signal: AbortSignal,
): Promise<void> {
  if (actions.length === 0) return;
  await client.call('POST', '/collections/aliases', { body: JSON.stringify({ actions }), signal });
}

/** Removes a collection. Does nothing if it does not exist. */
export async function dropCollection(client: QdrantClient, name: string, signal: AbortSignal): Promise<void> {
  await client.call('DELETE', collectionPath(name), { signal });
}

function invalidConfiguration(name: string, error: z.ZodError): IntegrityError {
  const where = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).slice(0, 3);
  return new IntegrityError(
    `The configuration of collection "${name}" is not valid for Qdrant 1.x: ${where.join('; ')}.`,
    {
      remedy: 'Check the version of the Qdrant server against docs/stores/qdrant.md.',
    },
  );
}
