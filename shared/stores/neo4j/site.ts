import type { RestoreInput } from '../restore-leg.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer, ServerVersion } from './server.ts';

/** Everything a leg of a restore works with. */
export interface Neo4jSite extends RestoreInput {
  readonly server: Neo4jServer;
  readonly scope: ScopeText;
  readonly version: ServerVersion;
}
