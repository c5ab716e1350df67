import { createHash } from 'node:crypto';
import { z } from 'zod';
import { AccessDeniedError, InvalidInputError } from '../../core/errors.ts';
import type { StoreProbe } from '../export-step.ts';
import type { LegContext } from '../leg.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import type { QdrantClient } from './client.ts';
import {
  aliasesOf,
  type CollectionState,
  comparableText,
  denseVectors,
  readCollection,
  readOptions,
} from './collections.ts';
import type { QdrantScope } from './connection.ts';
import { countPoints, digestFirst } from './points.ts';
import { findCollections } from './scope.ts';

/** Number of points per collection that the fence reads. The server's write count covers all others. */
const FENCE_POINTS = 1000;
/** Telemetry reports disk sizes in units of 1,000 bytes (crate sys-info, which Qdrant uses). */
const TELEMETRY_UNIT_BYTES = 1000;
/** Assumed payload size of a point in bytes. */
const PAYLOAD_BYTES_GUESS = 1024;

/** Reads the server's version. Throws InvalidInputError if the server is not Qdrant, or is older than 1.7. */
export async function readVersion(client: QdrantClient, signal: AbortSignal): Promise<string> {
  const root = await client.json('GET', '/', { signal });
  const parsed = z.looseObject({ title: z.string(), version: z.string() }).safeParse(root);
  const version = parsed.data?.version ?? '';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (parsed.data?.title.includes('qdrant') && major === 1 && minor >= 7) return version;
  throw new InvalidInputError(
    `The server of the vectors is not Qdrant 1.7 or later${version ? `: it says ${version}` : ''}.`,
    {
      remedy: 'Correct "url" in the secret, or see docs/stores/qdrant.md for the versions that are known.',
    },
  );
}

/** Number of servers in the cluster; 1 if it is not a cluster. */
export async function countPeers(client: QdrantClient, signal: AbortSignal): Promise<number> {
  const result = await client.call('GET', '/cluster', { signal });
  const cluster = z
    .looseObject({ status: z.string(), peers: z.record(z.string(), z.unknown()).optional() })
    .parse(result);
  return Math.max(1, Object.keys(cluster.peers ?? {}).length);
}

/** Measures the scope: exact counts, estimated size, fence. Here, a missing collection is only a warning. */
export async function probeQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  context: LegContext,
): Promise<StoreProbe> {
  const { signal } = context;
  const version = await readVersion(client, signal);
  const { names, missing, aliases } = await findCollections(client, scope, signal);
  const counts: Record<string, number> = {};
  const fence: Record<string, string> = {};
  const warnings: StoreWarning[] = [];
  if (missing.length > 0) {
    warnings.push({
      code: 'missing-collections',
      text: 'The server has no collection or alias with these names, which the configuration lists.',
      count: missing.length,
      samples: missing.slice(0, WARNING_SAMPLES_MAX).map((name) => `"${name}"`),
    });
  }
  let estimatedBytes = 0;
  let sampled = false;
  for (const name of names) {
    const state = await readCollection(client, name, signal);
    // Deleted after it was listed.
    if (!state) continue;
    const count = await countPoints(client, name, scope.filter, signal);
    counts[`points:${name}`] = count;
    estimatedBytes += estimateBytes(state, count);
    const sample = await digestFirst(client, name, FENCE_POINTS, {
      ...readOptions(state.view, signal),
      filter: scope.filter,
    });
    sampled ||= count > sample.points;
    const shape = createHash('sha256')
      .update(comparableText([state.config, state.indexes, aliasesOf(aliases, name)]))
      .digest('hex');
    fence[`collection:${name}`] = `${count} points, ${sample.digest.slice(0, 32)}, ${shape.slice(0, 16)}`;
  }
  if (sampled) {
    const writes = await countWrites(client, signal);
    if (writes !== undefined) fence.writes = writes;
    else {
      warnings.push({
        code: 'telemetry-unreadable',
        text: `The API key has no permission to read Qdrant's telemetry: changes beyond the first ${FENCE_POINTS} points that keep the number of points are not detected.`,
      });
    }
  }
  return { kind: 'qdrant', version, counts, estimatedBytes, fence, warnings };
}

