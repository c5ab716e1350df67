import Box from '@cloudscape-design/components/box';
import Header from '@cloudscape-design/components/header';
import StatusIndicator, { type StatusIndicatorProps } from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import type { BackupDetails } from '../../shared/catalog/summaries.ts';
import { Command } from '../parts/command.tsx';
import { Time } from '../parts/time.tsx';

type Copy = NonNullable<BackupDetails['copies']>[number];

const SIGNS: Readonly<Record<Copy['state'], [type: StatusIndicatorProps.Type, text: string]>> = {
  pending: ['pending', 'Pending'],
  complete: ['success', 'Complete'],
  failed: ['warning', 'Failed'],
  damaged: ['error', 'Damaged'],
};

/** The copies of a backup in other buckets. */
export function Copies({ backupId, copies }: { backupId: string; copies: readonly Copy[] }) {
  const [first] = copies;
  return (
    <Table
      header={<Header variant="h2">Copies</Header>}
      items={copies}
      trackBy="name"
      wrapLines
      columnDefinitions={[
        { id: 'name', header: 'Name', isRowHeader: true, cell: ({ name }) => name },
        {
          id: 'state',
          header: 'State',
          minWidth: 220,
          cell: ({ state, problem }) => (
            <>
              <StatusIndicator type={SIGNS[state][0]}>{SIGNS[state][1]}</StatusIndicator>
              {problem && (
                <Box fontSize="body-s">
                  <bdi>{problem}</bdi>
                </Box>
              )}
            </>
          ),
        },
        {
          id: 'place',
          header: 'Place',
          minWidth: 200,
          cell: ({ bucket, prefix }) => (
            <code className="anywhere">
              s3://{bucket}
              {prefix === undefined ? '' : `/${prefix}`}
            </code>
          ),
        },
        {
          id: 'class',
          header: 'Storage class',
          minWidth: 130,
          cell: ({ storage_class }) => storage_class ?? 'STANDARD',
        },
        {
          id: 'verified',
          header: 'Verified',
          cell: ({ verified_at }) => (verified_at === undefined ? 'Never' : <Time value={verified_at} />),
        },
        {
          id: 'expires',
          header: 'Expires',
          cell: ({ expires_at }) => (expires_at === undefined ? 'Not stated' : <Time value={expires_at} />),
        },
      ]}
      footer={first && <Command line={`ngbak verify ${backupId} --copy ${first.name}`} />}
    />
  );
}
