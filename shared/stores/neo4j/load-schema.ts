import { setTimeout as sleep } from 'node:timers/promises';
import { Neo4jError } from 'neo4j-driver';
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
  isOfOthersToo,
  readSchema,
  type SchemaRow,
  type ServerRow,
  sameDefinition,
  schemaObstacle,
  servesOnly,
} from './schema.ts';
import type { Neo4jSite } from './site.ts';

/** Pause between two looks at indexes that are being filled, in milliseconds. */
const INDEX_POLL_MS = 500;
/** What every version's vector indexes have. */
const VECTOR_SETTINGS = ['vector.dimensions', 'vector.similarity_function'];
/** How the server refuses a provider or a setting that it does not know. */
const UNKNOWN_OPTION = 'Neo.ClientError.General.InvalidArguments';
/** The server's words for data that an index can't hold: the same data had no working index where it was saved. */
const DATA_TOO_LARGE = /too large to index/;

/**
 * Creates the constraints and indexes that are not there yet. What must not stop the restore is left out with a warning:
 * in a rollback everything, since data come first; otherwise what other scopes of the database may have as well.
 */
export async function loadSchema(site: Neo4jSite, book: TallyBook): Promise<void> {
  const { server, archive, context } = site;
  const archived = (await readArchivedSchema(archive)) ?? [];
  for (const row of archived) {
    const existing = (await readSchema(server, undefined, context.signal)).rows;
    if (!existing.some((other) => sameDefinition(row, other))) await createOrLeaveOut(site, row, existing);
    book.add('schema', canonicalSchema(row));
    context.progress('schema', archived.indexOf(row) + 1, archived.length);
  }
}

/** Whether a constraint or index may be missing after a restore: it is reported then. */
export function mayBeLeftOut(
  row: SchemaRow,
  { scope, context }: Pick<Neo4jSite, 'scope' | 'context'>,
): boolean {
  return context.asIs === true || isOfOthersToo(row, scope);
}

/** Reports constraints and indexes that the target does not have after a restore. */
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
    // Cut off while it was made, a constraint leaves its index behind, which nothing else removes.
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
    // What is missing is reported when the target is verified, whichever leg found it out.
    if (!canWait || !isRefusal(error)) throw error;
    context.log(`${row.type} "${row.name}" is left out: ${error.message}`);
  }
}

/** True for what the server says about this constraint or index; false where it can't be reached or is overloaded. */
function isRefusal(error: unknown): error is NgbakError {
  if (!(error instanceof NgbakError)) return false;
  // An unknown analyzer is an error inside the server, in its own words.
  return !error.retryable || codeOf(error) === 'Neo.DatabaseError.Statement.ExecutionFailed';
}

function codeOf({ cause }: NgbakError): string | undefined {
  return cause instanceof Neo4jError ? cause.code : undefined;
}

/** Creates it as the archive states it; with less where the server does not know a provider or setting. */
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
 * Whether the indexes that this restore made are filled; false where another leg has to wait for them. Indexes of others
 * are none of its business, whatever their state. One that could not be filled where it was saved need not be here.
 */
export async function areIndexesFilled(site: Neo4jSite): Promise<boolean> {
  const { server, scope, archive, options, context } = site;
  const own = ((await readArchivedSchema(archive)) ?? []).filter(
    (row) => row.type === 'index' && servesOnly(row, scope),
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
        // A merge does not know what the target's own index was like.
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
