import { z } from 'zod';
import { ExecutionInfo } from '../shared/workflows/job/execution.ts';
import { admitRestore } from '../shared/workflows/restore/admit.ts';
import { step } from './step.ts';

/** First step of a restore: creates one job for each upload or request, even if events are repeated. */
export const handler = step(
  z.object({ input: z.unknown(), execution: ExecutionInfo }),
  (environment, { input, execution }) => admitRestore(environment, input, execution),
);
