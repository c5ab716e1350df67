import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import type { StoreName } from '../../shared/core/store-names.ts';
import { type Blueprint, drawBlueprint } from './blueprint.ts';
import { countRecords, type RecordCounts } from './copies.ts';
import { type Layout, ngraf023Layout } from './layout.ts';
import { readInstalledPackages } from './packages.ts';
import { writeGraph } from './write-graph.ts';
import { writeKeys } from './write-kv.ts';
import { writeVectors } from './write-vectors.ts';

/** The connections of the three servers, in the format of the adapters' secrets. */
export interface Connections {
  readonly neo4j: { uri: string; username: string; password: string; database?: string | undefined };
  readonly qdrant: { url: string; api_key?: string | undefined };
  readonly redis: { url: string; username?: string | undefined; password?: string | undefined };
}

/** The progress of one store. */
export interface LoadProgress {
  readonly store: StoreName;
  readonly unit: string;
  readonly done: number;
  readonly total: number;
}

export interface KnowledgeBaseOptions extends Connections {
  /** Name of the knowledge base: its label is `GraphRAG_<namespace>`. */
  readonly namespace: string;
  /** Number of copies of the installed packages; 1 is about 1,500 entities. */
  readonly scale?: number;
  /** Other names than the fork's, for several knowledge bases on the same servers. */
  readonly layout?: Layout;
  /** An existing blueprint. If omitted: that of the installed packages. */
  readonly blueprint?: Blueprint;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Builds the knowledge base of the installed packages and writes it to all three stores in parallel. Repeating this
 * only changes the keys' time to live. Memory does not grow with the scale.
 */
export async function loadKnowledgeBase(options: KnowledgeBaseOptions): Promise<RecordCounts> {
  const scale = options.scale ?? 1;
  if (!Number.isSafeInteger(scale) || scale < 1)
    throw new RangeError(`Scale ${scale} is not a whole number from 1 on.`);
  const blueprint = options.blueprint ?? (await drawBlueprint(readInstalledPackages()));
  const counts = countRecords(blueprint, scale);
  const sofar: Record<string, number> = {};
  const totals: Record<string, number> = {
    nodes: counts.entities,
    relationships: counts.relationships,
    points: counts.points,
    keys: counts.keys,
  };
  const layout = options.layout ?? ngraf023Layout(options.namespace);
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const rest = (store: StoreName) => ({
    scale,
    layout,
    signal,
    report: (unit: string, written: number) => {
      const done = (sofar[unit] ?? 0) + written;
      sofar[unit] = done;
      options.onProgress?.({ store, unit, done, total: totals[unit] ?? done });
    },
  });

  const driver = neo4j.driver(
    options.neo4j.uri,
    neo4j.auth.basic(options.neo4j.username, options.neo4j.password),
  );
  const redis = connectRedis(options.redis);
  const writers = [
    writeGraph(driver, options.neo4j.database, blueprint, rest('graph')),
    writeVectors(options.qdrant, blueprint, rest('vectors')),
    writeKeys(redis, blueprint, rest('kv')),
  ];
  try {
    await Promise.all(writers);
  } catch (error) {
    // Stops the others and waits for them, so that no writes happen after this function has failed.
    stop.abort(error);
    await Promise.allSettled(writers);
    throw error;
  } finally {
    redis.disconnect();
    await driver.close();
  }
  return counts;
}

/** A client that fails quickly if the server does not answer. The caller disconnects it. */
export function connectRedis({ url, username, password }: Connections['redis']): Redis {
  return new Redis(url, {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    maxRetriesPerRequest: 2,
  });
}
