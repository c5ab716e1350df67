import type { EntryReader } from '../../archive/format/types.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { Subset } from '../../core/subset.ts';
import type { Route, RouteRequest } from '../route.ts';
import { definitionsOf } from './archive.ts';
import type { TableDefinition } from './definition.ts';
import type { PostgresScope } from './scope.ts';

/** Number of renamed workspaces that the changes list. */
const CHANGES_SHOWN_MAX = 20;

/** Narrows a scope to tables (`namespaces`) and to workspaces (`key_prefixes`, as whole values). */
export function narrowTables(
  scope: PostgresScope,
  { namespaces, key_prefixes: values }: Subset,
): PostgresScope {
  const outside = namespaces?.find((name) => scope.only?.includes(name) === false);
  if (outside !== undefined) {
    throw new InvalidInputError(`The target's scope has no table "${outside}".`, {
      remedy: `Choose from: ${scope.only?.join(', ')}.`,
    });
  }
  const { workspace } = scope;
  if (values !== undefined) {
    if (!workspace) throw refused(WHOLE_TABLES, 'Choose tables as namespaces, or the store as a whole.');
    requireValues(workspace.in, values, "the target's scope");
  }
  return {
    ...scope,
    ...(namespaces === undefined ? {} : { only: [...namespaces] }),
    ...(workspace && values ? { workspace: { ...workspace, in: [...values] } } : {}),
  };
}

/** Tables that were chosen, and are not among those that are counted; and workspaces without any row. */
export function lacksTables(
  { namespaces = [], key_prefixes: values }: Subset,
  counts: Readonly<Record<string, number>>,
): string[] {
  const isEmpty = Object.entries(counts).every(([name, count]) => count === 0 || !name.startsWith('rows:'));
  return [
    ...namespaces
      .filter((name) => counts[`rows:${name}`] === undefined)
      .map((name) => `table "${name}" with rows`),
    ...(values && isEmpty ? [`row of ${values.map((value) => `"${value}"`).join(' or ')}`] : []),
  ];
}

/**
 * Decides into which workspaces of the target the rows are restored. The configuration alone determines them; a request
 * can only narrow them. Throws InvalidInputError if it is not clear which value becomes which.
 */
export async function routeTables(
  archive: EntryReader,
  saved: PostgresScope | undefined,
  target: PostgresScope,
  { only, rename, origin, sameProfile }: RouteRequest,
): Promise<Route<PostgresScope>> {
  if (rename.key_prefix !== undefined) {
    throw refused(
      'rows of tables have no prefix that could be renamed',
      'Rename with the parameters of the profile (rename.parameters), or restore into a target with another workspace.',
    );
  }
  const tables = only.namespaces && (await chosenTables(archive, only.namespaces));
  const values = workspacesOf(saved, target, only, sameProfile);
  const renamed = [...values].filter(([from, to]) => from !== to);
  const column = target.workspace?.column ?? '';
  if (renamed.length > 0) await requireRenamable(archive, column);
  const isNarrowed = only.key_prefixes !== undefined;
  return {
    saved,
    scope: {
      ...target,
      ...(tables === undefined ? {} : { only: tables }),
      ...(target.workspace && values.size > 0
        ? { workspace: { column, in: [...new Set(values.values())] } }
        : {}),
    },
    names: Object.fromEntries(values),
    ...(origin === undefined ? {} : { origin }),
    changes: [
      ...(saved && saved.schema !== target.schema
        ? [`schema "${saved.schema}" becomes "${target.schema}"`]
        : []),
      ...(tables === undefined ? [] : [`only the tables ${tables.join(', ')}`]),
      ...(isNarrowed ? [`only rows whose "${column}" is ${list(only.key_prefixes ?? [])}`] : []),
      ...renamed
        .slice(0, CHANGES_SHOWN_MAX)
        .map(([from, to]) => `${column} ${JSON.stringify(from)} becomes ${JSON.stringify(to)}`),
      ...(renamed.length > CHANGES_SHOWN_MAX ? [`and ${renamed.length - CHANGES_SHOWN_MAX} more`] : []),
    ],
  };
}

