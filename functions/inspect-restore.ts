import { type SignatureKeys, signatureKeys } from '../shared/catalog/signature.ts';
import { InspectState, inspectArchive } from '../shared/workflows/restore/inspect.ts';
import { step } from './step.ts';

let keys: SignatureKeys | undefined;

/** Verifies the archive and compares it with the target. Writes to no store. */
export const handler = step(InspectState, (environment, state, leg) => {
  keys ??= signatureKeys(environment.config, process.env.NGBAK_SIGNING_KEY_ARN);
  return inspectArchive(environment, state, leg, keys);
});
