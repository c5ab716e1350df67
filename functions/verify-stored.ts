import { signatureKeys } from '../shared/catalog/signature.ts';
import { VerifyNextInput, verifyNext } from '../shared/operations/verify-next.ts';
import { step } from './step.ts';

/** Verifies the archives and copies whose verification is oldest, as many a day as are configured. */
export const handler = step(VerifyNextInput, async ({ bucket, sfn, config, log }, _, leg) => {
  const context = {
    ...{ bucket, sfn, config },
    // Verification starts no workflow.
    stateMachines: { backup: '', restore: '' },
    ...(config.signatures === undefined
      ? {}
      : { signatureKeys: signatureKeys(config, process.env.NGBAK_SIGNING_KEY_ARN) }),
  };
  return verifyNext(context, config.verification?.per_day ?? 0, { ...leg, log });
});
