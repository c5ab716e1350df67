import Link from '@cloudscape-design/components/link';
import type { TableProps } from '@cloudscape-design/components/table';
import { bytes, count, duration } from '../../cli/format.ts';
import type { ListedBackup } from '../../shared/operations/list-backups.ts';
import { ReadableSign } from '../backup/storage.tsx';
import { Tags } from '../parts/tags.tsx';
import { Time } from '../parts/time.tsx';
import { href } from '../router.ts';
import { RowActions } from './row-actions.tsx';
import { countsText, GradeSign, retentionText, StateSign, scopeText, VerificationSign } from './texts.tsx';

interface Column extends TableProps.ColumnDefinition<ListedBackup> {
  readonly id: string;
  readonly header: string;
  /** Hidden by default. */
  readonly hidden?: true;
}

/** All columns of the list of backups. */
export const COLUMNS: readonly Column[] = [
  {
    id: 'time',
    header: 'Time',
    isRowHeader: true,
    sortingField: 'created_at',
    cell: ({ backup_id, created_at }) => (
      <Link href={href(['backup', backup_id])}>
        <Time value={created_at} />
      </Link>
    ),
    minWidth: 165,
  },
  {
    id: 'target',
    header: 'Target',
    sortingField: 'target',
    cell: ({ target }) => <bdi>{target}</bdi>,
  },
  {
    id: 'type',
    header: 'Type',
    sortingField: 'type',
    cell: ({ type }) => (type === 'full' ? 'Full' : 'Partial'),
  },
  { id: 'stores', header: 'Scope', cell: scopeText },
  {
    id: 'size',
    header: 'Size',
    sortingField: 'bytes',
    cell: (backup) => bytes(backup.bytes),
  },
  {
    id: 'duration',
    header: 'Duration',
    sortingField: 'duration_seconds',
    cell: ({ duration_seconds }) => duration(duration_seconds),
  },
  {
    id: 'state',
    header: 'State',
    sortingField: 'state',
    cell: (backup) => <StateSign backup={backup} />,
  },
  {
    id: 'records',
    header: 'Records',
    hidden: true,
    sortingField: 'records',
    cell: ({ records }) => count(records),
  },
  {
    id: 'verification',
    header: 'Verification',
    sortingComparator: (a, b) => a.verification.state.localeCompare(b.verification.state),
    cell: ({ verification }) => <VerificationSign verification={verification} />,
  },
  {
    id: 'grade',
    header: 'Consistency',
    sortingField: 'consistency',
    cell: ({ consistency }) => <GradeSign grade={consistency} />,
  },
  {
    id: 'retention',
    header: 'Retention',
    sortingComparator: (a, b) => (a.retention ?? '').localeCompare(b.retention ?? ''),
    cell: ({ retention }) => retentionText(retention),
  },
  {
    id: 'tags',
    header: 'Tags',
    cell: ({ tags }) => <Tags tags={tags} />,
  },
  {
    id: 'counts',
    header: 'Counts',
    hidden: true,
    cell: ({ statistics }) => countsText(statistics),
    minWidth: 220,
  },
  {
    id: 'uncompressed',
    header: 'Uncompressed',
    hidden: true,
    sortingField: 'uncompressed_bytes',
    cell: ({ uncompressed_bytes }) => bytes(uncompressed_bytes),
  },
  {
    id: 'storage',
    header: 'Storage class',
    hidden: true,
    sortingField: 'storage_class',
    cell: ({ storage_class, storage }) => (
      <>
        {storage_class} {storage && <ReadableSign storage={storage} />}
      </>
    ),
    minWidth: 150,
  },
  { id: 'note', header: 'Note', hidden: true, cell: ({ note }) => <bdi>{note}</bdi>, minWidth: 160 },
  {
    id: 'by',
    header: 'Requested by',
    hidden: true,
    sortingComparator: (a, b) => (a.requested_by ?? '').localeCompare(b.requested_by ?? ''),
    cell: ({ requested_by }) => <bdi>{requested_by}</bdi>,
  },
  {
    id: 'id',
    header: 'ID',
    hidden: true,
    sortingField: 'backup_id',
    cell: ({ backup_id }) => <code>{backup_id}</code>,
    minWidth: 240,
  },
  {
    id: 'actions',
    header: 'Actions',
    cell: (backup) => <RowActions backup={backup} />,
    minWidth: 100,
  },
];
