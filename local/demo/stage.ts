import { join } from 'node:path';
import type { Proof } from '../proof/proof.ts';
import { DemoFailedError } from './follow.ts';
import type { RunningSystem } from './system.ts';

/** The configured target, whose name confirms that it may be overwritten. */
export const TARGET = 'default';
/** Number of differences that are shown as a sample. */
export const SAMPLES = 5;

/** Shared by all steps of the demo. */
export interface DemoContext {
  readonly system: RunningSystem;
  readonly scale: number;
  /** A folder for downloads and readings. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Reads all stores independently; the details are stored under this name. */
export function readStores(stage: DemoContext, name: string): Promise<Proof> {
  return stage.system.read(join(stage.folder, name));
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
