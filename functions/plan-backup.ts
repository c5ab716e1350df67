import { z } from 'zod';
import { type SignatureKeys, signatureKeys } from '../shared/catalog/signature.ts';
import { planBackup } from '../shared/workflows/backup/plan.ts';
import { ExecutionInfo } from '../shared/workflows/job/execution.ts';
import { step } from './step.ts';

let keys: SignatureKeys | undefined;

/** First step of a backup: checks the request, locks the target, measures the stores, and divides them into shards. */
export const handler = step(
  z.object({ input: z.unknown(), execution: ExecutionInfo }),
  (environment, { input, execution }, leg) => {
    keys ??= signatureKeys(environment.config, process.env.NGBAK_SIGNING_KEY_ARN);
    return planBackup(environment, input, execution, leg, keys);
  },
);
