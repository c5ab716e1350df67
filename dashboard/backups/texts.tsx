import Popover from '@cloudscape-design/components/popover';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import { stateText } from '../../cli/format.ts';
import type { CatalogRecord } from '../../shared/catalog/record.ts';
import type { BackupSummary } from '../../shared/catalog/summaries.ts';
import { describeSubset } from '../../shared/core/describe-subset.ts';
import { Ago } from '../parts/time.tsx';

/** The result of the last verification of an archive. */
export function VerificationSign({ verification }: { verification: CatalogRecord['verification'] }) {
  const { state, at, problems = [] } = verification;
  if (state === 'verified') return <StatusIndicator type="success">Verified</StatusIndicator>;
  return (
    <Popover
      header="Damaged"
      content={
        <>
          Found <Ago value={at} />. {problems.join('; ')}
        </>
      }
    >
      <StatusIndicator type="error">Damaged</StatusIndicator>
    </Popover>
  );
}

const STATES = {
  complete: 'success',
  complete_with_warnings: 'warning',
  damaged: 'error',
} as const;

/** The state of a backup: complete, complete with unacknowledged warnings, or damaged. */
export function StateSign({
  backup,
}: {
  backup: Pick<BackupSummary, 'state' | 'open_warnings' | 'verification'>;
}) {
  const text = stateText(backup);
  return (
    <StatusIndicator type={STATES[backup.state]}>
      {backup.state === 'damaged' ? 'Damaged' : `${text.charAt(0).toUpperCase()}${text.slice(1)}`}
    </StatusIndicator>
  );
}

/** The part of its target that a backup holds: all stores, some, or a subset of them. */
export function scopeText({ type, stores, only }: Pick<BackupSummary, 'type' | 'stores' | 'only'>): string {
  if (type === 'full') return 'All stores';
  return only ? `${stores.join(', ')}: only ${describeSubset(only)}` : stores.join(', ');
}

type Grade = BackupSummary['consistency'];
const GRADES: Record<Grade, { text: string; type: 'success' | 'info' | 'warning'; meaning: string }> = {
  quiesced: {
    text: 'Quiesced',
    type: 'success',
    meaning: 'Writers were paused, so the stores are consistent with each other.',
  },
  unchanged: {
    text: 'Unchanged',
    type: 'success',
    meaning: 'No store changed during the backup, so the stores are consistent with each other.',
  },
  drifted: {
    text: 'Drifted',
    type: 'warning',
    meaning: 'A store changed during the backup. The stores may reflect slightly different points in time.',
  },
};

/** The consistency between the stores of an archive, with an explanation. */
export function GradeSign({ grade }: { grade: Grade }) {
  const { text, type, meaning } = GRADES[grade];
  return (
    <Popover header={text} content={meaning}>
      <StatusIndicator type={type}>{text}</StatusIndicator>
    </Popover>
  );
}

/** How long a backup is kept, in words. */
export function retentionText(retention: string | undefined): string {
  if (retention === undefined) return 'By policy';
  if (retention === 'permanent') return 'Forever';
  const days = /^(\d+)d$/.exec(retention)?.[1];
  return days === undefined ? `Until ${retention}` : `${days} days`;
}

/** `434 documents, 980 chunks, …` */
export function countsText(statistics: Record<string, number>): string {
  return Object.entries(statistics)
    .map(([name, number]) => `${number.toLocaleString('en-US')} ${name.replaceAll('_', ' ')}`)
    .join(', ');
}
