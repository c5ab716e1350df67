import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import Pagination from '@cloudscape-design/components/pagination';
import SegmentedControl from '@cloudscape-design/components/segmented-control';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import { useState } from 'react';
import { bytes, count } from '../../../cli/format.ts';
import type { Pruned } from '../../../shared/operations/prune.ts';
import { Empty } from '../../parts/states.tsx';
import { href } from '../../router.ts';

const PAGE = 50;

/** The decisions of a retention policy, with reasons for each backup. `counts`: whether it is the current policy. */
export function RetentionDecisions({ pruned, counts }: { pruned: Pruned; counts: boolean }) {
  const [show, setShow] = useState<'drop' | 'keep'>('drop');
  const [page, setPage] = useState(1);
  const { backups, bytes_freed, unreadable } = pruned;
  const rows = backups.filter(({ action }) => action === show);
  const dropped = backups.filter(({ action }) => action === 'drop').length;
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  return (
    <SpaceBetween size="m">
      <StatusIndicator type={dropped === 0 ? 'success' : 'info'}>
        {dropped === 0
          ? `All ${count(backups.length)} backups are kept.`
          : `${count(dropped)} of ${count(backups.length)} backups ${counts ? 'will be deleted by the next run' : 'would be deleted'} (${bytes(bytes_freed)}).`}
      </StatusIndicator>
      {unreadable.length > 0 && (
        <Alert type="warning">
          {count(unreadable.length)} records can’t be read; those backups are kept.
        </Alert>
      )}
      <Table
        variant="container"
        wrapLines
        trackBy="backup_id"
        items={rows.slice((page - 1) * PAGE, page * PAGE)}
        header={
          <Header
            variant="h2"
            counter={`(${count(rows.length)})`}
            actions={
              <SegmentedControl
                label="Backups to show"
                selectedId={show}
                onChange={({ detail }) => {
                  setShow(detail.selectedId === 'keep' ? 'keep' : 'drop');
                  setPage(1);
                }}
                options={[
                  { id: 'drop', text: 'Deleted' },
                  { id: 'keep', text: 'Kept' },
                ]}
              />
            }
          >
            Preview
          </Header>
        }
        pagination={
          pages > 1 ? (
            <Pagination
              currentPageIndex={page}
              pagesCount={pages}
              onChange={({ detail }) => setPage(detail.currentPageIndex)}
              ariaLabels={{ nextPageLabel: 'Next page', previousPageLabel: 'Previous page' }}
            />
          ) : undefined
        }
        columnDefinitions={[
          {
            id: 'backup',
            header: 'Backup',
            minWidth: 190,
            isRowHeader: true,
            cell: ({ backup_id }) => (
              <Link href={href(['backup', backup_id])}>
                <span className="anywhere">{backup_id}</span>
              </Link>
            ),
          },
          { id: 'target', header: 'Target', cell: ({ target }) => <bdi>{target}</bdi> },
          { id: 'size', header: 'Size', minWidth: 90, cell: (row) => bytes(row.bytes) },
          { id: 'why', header: 'Reasons', minWidth: 190, cell: ({ reasons }) => reasons.join('; ') },
        ]}
        empty={
          <Empty title={show === 'drop' ? 'No backups are deleted' : 'No backups are kept'}>
            <Box color="inherit">
              {show === 'drop' ? 'Every backup is kept by a rule.' : 'There are no backups.'}
            </Box>
          </Empty>
        }
      />
    </SpaceBetween>
  );
}
