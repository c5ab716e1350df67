import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import type { StoreProof } from '../proof.ts';
import { listTables, readDefinitions, readSequences } from './catalog.ts';
import type { PostgresClient } from './client.ts';
import { canonicalSequence } from './definition.ts';
import type { PostgresSite } from './site.ts';

/**
 * Identity of the server and of its last recovery. A crash of one process makes the server recover from its log without
 * a new start of it: transactions that were committed asynchronously are lost then, their numbers are used again, and
 * unlogged tables become empty. But no connection is accepted before a checkpoint at another place of the log.
 */
const IDENTITY = `SELECT s.system_identifier::text AS system, extract(epoch FROM pg_postmaster_start_time())::text AS started,
    c.timeline_id::text AS timeline, c.checkpoint_lsn::text AS checkpoint, c.redo_lsn::text AS redo,
    current_setting('server_version') AS version, d.oid::text AS database, pg_is_in_recovery() AS standby,
    version() LIKE 'PostgreSQL %' AND version() NOT LIKE '%-YB-%'
      AND NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'aurora_version')
      AND NOT EXISTS (SELECT FROM pg_settings WHERE name ~ '^(neon|alloydb|polar)[._]') AS known
  FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()`;

const Identity = z.object({
  system: z.string().min(1),
  /** Seconds since 1970, to the microsecond. */
  started: z.string().min(1),
  timeline: z.string().min(1),
  checkpoint: z.string().min(1),
  redo: z.string().min(1),
  version: z.string(),
  database: z.string().min(1),
  standby: z.boolean(),
  known: z.boolean(),
});
type Identity = z.infer<typeof Identity>;

/**
 * Proves that no transaction changed anything on a server. Every transaction that writes rows or definitions has a
 * number, of 64 bits and never given twice, until it ends; the snapshot of a query states the next one after those that
 * ended. So if no transaction with a number is in progress at either moment, and both snapshots are equal, there was
 * none between them. Only sequences advance without a number, and never back: their states are compared.
 *
 * The log position is not used: it advances without changes, and a commit is visible before it is written if
 * `synchronous_commit` is off. Counters of statistics are not used either: they arrive late, and can be reset.
 *
 * There is no proof for standbys, for servers that only resemble PostgreSQL, and for sequences that are unlogged or cycle,
 * which can be set to a former state without a number.
 */
export async function proveTables({ client, scope }: PostgresSite): Promise<StoreProof> {
  try {
    const before = await readIdentity(client);
    if (before.standby) return { reason: 'a standby also changes by replication' };
    if (!before.known) return { reason: 'it is not known how servers of this kind number transactions' };
    // Read before the snapshot: a transaction that begins later and is in progress at the second moment is seen there.
    const [writing] = await client.rows<{ count: string }>(
      "SELECT count(*)::text AS count FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock'",
    );
    const [found] = await client.rows<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
    const snapshot = found?.snapshot ?? '';
    if (writing?.count !== '0' || !/^(\d+):\1:$/.test(snapshot)) {
      return { reason: 'transactions that may write are in progress' };
    }
    const { tables } = await listTables(client, scope);
    const definitions = await readDefinitions(client, scope, tables);
    const sequences = definitions.flatMap(({ columns }) => columns.flatMap(({ sequence }) => sequence ?? []));
    const untraced = sequences.find(({ cycle, unlogged }) => cycle || unlogged);
    if (untraced) {
      return {
        reason: `sequence "${untraced.name}" is unlogged or cycles, so that it can return to a former state`,
      };
    }
    const states = await readSequences(client, scope.schema, definitions);
    if (!isDeepStrictEqual(await readIdentity(client), before)) {
      return { reason: 'the server recovered or made a checkpoint meanwhile' };
    }
    return { values: valuesOf(before, snapshot, states.map(canonicalSequence)) };
  } catch (error) {
    // The role may not call a function. What else is wrong is found by the measurement.
    if (!(error instanceof NgbakError) || error.retryable || error instanceof InvalidInputError) throw error;
    return { reason: `its state cannot be read: ${error.message}` };
  }
}

async function readIdentity(client: PostgresClient): Promise<Identity> {
  const [row] = await client.rows(IDENTITY);
  return Identity.parse(row);
}

function valuesOf(
  { system, started, timeline, checkpoint, redo, version, database }: Identity,
  snapshot: string,
  sequences: readonly string[],
): Readonly<Record<string, string>> {
  const digest = createHash('sha256').update(sequences.join('\n')).digest('hex').slice(0, 32);
  return {
    server: `${system}, version ${version}, started ${started}`,
    database,
    recovery: `timeline ${timeline}, checkpoint ${checkpoint}, redo ${redo}`,
    next_transaction: snapshot.split(':')[0] ?? '',
    sequences: `${sequences.length}, digest ${digest}`,
  };
}
