import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import ExpandableSection from '@cloudscape-design/components/expandable-section';
import Header from '@cloudscape-design/components/header';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Table from '@cloudscape-design/components/table';
import type { ReactNode } from 'react';
import { count } from '../../cli/format.ts';
import type { ComparedKind, ComparedStore } from '../../shared/stores/comparison/result.ts';
import { Tally } from '../job/restore-result.tsx';

interface Row extends ComparedKind {
  readonly store: string;
  /** True if only the numbers of both sides are known. */
  readonly isCounted: boolean;
}

/** The result of a comparison of records: numbers by kind, names of some records, and what was not compared. */
export function ComparisonTable({
  stores,
  title,
  before,
  after,
  keeps = false,
}: {
  stores: readonly ComparedStore[];
  title: ReactNode;
  /** What the two sides are called. */
  before: string;
  after: string;
  /** Records that only the first side has are kept. */
  keeps?: boolean;
}) {
  const rows = stores.flatMap(({ store, kinds, not_compared }) =>
    kinds.map(
      (kind): Row => ({
        ...kind,
        store,
        isCounted: not_compared !== undefined || kind.limited?.by === 'counts',
      }),
    ),
  );
  const limits = stores.flatMap(limitsOf);
  return (
    <SpaceBetween size="m">
      {limits.length > 0 && (
        <Alert type="warning" header="Not everything was compared by content">
          <ul className="plain">
            {limits.map((text) => (
              <li key={text}>
                <bdi>{text}</bdi>
              </li>
            ))}
          </ul>
        </Alert>
      )}
      <Table
        variant="container"
        wrapLines
        header={<Header variant="h2">{title}</Header>}
        items={rows}
        trackBy={({ store, kind }) => `${store} ${kind}`}
        columnDefinitions={[
          {
            id: 'what',
            header: 'Item',
            isRowHeader: true,
            cell: ({ store, kind }) => <Tally store={store} name={kind} />,
          },
          { id: 'before', header: before, cell: (row) => count(row.before) },
          { id: 'after', header: after, cell: (row) => count(row.after) },
          { id: 'added', header: 'Added', cell: (row) => known(row, row.added.count) },
          {
            id: 'changed',
            header: 'Changed',
            cell: (row) => (row.limited?.by === 'identities' ? 'unknown' : known(row, row.changed.count)),
          },
          {
            id: 'removed',
            header: keeps ? 'Kept' : 'Removed',
            cell: (row) => known(row, row.removed.count),
          },
        ]}
        empty={<Box>There are no records.</Box>}
      />
      {rows.map((row) => (
        <Samples key={`${row.store} ${row.kind}`} row={row} keeps={keeps} />
      ))}
    </SpaceBetween>
  );
}

function known({ isCounted }: Row, number: number): string {
  return isCounted ? 'unknown' : count(number);
}

function limitsOf({ store, kinds, not_compared }: ComparedStore): string[] {
  if (not_compared !== undefined) return [`${store} was compared by counts only: ${not_compared}`];
  return kinds.flatMap(({ kind, limited }) =>
    limited
      ? [
          `${store} ${kind} was compared ${limited.by === 'counts' ? 'by counts only' : 'without changes within records'}: ${limited.reason}`,
        ]
      : [],
  );
}

/** The names of some records of one kind, by change. */
function Samples({ row, keeps }: { row: Row; keeps: boolean }) {
  const changes = [
    ['Added', row.added],
    ['Changed', row.changed],
    [keeps ? 'Kept' : 'Removed', row.removed],
  ] as const;
  const found = changes.filter(([, { samples }]) => samples.length > 0);
  if (found.length === 0) return null;
  return (
    <ExpandableSection
      headerText={
        <>
          Names: <Tally store={row.store} name={row.kind} />
        </>
      }
    >
      {found.map(([label, { count: number, samples }]) => (
        <div key={label}>
          <Box fontWeight="bold">
            {label}: {number > samples.length ? `${samples.length} of ${count(number)}` : count(number)}
          </Box>
          <ul className="plain">
            {samples.map((name, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: two records can have the same name, and none moves
              <li key={at}>
                <bdi className="anywhere">{name}</bdi>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </ExpandableSection>
  );
}
