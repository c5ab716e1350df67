import StatusIndicator, { type StatusIndicatorProps } from '@cloudscape-design/components/status-indicator';
import type { JobState } from '../../shared/core/job-state.ts';

interface StateText {
  readonly text: string;
  readonly type: StatusIndicatorProps.Type;
  /** Nothing comes after it. */
  readonly ended: boolean;
}

/** Every state of a job in words. A type of its own: shared/workflows/job/record.ts would bring the AWS SDK into the page. */
const STATES: Record<JobState, StateText> = {
  pending: { text: 'Pending', type: 'pending', ended: false },
  processing: { text: 'Processing', type: 'in-progress', ended: false },
  awaiting_confirmation: { text: 'Awaiting confirmation', type: 'warning', ended: false },
  completed: { text: 'Completed', type: 'success', ended: true },
  failed: { text: 'Failed', type: 'error', ended: true },
  rolled_back: { text: 'Rolled back', type: 'warning', ended: true },
  cancelled: { text: 'Cancelled', type: 'stopped', ended: true },
};

/** All states, in the order in which a job may go through them. */
export const JOB_STATES = Object.keys(STATES) as JobState[];

export function stateText(state: JobState): string {
  return STATES[state].text;
}

export function hasEnded(state: JobState): boolean {
  return STATES[state].ended;
}

/** A job's state with its sign. */
export function JobStateSign({ state }: { state: JobState }) {
  const { type, text } = STATES[state];
  return (
    <StatusIndicator type={type} wrapText={false}>
      {text}
    </StatusIndicator>
  );
}
