import StatusIndicator, { type StatusIndicatorProps } from '@cloudscape-design/components/status-indicator';
import type { DrillRecord } from '../../shared/workflows/drill/record.ts';

const VERDICTS: Record<DrillRecord['verdict'], { type: StatusIndicatorProps.Type; text: string }> = {
  passed: { type: 'success', text: 'Passed' },
  failed: { type: 'error', text: 'Failed' },
  cancelled: { type: 'stopped', text: 'Cancelled' },
};

/** The verdict of a drill. */
export function VerdictSign({ verdict }: Pick<DrillRecord, 'verdict'>) {
  const { type, text } = VERDICTS[verdict];
  return <StatusIndicator type={type}>{text}</StatusIndicator>;
}
