import { NgbakError } from '../../core/errors.ts';
import { compareReleases } from '../../core/release.ts';
import type { LoadOptions, RestoreInput } from '../restore-leg.ts';
import { definitionsOf } from './archive.ts';
import { type Attachment, leftOut, listTables, readAttachments, readDefinitions } from './catalog.ts';
import type { PostgresClient } from './client.ts';
import { conflictingRows } from './conflicts.ts';
import type { TableDefinition } from './definition.ts';
import { outsideScope } from './load.ts';
import type { PostgresScope } from './scope.ts';
import type { PostgresSite } from './site.ts';
import { keepsTables, rowsProblem, unchangeable } from './swap.ts';

/** Bytes that a table with its indexes takes, as a multiple of its rows in an archive. */
const TABLE_OVERHEAD = 2;

/** Checks, without writing, that an archive can be loaded: tables, extensions, rights, and what a load would lose. */
export async function admitPostgres(site: PostgresSite, restore: RestoreInput): Promise<readonly string[]> {
  const { client, scope } = site;
  const { archive, context } = restore;
  client.obey(context.signal);
  const tables = await definitionsOf(archive);
  const outside = outsideScope(scope, tables);
  if (outside !== undefined) return [`the archive ${outside}`];
  let needed = 0;
  for await (const { size } of archive.entries('kv/')) needed += size * TABLE_OVERHEAD;
  context.room?.({ of: 'disk', needed });
  const problems = [
    ...(await missingExtensions(client, tables, (text) => context.warn({ code: 'older-extension', text }))),
    ...(await missingRights(client, scope)),
    ...(await lostByReplacing({ client, scope }, tables, restore)),
  ];
  return problems.length > 0 ? problems : conflictingRows(site, tables, restore);
}

async function missingExtensions(
  client: PostgresClient,
  tables: readonly TableDefinition[],
  warn: (text: string) => void,
): Promise<string[]> {
  const wanted = new Map(
    tables.flatMap(({ extensions }) => extensions.map(({ name, version }) => [name, version])),
  );
  const found = await client.rows<{ name: string; installed: string | null }>(
    'SELECT name, installed_version AS installed FROM pg_available_extensions WHERE name = ANY ($1::text[])',
    [[...wanted.keys()]],
  );
  return [...wanted].flatMap(([name, version]) => {
    const extension = found.find((candidate) => candidate.name === name);
    if (!extension) return [`the server does not offer the extension "${name}" (saved with ${version})`];
    const { installed } = extension;
    if (installed === null)
      return [`the database lacks the extension "${name}": run CREATE EXTENSION "${name}"`];
    if ((compareReleases(installed, version) ?? 0) < 0) {
      warn(
        `The extension "${name}" has version ${installed}, older than ${version}, with which the archive was saved.`,
      );
    }
    return [];
  });
}

async function missingRights(client: PostgresClient, { schema }: PostgresScope): Promise<string[]> {
  const [server] = await client.rows<{ role: string; database: boolean; standby: boolean; only: string }>(
    `SELECT current_user AS role, has_database_privilege(current_database(), 'CREATE') AS database,
       pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only') AS only`,
  );
  const [place] = await client.rows<{ allowed: boolean }>(
    `SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE') AS allowed
     FROM pg_namespace WHERE nspname = $1`,
    [schema],
  );
  return [
    ...(server?.standby ? ['the server is a standby, which cannot be written'] : []),
    ...(server?.only === 'on' ? ['transactions of the role are read-only by default'] : []),
    ...(server?.database ? [] : [`the role "${server?.role}" lacks the right CREATE on the database`]),
    ...(place && !place.allowed
      ? [`the role "${server?.role}" lacks the right CREATE on the schema "${schema}"`]
      : []),
  ];
}

/** What tables of the scope would lose, or what would make their replacement fail. */
const LOST: Readonly<
  Record<
    Attachment['kind'],
    { readonly text: string; readonly whole: boolean; readonly rows: boolean } | undefined
  >
