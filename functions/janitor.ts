import { cleanUpAfter, ExecutionEnded } from '../shared/jobs/janitor.ts';
import { step } from './step.ts';

/** Cleans up after every execution of either workflow, however it ended. */
export const handler = step(ExecutionEnded, cleanUpAfter);