/** From the workspaces in the archive to those at the destination; empty for whole tables. */
function workspacesOf(
  saved: PostgresScope | undefined,
  target: PostgresScope,
  { key_prefixes: chosen }: Subset,
  sameProfile: boolean,
): ReadonlyMap<string, string> {
  const { workspace: to } = target;
  const from = saved?.workspace;
  if (!to) {
    if (chosen !== undefined)
      throw refused(WHOLE_TABLES, 'Choose tables as namespaces, or the store as a whole.');
    if (!from) return new Map();
    throw new InvalidInputError(
      `The archive has only the rows of some values of "${from.column}", but the scope of the target is whole tables.`,
      { remedy: 'Set "workspace" in the scope of the target to the same column and values, and deploy.' },
    );
  }
  if (from && from.column !== to.column) {
    throw refused(
      `the archive has rows by "${from.column}", and the target by "${to.column}"`,
      'Restore into a target whose scope has the same column.',
    );
  }
  if (from && chosen) requireValues(from.in, chosen, 'the archive');
  const wanted = chosen ?? from?.in;
  if (!wanted) {
    if (saved === undefined) return new Map();
    throw refused(
      `the archive has whole tables, and the target only rows whose "${to.column}" is ${list(to.in)}`,
      'Choose the values to restore (only.key_prefixes), or restore into a target of whole tables.',
    );
  }
  return destinations(wanted, to.in, sameProfile && chosen === undefined);
}

/** The same values if the target has them, otherwise those in the same positions. */
function destinations(
  wanted: readonly string[],
  present: readonly string[],
  samePositions: boolean,
): ReadonlyMap<string, string> {
  const common = wanted.filter((value) => present.includes(value));
  if (common.length === wanted.length) return new Map(wanted.map((value) => [value, value]));
  const isClear =
    wanted.length === present.length &&
    new Set([...wanted, ...present]).size === 2 * wanted.length &&
    (wanted.length === 1 || samePositions);
  if (isClear) return new Map(wanted.map((value, at) => [value, present[at] ?? value]));
  throw refused(
    `the archive has rows of ${list(wanted)}, and the target of ${list(present)}: it is not clear which value becomes which`,
    'Restore into a target with all of these values, or one value (only.key_prefixes) into a target with one other.',
  );
}

async function chosenTables(archive: EntryReader, names: readonly string[]): Promise<string[]> {
  const tables = await definitionsOf(archive);
  for (const name of names) {
    const table = tables.find((one) => one.name === name);
    if (!table) {
      throw refused(
        `the archive has no table "${name}"`,
        `Choose from: ${tables.map((one) => one.name).join(', ')}.`,
      );
    }
    const outside = table.foreign_keys.find((key) => !names.includes(key.table));
    if (outside) {
      throw refused(`table "${name}" refers to "${outside.table}"`, `Choose "${outside.table}" as well.`);
    }
  }
  return [...names];
}

/** Computed values are compared with the archive, so that they must not depend on what is renamed. */
async function requireRenamable(archive: EntryReader, column: string): Promise<void> {
  const computed = ({ columns }: TableDefinition) =>
    columns.find(({ generated }) => generated?.as.includes(column));
  const table = (await definitionsOf(archive)).find(computed);
  if (!table) return;
  throw refused(
    `column "${computed(table)?.name}" of table "${table.name}" is computed from "${column}"`,
    'Restore under the same value.',
  );
}

function requireValues(held: readonly string[], chosen: readonly string[], where: string): void {
  const unknown = chosen.find((value) => !held.includes(value));
  if (unknown === undefined) return;
  throw refused(`${where} has no rows of ${JSON.stringify(unknown)}`, `Choose from: ${list(held)}.`);
}

const WHOLE_TABLES = 'the scope is whole tables, so that there are no workspaces to choose from';

function list(values: readonly string[]): string {
  const shown = values.slice(0, CHANGES_SHOWN_MAX).map((value) => JSON.stringify(value));
  return [...shown, ...(values.length > shown.length ? ['…'] : [])].join(', ');
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The rows cannot be saved or restored with these options: ${problem}.`, {
    remedy,
  });
}