/** Estimates the size of a collection's points as JSON in bytes: 12 characters per component. */
export function estimateBytes({ view }: CollectionState, count: number): number {
  const components = Object.values(denseVectors(view)).reduce((sum, { size }) => sum + size, 0);
  return Math.ceil(count * (components * 12 + PAYLOAD_BYTES_GUESS));
}

/**
 * REST calls that do not change points, as named in telemetry. They include those of a backup itself, which creates and
 * removes empty collections to read the server's defaults. A collection that another client creates or removes is
 * detected by its name and its number of points.
 */
const REST_READS =
  /^GET |^POST \S+\/(points|points\/(scroll|count|(search|query|recommend|discover)(\/\S+)?)|facet|aliases|snapshots)$|^DELETE \S+\/snapshots\/\{snapshot_name\}$|^(PUT|DELETE) \/collections\/\{\w+\}$/;
/** A rejected upload changes nothing, and a backup sends an empty one to check whether its snapshot could be loaded. */
const REST_UPLOADS = /^(POST|PUT) \S+\/snapshots\/(upload|recover)$/;
/** The same for gRPC, by method name. */
const GRPC_READS =
  /(Get|List|Info|Exists|Scroll|Count|Search|Query|Recommend|Discover|Facet|Snapshot|Alias|Health|Check)/;

/**
 * Number of writes to the whole server since its start. Serves as the fence of collections that are too large to read
 * twice, because Qdrant has no such count per collection. Writes to other collections can only make a backup seem less
 * consistent than it is. Undefined if the key may not read it.
 */
export async function countWrites(client: QdrantClient, signal: AbortSignal): Promise<string | undefined> {
  const Responses = z
    .record(z.string(), z.record(z.string(), z.looseObject({ count: z.number() })))
    .optional();
  const Telemetry = z.looseObject({
    app: z.looseObject({ startup: z.string() }),
    requests: z.looseObject({
      rest: z.looseObject({ responses: Responses }).optional(),
      grpc: z.looseObject({ responses: z.record(z.string(), z.unknown()).optional() }).optional(),
    }),
  });
  let result: unknown;
  try {
    result = await client.call('GET', '/telemetry?details_level=1', { signal });
  } catch (error) {
    if (error instanceof AccessDeniedError) return undefined;
    throw error;
  }
  const parsed = Telemetry.safeParse(result);
  if (!parsed.success) return undefined;
  const { app, requests } = parsed.data;
  let writes = 0;
  for (const [endpoint, statuses] of Object.entries(requests.rest?.responses ?? {})) {
    if (REST_READS.test(endpoint)) continue;
    for (const [status, { count }] of Object.entries(statuses)) {
      if (!(REST_UPLOADS.test(endpoint) && status.startsWith('4'))) writes += count;
    }
  }
  for (const [endpoint, answer] of Object.entries(requests.grpc?.responses ?? {})) {
    if (!GRPC_READS.test(endpoint.split('/').at(-1) ?? '')) writes += sumCounts(answer);
  }
  return `${writes} since ${app.startup}`;
}

/**
 * Total size of the server's disks in bytes, from its telemetry; no Qdrant API reports free space. Undefined if the key
 * may not read it, and for clusters.
 */
export async function readDiskSize(client: QdrantClient, signal: AbortSignal): Promise<number | undefined> {
  if ((await countPeers(client, signal)) > 1) return undefined;
  const Telemetry = z.looseObject({
    app: z.looseObject({ system: z.looseObject({ disk_size: z.number().positive() }) }),
  });
  try {
    const result = await client.call('GET', '/telemetry?details_level=1', { signal });
    const size = Telemetry.safeParse(result).data?.app.system.disk_size;
    return size === undefined ? undefined : size * TELEMETRY_UNIT_BYTES;
  } catch (error) {
    if (error instanceof AccessDeniedError) return undefined;
    throw error;
  }
}

function sumCounts(answer: unknown): number {
  if (typeof answer !== 'object' || answer === null) return 0;
  if ('count' in answer && typeof answer.count === 'number') return answer.count;
  return Object.values(answer).reduce<number>((sum, inner) => sum + sumCounts(inner), 0);
}
