import pc from '../shared/core/colors.ts';
import type { FoundRecord, UnsearchedKind } from '../shared/stores/comparison/find-records.ts';
import { localTime, printable } from './format.ts';
import { table } from './output.ts';

/** One backup that was searched, and what it has. */
export interface Searched {
  readonly backup_id: string;
  readonly created_at: string;
  readonly records: readonly Omit<FoundRecord, 'json'>[];
  readonly unsearched: readonly UnsearchedKind[];
}

/** What became of one record in the searched backups. */
export interface RecordHistory {
  readonly store: string;
  readonly kind: string;
  readonly name: string;
  /** The oldest and the newest backup that have it. */
  readonly first: string;
  readonly last: string;
  /** The backups in which its content differs from that in the older backup before it. */
  readonly changed: readonly string[];
}

/** The history of each record that was found, from backups in any order. */
export function historyOf(searched: readonly Searched[]): RecordHistory[] {
  const oldestFirst = [...searched].sort(
    (one, other) => Date.parse(one.created_at) - Date.parse(other.created_at),
  );
  const found = oldestFirst.flatMap(({ backup_id, records }) =>
    records.map((record) => ({ backup_id, ...record })),
  );
  const groups = Map.groupBy(found, ({ store, identity }) => `${store} ${identity}`);
  return [...groups.values()].map((versions) => {
    const newest = versions[versions.length - 1];
    const changed = versions.filter(({ digest, backup_id }, at) => {
      const before = versions[at - 1];
      return before !== undefined && before.backup_id !== backup_id && before.digest !== digest;
    });
    return {
      store: newest?.store ?? '',
      kind: newest?.kind ?? '',
      name: newest?.name ?? '',
      first: versions[0]?.backup_id ?? '',
      last: newest?.backup_id ?? '',
      changed: changed.map(({ backup_id }) => backup_id),
    };
  });
}

/** The searched backups as a table, and the history of each record. */
export function historyText(wanted: string, searched: readonly Searched[], verbose: boolean): string {
  const rows = searched.flatMap(({ backup_id, created_at, records }) =>
    records.length === 0
      ? [[backup_id, localTime(created_at), '–', '']]
      : records.map(({ store, kind, name, digest }) => [
          backup_id,
          localTime(created_at),
          `${store} ${kind}: ${name}`,
          digest === null ? 'not readable' : digest.slice(0, verbose ? 64 : 12),
        ]),
  );
  const unsearched = new Set(
    searched.flatMap((backup) =>
      backup.unsearched.map(({ store, kind, reason }) => `${store} ${kind}: ${reason}`),
    ),
  );
  return [
    table(['backup', 'created', `record "${printable(wanted)}"`, 'content'], rows),
    ...historyOf(searched).map(({ name, first, last, changed }) =>
      printable(
        `${name}: first in ${first}, last in ${last}, ${changed.length === 0 ? 'never changed' : `changed in ${changed.join(', ')}`}`,
      ),
    ),
    ...[...unsearched].map((text) => `${pc.yellow('Not searched:')} ${printable(text)}`),
  ].join('\n');
}
