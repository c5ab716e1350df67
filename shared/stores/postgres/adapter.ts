import { BaseStore } from '../base-store.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { ExportStep, Shard, StoreProbe } from '../export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { StoreProof } from '../proof.ts';
import type { RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { admitPostgres } from './admits.ts';
import { PostgresCheck } from './check.ts';
import { PostgresClient } from './client.ts';
import { tablesComparison } from './comparison.ts';
import { PostgresConnection } from './connection.ts';
import { exportPostgres } from './export.ts';
import { postgresFacts } from './facts.ts';
import { foundNames } from './found-names.ts';
import { clearPostgres, dropStaging, loadPostgres } from './load.ts';
import { probePostgres, type Sought } from './probe.ts';
import { proveTables } from './proof.ts';
import { missingRows, rowValues } from './references.ts';
import { occupiedTables, removeTables } from './remove.ts';
import { lacksTables, narrowTables, routeTables } from './route.ts';
import { PostgresScope } from './scope.ts';
import { postgresOverlaps, postgresScratch } from './scratch.ts';
import { LIMITS, type Limits, type PostgresSite } from './site.ts';
import { queryTables, TablesQuestion, tablesQuestions } from './smoke.ts';
import { verifyPostgres } from './verify.ts';
import { viewTables } from './view.ts';

/** Tables in PostgreSQL 14 and later, with pgvector and other extensions. docs/stores/postgres.md describes it. */
export const postgresAdapter = defineAdapter({
  facts: postgresFacts,
  versionNotes: {
    newer: 'it may print definitions of tables differently, which a verification reports as a difference',
    older: 'definitions and types that it does not know are refused',
  },
  Connection: PostgresConnection,
  Scope: PostgresScope,
  create: (connection, scope, { target, ...sought }) =>
    new PostgresStore(connection, scope, target, undefined, sought),
  Smoke: TablesQuestion,
  questions: tablesQuestions,
  narrow: narrowTables,
  lacks: lacksTables,
  route: routeTables,
  view: viewTables,
  overlaps: postgresOverlaps,
  scratch: postgresScratch,
  check: (origin, from) => new PostgresCheck(origin, from),
  comparison: tablesComparison,
  values: (archive, _scope, what) => rowValues(archive, what),
});

/** The tables of one scope in one database. */
export class PostgresStore extends BaseStore {
  readonly #site: PostgresSite;

  readonly #sought: Sought;

  /**
   * @param limits  smaller pieces of work, for tests
   * @param sought  columns that a probe looks for, and those whose texts it counts
   */
  constructor(
    connection: PostgresConnection,
    scope: PostgresScope,
    target: string,
    limits: Limits = LIMITS,
    sought: Sought = {},
  ) {
    super(postgresAdapter);
    this.#sought = sought;
    this.#site = { client: new PostgresClient(connection, target), scope, limits };
  }

  probe(context: LegContext): Promise<StoreProbe> {
    return probePostgres(this.#site, context, this.#sought);
  }

  prove({ signal }: LegContext): Promise<StoreProof> {
    this.#site.client.obey(signal);
    return proveTables(this.#site);
  }

  override names({ signal }: LegContext): Promise<readonly string[]> {
    this.#site.client.obey(signal);
    return foundNames(this.#site.client);
  }

  async *export(_shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    yield* exportPostgres(this.#site, cursor, context);
  }

  override admits(restore: RestoreInput): Promise<readonly string[]> {
    return admitPostgres(this.#site, restore);
  }

  clear(leg: RestoreLeg): Promise<LegResult> {
    return clearPostgres(this.#site, leg);
  }

  load(leg: RestoreLeg): Promise<LegResult> {
    return loadPostgres(this.#site, leg);
  }

  verify(leg: RestoreLeg): Promise<VerifyResult> {
    return verifyPostgres(this.#site, leg);
  }

  override missing(
    what: { readonly thing: string; readonly field: string; readonly isOptional?: boolean },
    values: readonly string[],
    context: LegContext,
  ): Promise<string[] | undefined> {
    return missingRows(this.#site.client, this.#site.scope, what, values, context);
  }

  override smoke(question: unknown, context: LegContext): Promise<string> {
    return queryTables(this.#site, question, context);
  }

  override async occupied({ signal }: LegContext): Promise<readonly string[]> {
    this.#site.client.obey(signal);
    return occupiedTables(this.#site);
  }

  override async remove(context: LegContext): Promise<LegResult> {
    this.#site.client.obey(context.signal);
    await removeTables(this.#site);
    return this.finish(context);
  }

  override async finish(context: LegContext): Promise<LegResult> {
    this.#site.client.obey(context.signal);
    await dropStaging(this.#site.client, context);
    return DONE;
  }

  override close(): Promise<void> {
    return this.#site.client.close();
  }
}
