import { setTimeout as sleep } from 'node:timers/promises';
import { Neo4jError } from 'neo4j-driver-core';
import { IntegrityError, NgbakError } from '../../core/errors.ts';
import type { TallyBook } from '../tally-book.ts';
import { WARNING_SAMPLES_MAX } from '../warning.ts';
import { readArchivedSchema } from './entries.ts';
import { makeRoomFor } from './merge.ts';
import { quote } from './names.ts';
import {
  canonicalSchema,
  createStatement,
  isInPlaceOf,
  isInPlaceOfOneOf,
  isOfOthersToo,
  readSchema,
  type SchemaRow,
  type ServerRow,
  sameDefinition,
  schemaObstacle,
  servesOnly,
} from './schema.ts';
import type { Neo4jSite } from './site.ts';

/** Polling interval while indexes are being populated, in milliseconds. */
const INDEX_POLL_MS = 500;
/** Settings that vector indexes have in every version. */
const VECTOR_SETTINGS = ['vector.dimensions', 'vector.similarity_function'];
/** The server's error code for an unknown provider or setting. */
const UNKNOWN_OPTION = 'Neo.ClientError.General.InvalidArguments';
/**
 * The server's message for data that an index cannot hold: the source had no working index for the same data either.
 */
const DATA_TOO_LARGE = /too large to index/;

/**
 * Creates missing constraints and indexes. Those that must not fail the restore are skipped with a warning: all of them
 * in a rollback, where the data take priority; otherwise those that other scopes of the database may share.
 */
export async function loadSchema(site: Neo4jSite, book: TallyBook): Promise<void> {
  const { server, archive, context } = site;
  const archived = (await readArchivedSchema(archive)) ?? [];
  for (const row of archived) {
    const existing = (await readSchema(server, undefined, context.signal)).rows;
    const isThere = isInPlaceOfOneOf(archived, row) || existing.some((other) => sameDefinition(row, other));
    if (!isThere) await createOrLeaveOut(site, row, existing);
    book.add('schema', canonicalSchema(row));
    context.progress('schema', archived.indexOf(row) + 1, archived.length);
  }
}

/** Whether a constraint or index may be missing after a restore, in which case it is reported. */
export function mayBeLeftOut(
  row: SchemaRow,
  { scope, context }: Pick<Neo4jSite, 'scope' | 'context'>,
): boolean {
  return context.asIs === true || isOfOthersToo(row, scope);
}

/** Reports constraints and indexes that the target lacks after a restore. */
export function warnLeftOut(names: readonly string[], { context }: Pick<Neo4jSite, 'context'>): void {
  if (names.length === 0) return;
  context.warn({
    code: 'graph-schema-left-out',
    text: 'Constraints or indexes could not be created; the data is complete. Create them by hand: graph/schema.jsonl of the archive has their statements.',
    count: names.length,
    samples: names.slice(0, WARNING_SAMPLES_MAX),
  });
}

async function createOrLeaveOut(
  site: Neo4jSite,
  row: SchemaRow,
  existing: readonly ServerRow[],
): Promise<void> {
  const { server, options, version, context } = site;
  const canWait = mayBeLeftOut(row, site);
  if (canWait && schemaObstacle(row, version) !== undefined) return;
  try {
    if (options.mode === 'merge') await makeRoomFor(site, row);
    // An interrupted constraint creation leaves its index behind, which nothing else removes.
    const orphan = existing.find((other) => other.name === row.name && isInPlaceOf(row, other));
    if (orphan) {
      await server.schema(
        `removing the index of the unfinished constraint "${row.name}"`,
        `DROP INDEX ${quote(orphan.name)} IF EXISTS`,
        context.signal,
      );
    }
    await create(site, row);
  } catch (error) {
    // Missing constraints and indexes are reported by the verification, whichever leg skipped them.
    if (!canWait || !isRefusal(error)) throw error;
    context.log(`${row.type} "${row.name}" is left out: ${error.message}`);
  }
}

/** True if the server rejects this constraint or index; false if it is unreachable or overloaded. */
function isRefusal(error: unknown): error is NgbakError {
  if (!(error instanceof NgbakError)) return false;
  // The server reports an unknown analyzer as an internal error, which would otherwise be retryable.
  return !error.retryable || codeOf(error) === 'Neo.DatabaseError.Statement.ExecutionFailed';
}

