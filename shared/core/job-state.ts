import { z } from 'zod';

/** States of a job, in the order in which it can pass through them; the last four are ends. */
export const JOB_STATES = [
  'pending',
  'processing',
  'awaiting_confirmation',
  'completed',
  'failed',
  'rolled_back',
  'cancelled',
] as const;
export const JobState = z.enum(JOB_STATES);
export type JobState = z.infer<typeof JobState>;

/** Whether a job in this state has come to its end. */
export function hasEnded(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'rolled_back' || state === 'cancelled';
}
