import type { PostgresClient } from './client.ts';
import type { PostgresScope } from './scope.ts';

/** Sizes of pieces of work, smaller in tests. */
export interface Limits {
  /** Bytes after which an entry of rows is closed. */
  readonly entryBytes: number;
  /** Rows that a verification looks up at once. */
  readonly pageRows: number;
  /** The same in bytes. */
  readonly pageBytes: number;
}

export const LIMITS: Limits = { entryBytes: 8 * 1024 ** 2, pageRows: 500, pageBytes: 1024 ** 2 };

/** One scope of one server. */
export interface PostgresSite {
  readonly client: PostgresClient;
  readonly scope: PostgresScope;
  readonly limits: Limits;
}