> = {
  trigger: { text: 'has the trigger', whole: true, rows: true },
  policy: { text: 'has the policy', whole: true, rows: false },
  rule: { text: 'has the rule', whole: true, rows: true },
  view: { text: 'is used by the view', whole: true, rows: false },
  reference: { text: 'is referred to by a table outside of the scope:', whole: true, rows: true },
  publication: { text: 'is in the publication', whole: true, rows: false },
  statistics: undefined,
  setting: undefined,
};

async function lostByReplacing(
  { client, scope }: Pick<PostgresSite, 'client' | 'scope'>,
  tables: readonly TableDefinition[],
  { options, context }: Pick<RestoreInput, 'options' | 'context'>,
): Promise<string[]> {
  const { tables: existing } = await listTables(client, scope);
  const attached = await readAttachments(client, existing);
  const rowsOnly = scope.workspace !== undefined;
  const overwrites = options.mode === 'merge' && options.onConflict === 'overwrite';
  const problems = attached.flatMap(({ table, kind, name }) => {
    const lost = LOST[kind];
    if (!lost || !(rowsOnly ? lost.rows : lost.whole)) return [];
    return [
      `table "${table}" ${lost.text} "${name}", which a restore cannot keep: drop it first, and create it again`,
    ];
  });
  if (!keepsTables(scope, options)) {
    const settings = attached.filter(({ kind }) => kind === 'setting' || kind === 'statistics');
    const names = settings.map(({ table, name }) => `${table}: ${name}`);
    const text = 'Tables that the restore replaces lose comments, storage parameters and statistics.';
    for (const warning of leftOut('settings-lost', text, names)) context.warn(warning);
  }
  const rights = await client.rows<{ name: string; allowed: boolean }>(
    `SELECT c.relname AS name, ${
      rowsOnly
        ? ['SELECT', 'INSERT', 'DELETE', ...(overwrites ? ['UPDATE'] : [])]
            .map((right) => `has_table_privilege(c.oid, '${right}')`)
            .join(' AND ')
        : "pg_has_role(c.relowner, 'USAGE')"
    } AS allowed FROM pg_class c WHERE c.oid = ANY ($1::oid[])`,
    [`{${existing.map(({ oid }) => oid).join(',')}}`],
  );
  const needs = rowsOnly
    ? `lacks the rights SELECT, INSERT${overwrites ? ', UPDATE' : ''} and DELETE on`
    : 'does not own';
  problems.push(
    ...rights
      .filter(({ allowed }) => !allowed)
      .map(({ name }) => `the role of the store ${needs} table "${name}"`),
  );
  if (keepsTables(scope, options) && existing.length > 0)
    problems.push(...(await rowProblems({ client, scope }, tables, existing, options)));
  return problems;
}

async function rowProblems(
  { client, scope }: Pick<PostgresSite, 'client' | 'scope'>,
  tables: readonly TableDefinition[],
  existing: readonly { oid: string; name: string }[],
  options: LoadOptions,
): Promise<string[]> {
  try {
    const present = await readDefinitions(client, scope, existing);
    const isPresent = ({ name }: TableDefinition) => present.some((table) => table.name === name);
    const staged = {
      whole: tables.filter((table) => !isPresent(table)),
      merged: tables.filter(isPresent),
    };
    const problem = rowsProblem(scope, staged, present, options);
    const overwrites = options.mode === 'merge' && options.onConflict === 'overwrite';
    return [
      ...(problem === undefined ? [] : [problem]),
      ...staged.merged.flatMap((table) => {
        const column = overwrites ? unchangeable(table) : undefined;
        if (column === undefined) return [];
        return [
          `column "${column}" of table "${table.name}" is GENERATED ALWAYS AS IDENTITY, so that its values cannot be overwritten: merge with "keep" or "fail", or replace`,
        ];
      }),
    ];
  } catch (error) {
    if (!(error instanceof NgbakError) || error.retryable) throw error;
    return [`${error.message} ${error.remedy}`];
  }
}
