import { createHash } from 'node:crypto';
import type { StoreProbe } from '../export-step.ts';
import type { LegContext } from '../leg.ts';
import { MarkFinder } from '../marks.ts';
import type { StoreDependencies } from '../store.ts';
import type { StoreWarning } from '../warning.ts';
import {
  type Attachment,
  leftOut,
  listTables,
  readAttachments,
  readDefinitions,
  readSequences,
  rowsOf,
  savedTables,
} from './catalog.ts';
import type { PostgresClient } from './client.ts';
import { canonicalSequence, canonicalTable, type TableDefinition } from './definition.ts';
import { quoteName } from './names.ts';
import type { PostgresScope } from './scope.ts';
import type { PostgresSite } from './site.ts';

/** What a probe looks for: columns, and columns whose texts it counts. */
export type Sought = Pick<StoreDependencies, 'countedColumns' | 'marks'>;

/** One point in time for everything that is read, and no way to write. */
export const SNAPSHOT = 'ISOLATION LEVEL REPEATABLE READ READ ONLY';
/** The first version with all that is used. */
const OLDEST = 140_000;

/**
 * Counts all rows of the scope at one point in time. The fence is a sum over the physical version of each visible row:
 * any committed change of a row gives it another version.
 */
export async function probePostgres(
  { client, scope }: PostgresSite,
  { signal }: LegContext,
  { marks: requests = [], countedColumns = [] }: Sought = {},
): Promise<StoreProbe> {
  client.obey(signal);
  const version = await readVersion(client);
  return client.transaction(SNAPSHOT, async () => {
    const { tables, warnings } = await listTables(client, scope);
    const definitions = await readDefinitions(client, scope, tables);
    const saved = new Set(await savedTables(client, scope, definitions));
    const isSaved = (_: unknown, at: number) => saved.has(at);
    const sequences = await readSequences(client, scope.schema, definitions.filter(isSaved));
    const counts: Record<string, number> = { tables: saved.size };
    const digest = (lines: readonly string[]) =>
      createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
    const fence: Record<string, string> = { tables: digest(definitions.map(canonicalTable)) };
    let estimatedBytes = 0;
    for (const { name, bytes, rows } of tables.filter(isSaved)) {
      const [found] = await client.rows<{ count: string; versions: string }>(
        `SELECT count(*)::text AS count,
           coalesce(sum(hashtextextended(ctid::text || ' ' || xmin::text, 0)::numeric), 0)::text AS versions
         FROM ${rowsOf(scope, name)}`,
      );
      const count = Number(found?.count ?? 0);
      counts[`rows:${name}`] = count;
      fence[name] = `${count} rows, versions ${digest([found?.versions ?? ''])}`;
      const share = scope.workspace === undefined ? 1 : count / Math.max(rows, count, 1);
      estimatedBytes += Math.ceil(Number(bytes) * share);
    }
    if (sequences.length > 0) {
      counts.sequences = sequences.length;
      fence.sequences = digest(sequences.map(canonicalSequence));
    }
    const marks = new MarkFinder('column', requests);
    for (const { name, columns } of definitions)
      for (const column of columns) marks.see(`${name}.${column.name}`);
    const labels = await countTexts(client, scope, definitions.filter(isSaved), countedColumns);
    const attached = await readAttachments(client, tables);
    const all = [...warnings, ...attachmentWarnings(attached)];
    return {
      kind: 'postgres',
      version,
      counts,
      ...(requests.length === 0 ? {} : { marks: marks.found }),
      ...(countedColumns.length === 0 ? {} : { labels }),
      estimatedBytes,
      fence: { ...fence },
      warnings: all,
    };
  });
}

/** Most texts of a column that are counted, and what such a text consists of: it becomes the name of a statistic. */
const TEXTS_MAX = 20;
const COUNTED_TEXT = '^[a-z][a-z0-9_]{0,29}$';

/** Numbers of rows by the text in a column: `table.column=text`. Columns that do not exist have none. */
async function countTexts(
  client: PostgresClient,
  scope: PostgresScope,
  definitions: readonly TableDefinition[],
  counted: readonly string[],
): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const { name: table, columns } of definitions) {
    for (const { name } of columns.filter(({ name }) => counted.includes(`${table}.${name}`))) {
      const column = quoteName(name);
      const rows = await client.rows<{ text: string; count: string }>(
        `SELECT ${column}::text AS text, count(*)::text AS count
         FROM ${rowsOf(scope, table, `${column}::text ~ $1`)} GROUP BY 1 ORDER BY 1 LIMIT ${TEXTS_MAX}`,
        [COUNTED_TEXT],
      );
      for (const { text, count } of rows) found[`${table}.${name}=${text}`] = Number(count);
    }
  }
  return found;
}

/** Reads the version. Throws InvalidInputError for a server whose data could not be saved exactly. */
async function readVersion(client: PostgresClient): Promise<string> {
  const [server] = await client.rows<{ number: string; version: string; encoding: string }>(
    `SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS version,
       current_setting('server_encoding') AS encoding`,
  );
  const version = server?.version.split(' ')[0] ?? 'unknown';
  if (Number(server?.number) < OLDEST) {
    throw client.invalid(`has version ${version}; at least 14 is needed`, 'Upgrade the server.');
  }
  if (server?.encoding !== 'UTF8') {
    const remedy = 'Create the database with the encoding UTF8.';
    throw client.invalid(`has the encoding ${server?.encoding}; only UTF8 is supported`, remedy);
  }
  return version;
}

const LEFT_OUT: Readonly<Record<Attachment['kind'], string | undefined>> = {
  trigger: 'Triggers of tables are not saved.',
  policy: 'Row-level security of tables is not saved.',
  rule: 'Rules of tables are not saved.',
  statistics: 'Extended statistics of tables are not saved.',
  setting: 'Comments, storage parameters and indexes that are not valid are not saved.',
  view: undefined,
  reference: undefined,
  publication: undefined,
};

/** Warnings about what is attached to tables and is not saved. */
export function attachmentWarnings(attached: readonly Attachment[]): StoreWarning[] {
  return Object.entries(LEFT_OUT).flatMap(([kind, text]) => {
    const found = attached.filter((one) => one.kind === kind);
    if (text === undefined) return [];
    return leftOut(
      `${kind}-left-out`,
      text,
      found.map(({ table, name }) => `${table}: ${name}`),
    );
  });
}
