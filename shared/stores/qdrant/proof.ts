import { createHash, randomUUID } from 'node:crypto';
import { z } from 'zod';
import { NgbakError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
import { describeChanges, type StoreProof } from '../proof.ts';
import type { QdrantClient } from './client.ts';
import { type Alias, aliasesOf, comparableText, readCollection } from './collections.ts';
import type { QdrantScope } from './connection.ts';
import { collectionPath } from './paths.ts';
import { readVersion } from './probe.ts';
import { findCollections } from './scope.ts';

/** Minor versions whose segments, operations and telemetry are known, by tests, to have the meaning that a proof needs. */
const KNOWN_VERSIONS: readonly string[] = ['1.16'];
/** Most collections of a scope with a proof: each takes three requests, twice. */
const COLLECTIONS_MAX = 200;
/** Telemetry with each segment. */
const TELEMETRY = '/telemetry?details_level=10';

const Shard = z.looseObject({
  id: z.int().nonnegative(),
  local: z.looseObject({
    status: z.string(),
    segments: z.array(z.looseObject({ info: z.looseObject({ segment_type: z.string() }) })),
    optimizations: z.looseObject({
      optimizations: z.looseObject({ count: z.int().nonnegative(), last_responded: z.string() }),
    }),
  }),
  remote: z.array(z.unknown()).max(0),
  partial_snapshot: z.looseObject({ is_recovering: z.literal(false), recovery_timestamp: z.number() }),
});
const Telemetry = z.looseObject({
  id: z.string().min(1),
  app: z.looseObject({ startup: z.string() }),
  collections: z.looseObject({
    collections: z.array(z.looseObject({ id: z.string() })),
    snapshots: z.array(
      z.looseObject({
        id: z.string(),
        running_snapshots: z.int().nonnegative(),
        running_snapshot_recovery: z.int().nonnegative(),
      }),
    ),
  }),
});
/** `segment_version` is the number of the last operation that changed the segment. */
const SegmentManifest = z.record(
  z.string(),
  z.looseObject({ segment_id: z.string(), segment_version: z.int().nonnegative() }),
);

/** A reason why there is no proof now. */
class NoProof extends Error {}

/**
 * Proves that no collection of the scope has changed: the same process of the server; the same segments, each with the
 * number of the last operation that changed it; for each shard, the time at which the server loaded or last optimized it;
 * and the same settings and aliases. A shard counts its operations, and every operation that changes a point or an index
 * raises the number of its segment, in the same lock. After a snapshot of the past was loaded, numbers repeat with other
 * content, but the time of loading differs.
 *
 * A segment has the number of an operation as soon as its first point is changed. Therefore, all are measured twice,
 * with an operation in between that changes nothing and waits for those before it (see {@link waitForOperations}).
 *
 * There is no proof for clusters, whose shards move, while segments are optimized or saved, because deletions then show
 * in no segment, and for versions in which this was not tested.
 */
export async function proveVectors(
  client: QdrantClient,
  scope: QdrantScope,
  { signal }: LegContext,
): Promise<StoreProof> {
  try {
    const version = await readVersion(client, signal);
    if (!KNOWN_VERSIONS.includes(version.split('.').slice(0, 2).join('.'))) {
      return { reason: `the meaning of the segments of Qdrant ${version} is not known` };
    }
    const cluster = z
      .looseObject({ status: z.string() })
      .parse(await client.call('GET', '/cluster', { signal }));
    if (cluster.status !== 'disabled') return { reason: 'shards of a cluster can move' };
    const { names, aliases } = await findCollections(client, scope, signal);
    if (names.length > COLLECTIONS_MAX) return { reason: `it has more than ${COLLECTIONS_MAX} collections` };
    const before = await measure(client, version, names, aliases, signal);
    for (const name of names) await waitForOperations(client, name, signal);
    const found = await findCollections(client, scope, signal);
    const after = await measure(client, version, found.names, found.aliases, signal);
    const [change] = describeChanges(before, after);
    return change === undefined ? { values: after } : { reason: `it is being written to (${change})` };
  } catch (error) {
    if (error instanceof NoProof) return { reason: error.message };
    if (error instanceof z.ZodError) return { reason: 'it does not report the state of its segments' };
    // The key may not read telemetry, or not write; or a strict mode does not allow it.
    if (!(error instanceof NgbakError) || error.retryable) throw error;
    return { reason: `the state of its segments cannot be read: ${error.message}` };
  }
}

async function measure(
  client: QdrantClient,
  version: string,
  names: readonly string[],
  aliases: readonly Alias[],
  signal: AbortSignal,
): Promise<Record<string, string>> {
  // Before the segments: a deletion that they do not show is then later than this.
  const { id, app, collections } = Telemetry.parse(await client.call('GET', TELEMETRY, { signal }));
  const values: Record<string, string> = { server: `${version}, process ${id}, since ${app.startup}` };
  for (const name of names) {
    const running = collections.snapshots.find((entry) => entry.id === name);
    if (running && running.running_snapshots + running.running_snapshot_recovery > 0) {
      throw new NoProof(`a snapshot of "${name}" is being written or loaded`);
    }
    const found = collections.collections.find((entry) => entry.id === name);
    const { shards } = z.looseObject({ shards: z.array(Shard).min(1) }).parse(found ?? {});
    const state: unknown[] = [];
    let newest = 0;
    for (const { id: shard, local, partial_snapshot } of shards) {
      if (local.status !== 'green' || local.segments.some(({ info }) => info.segment_type === 'special')) {
        throw new NoProof(`"${name}" is being optimized (status ${local.status})`);
      }
      const path = collectionPath(name, `/shards/${shard}/snapshot/partial/manifest`);
      const segments = Object.values(SegmentManifest.parse(await client.call('GET', path, { signal })));
      if (segments.length !== local.segments.length) throw new NoProof(`segments of "${name}" are changing`);
      newest = Math.max(newest, ...segments.map(({ segment_version }) => segment_version));
      const { count, last_responded } = local.optimizations.optimizations;
      state.push([
        shard,
        [count, last_responded, partial_snapshot.recovery_timestamp],
        segments.map(({ segment_id, segment_version }) => [segment_id, segment_version]).sort(),
      ]);
    }
    const settings = await readCollection(client, name, signal);
    if (!settings) throw new NoProof(`collection "${name}" was removed`);
    const shape = comparableText([settings.config, settings.indexes, aliasesOf(aliases, name)]);
    values[`collection:${name}`] =
      `operation ${newest}, segments ${digest(JSON.stringify(state))}, settings ${digest(shape)}`;
  }
  return values;
}

/**
 * Waits until all operations of a collection that the server has accepted are done: each shard carries them out one
 * after the other. Deletes the point with an ID that was just chosen at random, which is in every shard's queue.
 */
async function waitForOperations(client: QdrantClient, name: string, signal: AbortSignal): Promise<void> {
  const body = JSON.stringify({ filter: { must: [{ has_id: [randomUUID()] }] } });
  await client.call('POST', collectionPath(name, '/points/delete?wait=true'), { body, signal });
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