function codeOf({ cause }: NgbakError): string | undefined {
  return cause instanceof Neo4jError ? cause.code : undefined;
}

/**
 * Creates a constraint or index as defined in the archive, without the provider or settings that the server does not
 * know.
 */
async function create({ server, context }: Neo4jSite, row: SchemaRow): Promise<void> {
  const { provider: _, ...usual } = row;
  const config = Object.fromEntries(
    Object.entries(row.config).filter(([name]) => row.kind !== 'VECTOR' || VECTOR_SETTINGS.includes(name)),
  );
  const variants = [row, usual, { ...row, config }, { ...usual, config }];
  const statements = [...new Set(variants.map(createStatement))];
  for (const [index, statement] of statements.entries()) {
    try {
      await server.schema(`creating ${row.type} "${row.name}"`, statement, context.signal);
    } catch (error) {
      const isLast = index === statements.length - 1;
      if (isLast || !(error instanceof NgbakError) || codeOf(error) !== UNKNOWN_OPTION) throw error;
      continue;
    }
    if (statement !== createStatement(row) && statement !== createStatement(usual)) {
      context.warn({
        code: 'graph-index-settings',
        text: 'Indexes were created without settings that the server does not know.',
        count: 1,
        samples: [row.name],
      });
    }
    return;
  }
}

function warnProviders(names: readonly string[], { context }: Pick<Neo4jSite, 'context'>): void {
  if (names.length === 0) return;
  context.warn({
    code: 'graph-index-provider',
    text: 'Indexes have another provider than when they were saved: the server does not offer the saved one.',
    count: names.length,
    samples: names.slice(0, WARNING_SAMPLES_MAX),
  });
}

/**
 * Whether the indexes created by this restore are populated; false if another leg has to wait for them. Ignores other
 * indexes, whatever their state. An index that could not be populated on the source may also fail here.
 */
export async function areIndexesFilled(site: Neo4jSite): Promise<boolean> {
  const { server, scope, archive, options, context } = site;
  const own = ((await readArchivedSchema(archive)) ?? []).filter(
    (row) => row.type === 'index' && (scope.property !== undefined || servesOnly(row, scope)),
  );
  for (;;) {
    const { rows } = await readSchema(server, undefined, context.signal);
    const waiting = own.flatMap((archived) =>
      rows
        .filter((row) => row.state !== 'ONLINE' && sameDefinition(archived, row))
        .map((row) => ({ archived, row })),
    );
    const failed = waiting.filter(({ row }) => row.state === 'FAILED');
    const unexpected = failed.find(
      ({ archived, row }) =>
        !archived.hasFailed &&
        // An index that other tenants share may have failed for their data.
        !isOfOthersToo(row, scope) &&
        // A merge does not know the state of the index in the target before the restore.
        options.mode === 'replace' &&
        context.asIs !== true &&
        !DATA_TOO_LARGE.test(row.failure),
    );
    if (unexpected) {
      const { name, failure } = unexpected.row;
      throw new IntegrityError(
        `Neo4j of target "${server.target}" could not fill index "${name}": ${failure}.`,
        {
          remedy: "Look into the server's log; drop the index or make room, and restore again.",
        },
      );
    }
    if (failed.length === waiting.length) {
      warnProviders(
        own.flatMap(({ provider, ...archived }) =>
          rows
            .filter(
              (row) => provider !== undefined && row.provider !== provider && sameDefinition(archived, row),
            )
            .map(({ name }) => name),
        ),
        site,
      );
      warnFailed(
        failed.map(({ row }) => row.name),
        site,
      );
      return true;
    }
    if (context.timeLeft() <= 0) return false;
    await sleep(INDEX_POLL_MS, undefined, { signal: context.signal });
  }
}

function warnFailed(names: readonly string[], { context }: Pick<Neo4jSite, 'context'>): void {
  if (names.length === 0) return;
  context.warn({
    code: 'graph-index-failed',
    text: 'Indexes are in state FAILED: the data is complete, but queries do not use these indexes. SHOW INDEXES gives the reason as failureMessage.',
    count: names.length,
    samples: names.slice(0, WARNING_SAMPLES_MAX),
  });
}
