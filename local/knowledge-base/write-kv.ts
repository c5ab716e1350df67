import type { Redis } from 'ioredis';
import { batches } from './batches.ts';
import type { Blueprint } from './blueprint.ts';
import { keys } from './copies.ts';
import type { Layout } from './layout.ts';

/** Keys in one pipeline. */
const BATCH = 500;

/** Writes the key-value data: JSON strings, in some namespaces with a time to live. */
export async function writeKeys(
  redis: Redis,
  blueprint: Blueprint,
  options: {
    scale: number;
    layout: Layout;
    report: (unit: string, written: number) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  for (const batch of batches(keys(blueprint, options.scale, options.layout), BATCH)) {
    options.signal.throwIfAborted();
    const pipeline = redis.pipeline();
    for (const { key, value, ttlSeconds } of batch) {
      if (ttlSeconds === undefined) pipeline.set(key, value);
      else pipeline.set(key, value, 'EX', ttlSeconds);
    }
    for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
    options.report('keys', batch.length);
  }
}
