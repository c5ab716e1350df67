import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { NgbakError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
import type { StoreProof } from '../proof.ts';
import type { Neo4jServer } from './server.ts';

/** How often the last transaction is read until it is applied and no other was committed meanwhile. */
const TRIES_MAX = 5;

/** The columns of `SHOW DATABASES` that identify a database and its start. */
const Row = z.object({
  name: z.string(),
  type: z.literal('standard'),
  currentStatus: z.literal('online'),
  writer: z.literal(true),
  databaseID: z.string().min(1),
  serverID: z.string().min(1),
  lastStartTime: z.custom<object>((value) => typeof value === 'object' && value !== null),
});
/** The process of the server: `pid@host`, and its start in ms since 1970. */
const Process = z.object({ process: z.string().min(1), started: z.union([z.bigint(), z.int()]) });
type Database = z.infer<typeof Row> & z.infer<typeof Process>;

/**
 * Proves that no transaction was committed in a database: it is the same database of the same process, it was not
 * stopped, and its last transaction is the same. Every change of a database is a transaction of its log, including
 * changes of the schema. Loading a dump, restoring a backup and replacing the files need a stopped database, and a copy
 * of the files needs another process, so a start time differs then, even if all ids and transactions are equal. The
 * Community Edition records the start of a database only when it is created, hence the start of the process as well.
 *
 * There is no proof for members of a cluster, because reads may be answered by a member that lags behind, and if the
 * user may not see these values.
 */
export async function proveGraph(
  server: Neo4jServer,
  { signal }: Pick<LegContext, 'signal'>,
): Promise<StoreProof> {
  const { edition, version } = await server.version(signal);
  const before = await readDatabase(server, signal);
  if (typeof before === 'string') return { reason: before };
  const last = await readLastTransaction(server, signal);
  if (last === undefined) return { reason: 'transactions were committed while the last one was read' };
  // The driver repeats a query after a lost connection, so the server may have restarted in between.
  if (!isDeepStrictEqual(await readDatabase(server, signal), before)) {
    return { reason: 'the database was restarted while its last transaction was read' };
  }
  return {
    values: {
      server: `${before.serverID}, ${edition} ${version}`,
      process: `${before.process}, started ${before.started}`,
      database: `${before.name} ${before.databaseID}, started ${String(before.lastStartTime)}`,
      last_transaction: last,
      indexes: await describeIndexes(server, signal),
    },
  };
}

/**
 * The bookmark of the last transaction, at a moment when all transactions were applied: a bookmark states what was
 * committed, and the server waits until it is applied if a query requires it. Undefined if others were committed
 * meanwhile each time.
 */
async function readLastTransaction(server: Neo4jServer, signal: AbortSignal): Promise<string | undefined> {
  const read = async (after: readonly string[]) =>
    (await server.readMarked('reading its last transaction', 'RETURN 1', {}, signal, after)).bookmark;
  let last = await read([]);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const next = await read([last]);
    if (next === last) return last;
    last = next;
  }
  return undefined;
}

/** How many indexes are in each state, which a backup reports: it changes without a transaction. */
async function describeIndexes(server: Neo4jServer, signal: AbortSignal): Promise<string> {
  const rows = await server.read('reading the states of its indexes', 'SHOW INDEXES YIELD state', {}, signal);
  const states = Map.groupBy(rows, ({ state }) => String(state));
  return [...states]
    .map(([state, those]) => `${those.length} ${state}`)
    .sort()
    .join(', ');
}

/** The database of the connection, or the reason why it is not known. */
async function readDatabase(server: Neo4jServer, signal: AbortSignal): Promise<Database | string> {
  try {
    const [info] = await server.read(
      'asking which database it is',
      'CALL db.info() YIELD name RETURN name',
      {},
      signal,
    );
    const rows = await server.read(
      'asking for the start of its database',
      'SHOW DATABASES YIELD * WHERE name = $name',
      { name: String(info?.name) },
      signal,
    );
    if (rows.length > 1) return 'the database has several members, and one that lags behind may be read';
    const row = Row.safeParse(rows[0]).data;
    if (!row) return 'the server does not tell the ids and the start of its database to this user';
    const [runtime] = await server.read(
      'asking for the start of its process',
      `CALL dbms.queryJmx('java.lang:type=Runtime') YIELD attributes
       RETURN attributes.Name.value AS process, attributes.StartTime.value AS started`,
      {},
      signal,
    );
    const running = Process.safeParse(runtime).data;
    return running
      ? { ...row, ...running }
      : 'the server does not tell the start of its process to this user';
  } catch (error) {
    // The user may not call the procedure, or the version lacks it. What else is wrong is found by the measurement.
    if (!(error instanceof NgbakError) || error.retryable) throw error;
    return `the start of its database cannot be read: ${error.message}`;
  }
}
