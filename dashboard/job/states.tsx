import StatusIndicator, { type StatusIndicatorProps } from '@cloudscape-design/components/status-indicator';
import type { JobState } from '../../shared/core/job-state.ts';

interface StateText {
  readonly text: string;
  readonly type: StatusIndicatorProps.Type;
}

/** Every state of a job in words. */
const STATES: Record<JobState, StateText> = {
  pending: { text: 'Pending', type: 'pending' },
  processing: { text: 'Processing', type: 'in-progress' },
  awaiting_confirmation: { text: 'Awaiting confirmation', type: 'warning' },
  completed: { text: 'Completed', type: 'success' },
  failed: { text: 'Failed', type: 'error' },
  rolled_back: { text: 'Rolled back', type: 'warning' },
  cancelled: { text: 'Cancelled', type: 'stopped' },
};

export function stateText(state: JobState): string {
  return STATES[state].text;
}

/** The state of a job with its icon. */
export function JobStateSign({ state }: { state: JobState }) {
  const { type, text } = STATES[state];
  return (
    <StatusIndicator type={type} wrapText={false}>
      {text}
    </StatusIndicator>
  );
}
