import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import Pagination from '@cloudscape-design/components/pagination';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import { useState } from 'react';
import { bytes } from '../../../cli/format.ts';
import { scopeText } from '../../backups/texts.tsx';
import { Empty, Problem } from '../../parts/states.tsx';
import { Time } from '../../parts/time.tsx';
import { href } from '../../router.ts';
import { useSession } from '../../session.tsx';
import { useData } from '../../use-data.ts';

const PAGE = 20;

/** The backups to choose from, a page at a time; a backup chosen on another page is shown above. */
export function BackupChoice({
  chosen,
  onChoose,
}: {
  chosen: string | undefined;
  onChoose: (id: string) => void;
}) {
  const { api } = useSession();
  /** Cursors of the visited pages; the first page has none. */
  const [cursors, setCursors] = useState<readonly (string | undefined)[]>([undefined]);
  const [page, setPage] = useState(0);
  const cursor = cursors[page];
  const query = { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) };
  const loaded = useData(`backups ${cursor ?? ''}`, (signal) => api.listBackups(query, signal));
  const { data, error } = loaded;
  const backups = data?.backups ?? [];
  const pages = data ? Math.max(1, Math.ceil(data.total / PAGE)) : cursors.length;
  const isOnOtherPage = chosen !== undefined && !backups.some(({ backup_id }) => backup_id === chosen);
  const next = () => {
    if (data?.next_cursor === undefined) return;
    setCursors([...cursors.slice(0, page + 1), data.next_cursor]);
    setPage(page + 1);
  };
  return (
    <SpaceBetween size="m">
      {error && <Problem error={error} retry={loaded.reload} />}
      {isOnOtherPage && (
        <Box>
          Chosen: <Link href={href(['backup', chosen])}>{chosen}</Link>
        </Box>
      )}
      <Table
        variant="container"
        selectionType="single"
        selectedItems={backups.filter(({ backup_id }) => backup_id === chosen)}
        onSelectionChange={({ detail }) => {
          const id = detail.selectedItems[0]?.backup_id;
          if (id !== undefined) onChoose(id);
        }}
        onRowClick={({ detail }) => onChoose(detail.item.backup_id)}
        ariaLabels={{
          selectionGroupLabel: 'Backup to restore',
          itemSelectionLabel: (_, { backup_id }) => `Choose ${backup_id}`,
          tableLabel: 'Backups',
        }}
        trackBy="backup_id"
        items={backups}
        loading={!data && !error}
        loadingText="Loading backups"
        wrapLines
        header={
          <Header variant="h2" {...(data ? { counter: `(${data.total})` } : {})}>
            Backup
          </Header>
        }
        pagination={
          pages > 1 ? (
            <Pagination
              currentPageIndex={page + 1}
              pagesCount={pages}
              // Pages are reached in sequence: a cursor is the start of the next page only.
              onPreviousPageClick={() => setPage(Math.max(0, page - 1))}
              onNextPageClick={next}
              onChange={({ detail }) => {
                if (detail.currentPageIndex - 1 < cursors.length) setPage(detail.currentPageIndex - 1);
              }}
              openEnd={false}
              ariaLabels={{ nextPageLabel: 'Older backups', previousPageLabel: 'Newer backups' }}
            />
          ) : undefined
        }
        columnDefinitions={[
          {
            id: 'time',
            header: 'Created',
            minWidth: 180,
            isRowHeader: true,
            cell: ({ created_at }) => <Time value={created_at} />,
          },
          { id: 'target', header: 'Target', cell: ({ target }) => <bdi>{target}</bdi> },
          {
            id: 'scope',
            header: 'Stores',
            cell: (backup) => <bdi>{scopeText(backup)}</bdi>,
          },
          { id: 'size', header: 'Size', minWidth: 90, cell: (backup) => bytes(backup.bytes) },
          {
            id: 'verified',
            header: 'Verification',
            minWidth: 130,
            cell: ({ verification }) =>
              verification.state === 'verified' ? (
                <StatusIndicator type="success">Verified</StatusIndicator>
              ) : (
                <StatusIndicator type="error">Damaged</StatusIndicator>
              ),
          },
          { id: 'tags', header: 'Tags', minWidth: 130, cell: ({ tags }) => <bdi>{tags.join(', ')}</bdi> },
        ]}
        empty={
          error ? undefined : (
            <Empty
              title="No backups yet"
              action={<Button href={href(['create-backup'])}>Create a backup</Button>}
            >
              You can still restore from a file.
            </Empty>
          )
        }
      />
    </SpaceBetween>
  );
}
