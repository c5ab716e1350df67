import { readBack, VerifyState } from '../shared/workflows/backup/verify.ts';
import { step } from './step.ts';

/** Reads the sealed archive back from S3 and checks every byte and every record. */
export const handler = step(VerifyState, readBack);
