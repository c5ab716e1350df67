import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import CollectionPreferences, {
  type CollectionPreferencesProps,
} from '@cloudscape-design/components/collection-preferences';
import Header from '@cloudscape-design/components/header';
import Pagination from '@cloudscape-design/components/pagination';
import PropertyFilter from '@cloudscape-design/components/property-filter';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Table, { type TableProps } from '@cloudscape-design/components/table';
import { useMemo, useRef, useState } from 'react';
import { count } from '../../cli/format.ts';
import type { BackupSummary } from '../../shared/catalog/summaries.ts';
import type { BackupList, ListBackupsInput } from '../../shared/operations/list-backups.ts';
import type { ApiClient } from '../api.ts';
import { COLUMNS } from '../backups/columns.tsx';
import {
  FILTERING_PROPERTIES,
  filteringOptions,
  filtersOf,
  parametersOf,
  tokensOf,
} from '../backups/filters.ts';
import { PAGE_SIZES, type TablePreferences, useTablePreferences } from '../backups/preferences.ts';
import { Deleted } from '../backups/row-actions.tsx';
import { blocked } from '../parts/blocked.ts';
import { Command, quoted } from '../parts/command.tsx';
import { Empty, Problem } from '../parts/states.tsx';
import type { PageProps } from '../router.ts';
import { href, navigate } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

const EVERY_MS = 30_000;
/** The API's largest page. */
const LARGE_PAGE = 1000;
/** Sorted by anything but time, the list is loaded completely, up to this number of backups. */
const SORTED_MAX = 5000;
const BY_TIME = 'time';

/** All backups: `#/backups?target=default&tag=weekly&page=2&cursor=…&sort=size`. Filters, order and page are in the address. */
export default function Backups({ route: { query } }: PageProps) {
  const { api } = useSession();
  const [preferences, setPreferences] = useTablePreferences();
  const [selected, setSelected] = useState<readonly BackupSummary[]>([]);
  const filters = filtersOf(query);
  const parameters = parametersOf(tokensOf(query));
  const sort = COLUMNS.find(({ id }) => id === query.get('sort')) ?? COLUMNS[0];
  const descending = query.get('order') !== 'up';
  const whole = sort?.id !== BY_TIME || !descending;
  const page = Math.max(1, Math.trunc(Number(query.get('page'))) || 1);
  const cursor = query.get('cursor') ?? undefined;
  const { pageSize } = preferences;
  const request = whole
    ? filters
    : { ...filters, limit: pageSize, ...(cursor === undefined ? {} : { cursor }) };
  const loaded = useData(
    JSON.stringify([whole, request]),
    (signal) => (whole ? listAll(api, filters, signal) : api.listBackups(request, signal)),
    EVERY_MS,
  );
  const deployment = useData('deployment', api.deployment);
  const { data, error } = loaded;

  /** The start of each visited page; reset by another filter or order. */
  const cursors = useRef(new Map<string, string | undefined>());
  const seen = (number: number) => `${JSON.stringify([parameters, pageSize])} ${number}`;
  cursors.current.set(seen(page), cursor);
  if (data?.next_cursor) cursors.current.set(seen(page + 1), data.next_cursor);

  const go = (changes: {
    page?: number;
    sort?: string | undefined;
    up?: boolean;
    filters?: Record<string, string>;
  }) => {
    const to = changes.page ?? 1;
    const start = whole ? undefined : cursors.current.get(seen(to));
    const order = { sort: changes.sort ?? sort?.id ?? BY_TIME, up: changes.up ?? !descending };
    navigate(
      href(['backups'], {
        ...(changes.filters ?? parameters),
        ...(order.sort === BY_TIME ? {} : { sort: order.sort }),
        ...(order.up ? { order: 'up' } : {}),
        // The start of a page that was not visited is unknown: the first page is shown instead.
        ...(to > 1 && (whole || start !== undefined) ? { page: String(to) } : {}),
        ...(to > 1 && start !== undefined ? { cursor: start } : {}),
      }),
    );
  };

  const items = useMemo(() => {
    const backups = data?.backups ?? [];
    if (!whole) return backups;
    const sorted = [...backups].sort(comparator(sort));
    if (descending) sorted.reverse();
    return sorted.slice((page - 1) * pageSize, page * pageSize);
  }, [data, whole, sort, descending, page, pageSize]);
  const total = data?.total ?? 0;
  const filtered = Object.keys(parameters).length > 0;
  const deleted = () => {
    setSelected([]);
    loaded.reload();
  };
  return (
    <SpaceBetween size="m">
      {error && <Problem error={error} retry={loaded.reload} />}
      {data && data.unreadable.length > 0 && (
        <Alert type="warning" header={`${data.unreadable.length} records can’t be read`}>
          {data.unreadable[0]?.problem} “ngbak list --rebuild” rebuilds the records from the archives.
        </Alert>
      )}
      <Deleted value={deleted}>
        <Table
          variant="full-page"
          stickyHeader
          stickyColumns={{ last: 1 }}
          items={items}
          trackBy="backup_id"
          loading={!data && !error}
          loadingText="Loading backups"
          wrapLines={preferences.wrapLines}
          columnDefinitions={COLUMNS.map((column) =>
            column.sortingField || column.sortingComparator ? column : { ...column, sortingDisabled: true },
          )}
          columnDisplay={preferences.contentDisplay}
          {...(sort ? { sortingColumn: sort } : {})}
          sortingDescending={descending}
          onSortingChange={({ detail }) =>
            go({
              sort: COLUMNS.find(
                (column) =>
                  column.sortingField === detail.sortingColumn.sortingField &&
                  column.sortingComparator === detail.sortingColumn.sortingComparator,
              )?.id,
              up: !detail.isDescending,
            })
          }
          selectionType="single"
          selectedItems={[...selected]}
          onSelectionChange={({ detail }) => setSelected(detail.selectedItems)}
          ariaLabels={{
            tableLabel: 'Backups',
            selectionGroupLabel: 'Choose a backup',
            itemSelectionLabel: (_, { backup_id }) => `Choose ${backup_id}`,
          }}
          header={<ListHeader total={data && total} chosen={selected[0]} />}
          filter={
            <PropertyFilter
              query={tokensOf(query)}
              onChange={({ detail }) => go({ filters: parametersOf(detail) })}
              filteringProperties={FILTERING_PROPERTIES}
              filteringOptions={filteringOptions(deployment.data?.targets ?? [], [
                ...new Set(data?.backups.flatMap(({ tags }) => tags)),
              ])}
              hideOperations
              disableFreeTextFiltering
              filteringPlaceholder="Filter by target, tag, time…"
              filteringAriaLabel="Filter the backups"
              {...(data && filtered ? { countText: `${count(total)} match` } : {})}
            />
          }
          pagination={
            <Pagination
              currentPageIndex={page}
              pagesCount={
                whole ? Math.max(1, Math.ceil(total / pageSize)) : page + (data?.next_cursor ? 1 : 0)
              }
              openEnd={!whole && data?.next_cursor !== undefined}
              onChange={({ detail }) => go({ page: detail.currentPageIndex })}
            />
          }
          preferences={<Preferences value={preferences} onChange={setPreferences} />}
          empty={error ? undefined : <NoBackups filtered={filtered} showAll={() => go({ filters: {} })} />}
          footer={<Command line={commandOf(parameters)} />}
        />
      </Deleted>
    </SpaceBetween>
  );
}

