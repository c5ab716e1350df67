import { SealState, sealBackup } from '../shared/workflows/backup/seal.ts';
import { step } from './step.ts';

/** Composes the segments into one archive, within S3. */
export const handler = step(SealState, sealBackup);
