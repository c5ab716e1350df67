import { join } from 'node:path';
import { ngraf023Layout } from '../knowledge-base/layout.ts';
import type { Connections } from '../knowledge-base/load.ts';
import { type Proof, readEverything } from '../proof/proof.ts';
import type { Stack } from '../stack.ts';
import { DemoFailedError } from './follow.ts';

/** Namespace of the knowledge base: label `GraphRAG_demo`. */
export const NAMESPACE = 'demo';
/** The configured target, whose name confirms that it may be overwritten. */
export const TARGET = 'default';
export const LAYOUT = ngraf023Layout(NAMESPACE);
/** Number of differences that are shown as a sample. */
export const SAMPLES = 5;

/** Shared by all steps of the demo. */
export interface DemoContext {
  readonly stack: Stack;
  readonly connections: Connections;
  readonly scale: number;
  /** A folder for downloads and readings. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** The connections of a stack's stores, field by field: the adapters reject secrets with additional fields. */
export function connectionsOf({ neo4j, qdrant, redis }: Stack): Connections {
  return {
    neo4j: { uri: neo4j.uri, username: neo4j.username, password: neo4j.password },
    qdrant: { url: qdrant.url, api_key: qdrant.apiKey },
    redis: { url: redis.url, password: redis.password },
  };
}

/** Reads all three stores independently; the details are stored under this name. */
export function readStores(stage: DemoContext, name: string): Promise<Proof> {
  return readEverything(stage.connections, { folder: join(stage.folder, name) });
}

/** Total number of nodes, relationships, points, keys and other records in a reading. */
export function countThings(proof: Proof): number {
  return Object.values(proof.parts).reduce((sum, part) => sum + part.count, 0);
}

/** An output that the deployed stack must have. */
export function output(outputs: Readonly<Record<string, string>>, name: string): string {
  const value = outputs[name];
  if (value !== undefined) return value;
  throw new DemoFailedError(`The deployed stack has no output ${name}.`, { remedy: 'See infra/stack.ts.' });
}
