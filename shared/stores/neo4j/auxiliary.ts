import { IntegrityError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
import { ID_PROPERTY, KEPT_PROPERTY, MERGED_PROPERTY, quote } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer, Parameters } from './server.ts';

/** Records whose marks are removed in one transaction. */
const TIDY_RECORDS = 10_000n;

/**
 * Number of concurrent batches, each in its own lane: the server works on one while the rows of the other are sent and
 * committed.
 */
export const LANES = 2;

/** Identifies the marker of a job's lane. Batches are assigned to lanes in turn. */
const laneName = (jobId: string, lane: number) => `${jobId}/${lane}`;

/** Runs a query within a write transaction. */
export type Run = (cypher: string, parameters?: Parameters) => Promise<Record<string, unknown>[]>;

/**
 * Creates the auxiliary objects of a load on the server: the index for finding the ends of relationships, and the
 * markers. First removes those left by an earlier restore of the same scope. Returns false if another leg has to
 * continue.
 */
export async function prepareLoad(
  server: Neo4jServer,
  scope: ScopeText,
  context: LegContext,
): Promise<boolean> {
  const { names } = scope;
  const { signal, jobId } = context;
  const markers = await server.read(
    'looking for its markers',
    `MATCH (m:${names.marker}) RETURN m.job AS job`,
    {},
    signal,
  );
  const lanes = Array.from({ length: LANES }, (_, lane) => laneName(jobId, lane));
  if (lanes.every((name) => markers.some(({ job }) => job === name))) return true;
  if (!(await tidyUp(server, scope, context))) return false;
  await server.schema(
    'preparing the load',
    `CREATE CONSTRAINT ${quote(`${names.schemaPrefix}loaded`)} IF NOT EXISTS
     FOR (n:${names.loaded}) REQUIRE n.${ID_PROPERTY} IS UNIQUE`,
    signal,
  );
  await server.schema(
    'preparing the load',
    `CREATE CONSTRAINT ${quote(`${names.schemaPrefix}marker`)} IF NOT EXISTS
     FOR (n:${names.marker}) REQUIRE n.job IS UNIQUE`,
    signal,
  );
  await server.write('preparing the load', signal, (run) =>
    run(`UNWIND $lanes AS lane MERGE (m:${names.marker} {job: lane}) ON CREATE SET m.batches = 0`, { lanes }),
  );
  return true;
}

/**
 * Loads one batch exactly once: the marker of its lane records how many of the lane's batches are committed, and is
 * updated in the batch's own transaction. A repeated leg, or a step that outlived its timeout, finds the batch
 * committed and skips it. Batches of different lanes may run concurrently; those of one lane must run one after the
 * other.
 *
 * @param batch number of the batch, from 0, the same in every leg
 * @returns the result of `work`, or undefined if the batch was already committed
 */
export async function commitBatch<T>(
  server: Neo4jServer,
  scope: ScopeText,
  context: LegContext,
  batch: number,
  work: (run: Run) => Promise<T>,
): Promise<T | undefined> {
  // Number of earlier batches in its lane.
  const before = Math.floor(batch / LANES);
  const parameters = { job: laneName(context.jobId, batch % LANES), batch: BigInt(before) };
  const marker = `MATCH (m:${scope.names.marker} {job: $job})`;
  return server.write('loading a batch', context.signal, async (run) => {
    // The first SET takes the lock, so the counter is read only after other writers have committed.
    const [moved] = await run(
      `${marker} SET m.lock = true WITH m WHERE m.batches = $batch SET m.batches = $batch + 1 RETURN m.batches AS batches`,
      parameters,
    );
    if (moved) return work(run);
    const [found] = await run(`${marker} RETURN m.batches AS batches`, parameters);
    if (Number(found?.batches ?? -1) > before) return undefined;
    throw new IntegrityError(
      `Neo4j of target "${server.target}" lost batches of this restore: it has ${found?.batches ?? 'none'} of a lane, but ${before} were loaded.`,
      { remedy: 'Check whether the server was reset to an older state, and start the restore again.' },
    );
  });
}

/**
 * Removes all of ngbak's marks, indexes and constraints from the scope. Returns false if another leg has to continue.
 */
export async function tidyUp(server: Neo4jServer, scope: ScopeText, context: LegContext): Promise<boolean> {
  const { names } = scope;
  // Marked relationships are found through the loaded nodes, so the marks on nodes are removed last.
  const work = [
    `MATCH (:${names.loaded})-[r]->() WHERE r.${MERGED_PROPERTY} IS NOT NULL WITH r LIMIT $records
     REMOVE r.${MERGED_PROPERTY} RETURN count(r) AS found`,
    `MATCH (n:${names.loaded}) WITH n LIMIT $records
     REMOVE n:${names.loaded}, n.${ID_PROPERTY}, n.${KEPT_PROPERTY} RETURN count(n) AS found`,
  ];
  for (const cypher of work) {
    for (let found = TIDY_RECORDS; found === TIDY_RECORDS; ) {
      const [row] = await server.write('removing the marks of the load', context.signal, (run) =>
        run(cypher, { records: TIDY_RECORDS }),
      );
      found = (row?.found as bigint | undefined) ?? 0n;
      if (found === TIDY_RECORDS && context.timeLeft() <= 0) return false;
    }
  }
  await dropOwnSchema(server, scope, context);
  await forgetBatches(server, scope, context.signal);
  return true;
}

/** Removes the markers: all batches are considered uncommitted again. */
export async function forgetBatches(
  server: Neo4jServer,
  { names }: ScopeText,
  signal: AbortSignal,
): Promise<void> {
  await server.write('removing its markers', signal, (run) => run(`MATCH (m:${names.marker}) DELETE m`));
}

async function dropOwnSchema(
  server: Neo4jServer,
  { names }: ScopeText,
  { signal }: LegContext,
): Promise<void> {
  const parameters = { prefix: names.schemaPrefix };
  for (const kind of ['CONSTRAINT', 'INDEX'] as const) {
    const plural = kind === 'INDEX' ? 'INDEXES' : 'CONSTRAINTS';
    const cypher = `SHOW ${plural} YIELD name WHERE name STARTS WITH $prefix RETURN name`;
    for (const { name } of await server.read('listing its auxiliary indexes', cypher, parameters, signal)) {
      await server.schema(
        'removing an auxiliary index',
        `DROP ${kind} ${quote(String(name))} IF EXISTS`,
        signal,
      );
    }
  }
}
