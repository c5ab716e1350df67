import { isLosslessNumber, parse, stringify } from 'lossless-json';
import { z } from 'zod';
import { IntegrityError } from '../../core/errors.ts';
import type { QdrantClient } from './client.ts';
import { QdrantNotFoundError } from './errors.ts';
import { type RequestLimits, requestLimits, StrictMode } from './limits.ts';
import { MARK } from './names.ts';
import { collectionPath } from './paths.ts';

/** JSON whose numbers keep their text (lossless-json): part of a configuration, stored and sent back as it is. */
export type Lossless = unknown;

const Vector = z.looseObject({
  size: z.number().int().positive(),
  distance: z.string(),
  datatype: z.string().nullish(),
  on_disk: z.boolean().nullish(),
  multivector_config: z.unknown().optional(),
});

/** What we look at ourselves in a collection's configuration. All the rest is carried along unread. */
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
  /** `config` as the server tells it, numbers as text. */
  readonly config: Lossless;
  readonly view: ConfigView;
  /** `green` where no optimization is pending. */
  readonly status: string | undefined;
  /** Payload indexes by field: what creates them again. */
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

/** Reads configuration and payload indexes; undefined where there is no such collection. */
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
  if (!info.success) throw strange(name, info.error);
  const indexes = Object.fromEntries(
    Object.entries(info.data.payload_schema).map(([field, { data_type, params }]) => [
      field,
      params ?? data_type,
    ]),
  );
  const { config, status } = info.data;
  return { config, view: viewConfig(name, config), status, indexes };
}

/** The typed view of a configuration. Throws IntegrityError where it is none. */
export function viewConfig(name: string, config: Lossless): ConfigView {
  const view = ConfigView.safeParse(JSON.parse(losslessText(config)));
  if (!view.success) throw strange(name, view.error);
  return view.data;
}

/** JSON text of a lossless value. */
export function losslessText(value: Lossless): string {
  return stringify(value) ?? 'null';
}

/** JSON text with sorted keys and without nulls: equal for configurations that mean the same. */
export function comparableText(value: Lossless): string {
  return losslessText(tidy(value));
}

/** The same value with sorted keys; without nulls, which mean "not set" everywhere but in users' metadata. */
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

/** The dense vectors by name; the unnamed one has the name "". */
export function denseVectors(view: ConfigView): Record<string, z.infer<typeof Vector>> {
  const { vectors } = view.params;
  if (!vectors) return {};
  const single = Vector.safeParse(vectors);
  return single.success ? { '': single.data } : (vectors as Record<string, z.infer<typeof Vector>>);
}

/** Vectors of a collection in words that tell whether points fit: names, sizes, distances, types. */
export function vectorLayout(view: ConfigView): string {
  const dense = Object.entries(denseVectors(view)).map(
    ([name, { size, distance, datatype, multivector_config }]) =>
      `${name || '(unnamed)'} ${size} ${distance} ${datatype ?? 'float32'}${multivector_config ? ' multi' : ''}`,
  );
  const sparse = Object.keys(view.params.sparse_vectors ?? {}).map((name) => `${name} sparse`);
  return [...dense, ...sparse].sort().join(', ') || 'no vectors';
}

/** Names and sizes of a collection's dense vectors, in words: what a client must know to search in it. */
export function vectorSizes(view: ConfigView): string {
  const sizes = Object.entries(denseVectors(view)).map(
    ([name, { size }]) => `${name || '(unnamed)'} ${size}`,
  );
  return sizes.sort().join(', ') || 'no vectors';
}

function isReplicated({ params }: ConfigView): boolean {
  return (params.replication_factor ?? 1) > 1;
}

/** Query of a read that replicas must agree on: one that lags behind does not answer for all. Empty without replicas. */
export function readAgreement(view: ConfigView): string {
  return isReplicated(view) ? '?consistency=majority' : '';
}

/** Further query of a write that all replicas must apply in one order. Empty without replicas. */
export function writeOrder(view: ConfigView): string {
  return isReplicated(view) ? '&ordering=strong' : '';
}

/** Bytes of a component, by type of the vector. */
const COMPONENT_BYTES: Readonly<Record<string, number>> = { float16: 2, uint8: 1 };

/** Bytes that the dense vectors of one point take; a multi-vector counts as one. */
export function vectorBytes(view: ConfigView): number {
  return Object.values(denseVectors(view)).reduce(
    (sum, { size, datatype }) => sum + size * (COMPONENT_BYTES[datatype ?? ''] ?? 4),
    0,
  );
}

/** Largest requests that a collection accepts. */
export function limitsOf({ strict_mode_config: strict }: ConfigView): RequestLimits {
  return requestLimits(strict);
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

/** All aliases of the server, those that we made for a while included. */
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

/** The aliases that users made, of one collection, sorted. */
export function aliasesOf(aliases: readonly Alias[], collection: string): string[] {
  return aliases
    .filter((entry) => entry.collection === collection && !entry.alias.startsWith(MARK))
    .map(({ alias }) => alias)
    .sort();
}

export type AliasAction =
  | { create_alias: { collection_name: string; alias_name: string } }
  | { delete_alias: { alias_name: string } };

/** Changes aliases, all of them at one instant. */
export async function changeAliases(
  client: QdrantClient,
  actions: readonly AliasAction[],
  signal: AbortSignal,
): Promise<void> {
  if (actions.length === 0) return;
  await client.call('POST', '/collections/aliases', { body: JSON.stringify({ actions }), signal });
}

/** Removes a collection; nothing happens where there is none. */
export async function dropCollection(client: QdrantClient, name: string, signal: AbortSignal): Promise<void> {
  await client.call('DELETE', collectionPath(name), { signal });
}

function strange(name: string, error: z.ZodError): IntegrityError {
  const where = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).slice(0, 3);
  return new IntegrityError(
    `The configuration of collection "${name}" is not valid for Qdrant 1.x: ${where.join('; ')}.`,
    {
      remedy: 'Check the version of the Qdrant server against docs/stores/qdrant.md.',
    },
  );
}