function ListHeader({ total, chosen }: { total: number | undefined; chosen: BackupSummary | undefined }) {
  const { refusal } = useSession();
  return (
    <Header
      variant="h1"
      {...(total === undefined ? {} : { counter: `(${count(total)})` })}
      actions={
        <SpaceBetween direction="horizontal" size="xs">
          <Button href={href(['backup', chosen?.backup_id ?? ''])} disabled={!chosen}>
            Details
          </Button>
          <Button
            href={href(['compare'], chosen ? { to: chosen.backup_id } : {})}
            {...blocked(refusal('diffBackups'))}
          >
            Compare
          </Button>
          <Button
            href={href(['restore'], chosen ? { backup: chosen.backup_id } : {})}
            disabled={!chosen}
            {...blocked(refusal('restore'))}
          >
            Restore
          </Button>
          <Button variant="primary" href={href(['create-backup'])} {...blocked(refusal('startBackup'))}>
            Create backup
          </Button>
        </SpaceBetween>
      }
    >
      Backups
    </Header>
  );
}

function Preferences({
  value,
  onChange,
}: {
  value: TablePreferences;
  onChange: (chosen: CollectionPreferencesProps.Preferences) => void;
}) {
  return (
    <CollectionPreferences
      title="Preferences"
      confirmLabel="Confirm"
      cancelLabel="Cancel"
      preferences={value}
      onConfirm={({ detail }) => onChange(detail)}
      pageSizePreference={{
        title: 'Page size',
        options: PAGE_SIZES.map((value) => ({ value, label: `${value} backups` })),
      }}
      wrapLinesPreference={{ label: 'Wrap lines', description: 'Show the full text of each cell' }}
      contentDisplayPreference={{
        title: 'Columns',
        options: COLUMNS.map(({ id, header }) => ({
          id,
          label: header,
          alwaysVisible: id === BY_TIME,
        })),
      }}
    />
  );
}

function NoBackups({ filtered, showAll }: { filtered: boolean; showAll: () => void }) {
  const { refusal } = useSession();
  if (filtered) {
    return <Empty title="No matching backups" action={<Button onClick={showAll}>Show all</Button>} />;
  }
  return (
    <Empty
      title="No backups yet"
      action={
        <Button href={href(['create-backup'])} {...blocked(refusal('startBackup'))}>
          Create backup
        </Button>
      }
    >
      Without a backup, nothing can be restored.
    </Empty>
  );
}

/** All matching backups, for orders that the API does not support. */
async function listAll(
  api: ApiClient,
  filters: Partial<ListBackupsInput>,
  signal: AbortSignal,
): Promise<BackupList> {
  let whole: BackupList | undefined;
  let cursor: string | undefined;
  do {
    const page = await api.listBackups(
      { ...filters, limit: LARGE_PAGE, ...(cursor === undefined ? {} : { cursor }) },
      signal,
    );
    whole = whole ? { ...page, backups: [...whole.backups, ...page.backups] } : page;
    cursor = page.next_cursor;
  } while (cursor !== undefined && whole.backups.length < SORTED_MAX);
  return whole;
}

function comparator(column: TableProps.SortingColumn<BackupSummary> | undefined) {
  const { sortingComparator, sortingField } = column ?? {};
  if (sortingComparator) return sortingComparator;
  return (a: BackupSummary, b: BackupSummary) => {
    const [left, right] = [a, b].map((backup) => backup[sortingField as keyof BackupSummary]);
    if (typeof left === 'number' && typeof right === 'number') return left - right;
    return String(left).localeCompare(String(right));
  };
}

function commandOf(filters: Record<string, string>): string {
  return ['ngbak list', ...Object.entries(filters).map(([name, value]) => `--${name} ${quoted(value)}`)].join(
    ' ',
  );
}
