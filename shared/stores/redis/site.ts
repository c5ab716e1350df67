import type { RedisClient } from './client.ts';
import type { Limits } from './keys.ts';
import type { KeyReader } from './read.ts';
import type { KeySpace } from './scope.ts';
import type { ServerFacts } from './server.ts';

/** The keys of a target, with the capabilities of their server. */
export interface RedisSite {
  readonly client: RedisClient;
  readonly space: KeySpace;
  readonly facts: ServerFacts;
  readonly reader: KeyReader;
  /** Smaller key windows, for tests. */
  readonly limits: Limits | undefined;
}
