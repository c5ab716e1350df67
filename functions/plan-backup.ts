import { z } from 'zod';
import { planBackup } from '../shared/workflows/backup/plan.ts';
import { ExecutionInfo } from '../shared/workflows/job/execution.ts';
import { step } from './step.ts';

/** First step of a backup: checks the request, locks the target, measures the stores, and divides them into shards. */
export const handler = step(
  z.object({ input: z.unknown(), execution: ExecutionInfo }),
  (environment, { input, execution }, leg) => planBackup(environment, input, execution, leg),
);
