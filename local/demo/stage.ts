import { join } from 'node:path';
import { ngraf023Layout } from '../knowledge-base/layout.ts';
import type { Connections } from '../knowledge-base/load.ts';
import { type Proof, readEverything } from '../proof/proof.ts';
import type { Stack } from '../stack.ts';
import { DemoFailedError } from './follow.ts';

/** The knowledge base is called so: label `GraphRAG_demo`. */
export const NAMESPACE = 'demo';
/** The configured target, and what confirms that it may be overwritten. */
export const TARGET = 'default';
export const LAYOUT = ngraf023Layout(NAMESPACE);
/** Differences that are shown as a sample. */
export const SAMPLES = 5;

/** What every step of the demo works with. */
export interface DemoContext {
  readonly stack: Stack;
  readonly connections: Connections;
  readonly scale: number;
  /** A folder for what the demo downloads and notes. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** How the stores of a stack are reached, field by field: the adapters refuse a secret that holds anything else. */
export function connectionsOf({ neo4j, qdrant, redis }: Stack): Connections {
  return {
    neo4j: { uri: neo4j.uri, username: neo4j.username, password: neo4j.password },
    qdrant: { url: qdrant.url, api_key: qdrant.apiKey },
    redis: { url: redis.url, password: redis.password },
  };
}

/** Reads all three stores independently; the details are kept under that name. */
export function readStores(stage: DemoContext, name: string): Promise<Proof> {
  return readEverything(stage.connections, { folder: join(stage.folder, name) });
}

/** How many nodes, relationships, points, keys and the like a reading found. */
export function countThings(proof: Proof): number {
  return Object.values(proof.parts).reduce((sum, part) => sum + part.count, 0);
}

/** A value that the deployed stack must have given. */
export function output(outputs: Readonly<Record<string, string>>, name: string): string {
  const value = outputs[name];
  if (value !== undefined) return value;
  throw new DemoFailedError(`The deployed stack has no output ${name}.`, { remedy: 'See infra/stack.ts.' });
}
