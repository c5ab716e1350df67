import Box from '@cloudscape-design/components/box';
import Header from '@cloudscape-design/components/header';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import { count } from '../../cli/format.ts';
import type { BackupDetails } from '../../shared/catalog/summaries.ts';

/** References between the stores of a backup, as its verification counted them. */
export function References({ references }: { references: NonNullable<BackupDetails['references']> }) {
  return (
    <Table
      variant="container"
      // Values may be long, and must not be truncated.
      wrapLines
      header={
        <Header
          variant="h2"
          description="How the stores of this backup refer to each other. The other end of a dangling reference is not in the backup."
        >
          References
        </Header>
      }
      items={references}
      trackBy="reference"
      columnDefinitions={[
        {
          id: 'reference',
          header: 'Reference',
          isRowHeader: true,
          minWidth: 200,
          cell: ({ reference }) => <bdi className="anywhere">{reference}</bdi>,
        },
        { id: 'total', header: 'Values', cell: ({ total }) => count(total) },
        {
          id: 'dangling',
          header: 'Dangling',
          minWidth: 180,
          cell: ({ dangling, checked, total, complete }) => (
            <StatusIndicator type={dangling > 0 ? 'warning' : 'success'}>
              {count(dangling)}
              {(checked < total || !complete) && ` of ${count(checked)} checked`}
            </StatusIndicator>
          ),
        },
        {
          id: 'samples',
          header: 'Examples',
          cell: ({ samples }) => <bdi className="anywhere">{samples.join(', ') || '–'}</bdi>,
        },
      ]}
      empty={<Box>None</Box>}
    />
  );
}
