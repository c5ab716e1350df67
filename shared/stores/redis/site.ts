import type { RedisClient } from './client.ts';
import type { Limits } from './keys.ts';
import type { KeyReader } from './read.ts';
import type { KeySpace } from './scope.ts';
import type { ServerFacts } from './server.ts';

/** The keys of a target, on a server that was asked what it can do. */
export interface RedisSite {
  readonly client: RedisClient;
  readonly space: KeySpace;
  readonly facts: ServerFacts;
  readonly reader: KeyReader;
  /** Smaller windows of keys, in tests. */
  readonly limits: Limits | undefined;
}
