/** States of a job, in the order in which it can pass through them; the last four are final. */
export const JOB_STATES = [
  'pending',
  'processing',
  'awaiting_confirmation',
  'completed',
  'failed',
  'rolled_back',
  'cancelled',
] as const;
export type JobState = (typeof JOB_STATES)[number];

/** Whether this state is final. */
export function hasEnded(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'rolled_back' || state === 'cancelled';
}
