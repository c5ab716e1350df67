import type { EntryReader } from '../../archive/format/types.ts';
import type { LegContext, RestoreOptions } from '../store.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer, ServerVersion } from './server.ts';

/** What a leg of a restore works with. */
export interface Site {
  readonly server: Neo4jServer;
  readonly scope: ScopeText;
  readonly version: ServerVersion;
  readonly archive: EntryReader;
  readonly options: RestoreOptions;
  readonly context: LegContext;
}
