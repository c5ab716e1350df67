import { SealState, sealBackup } from '../shared/workflows/backup/seal.ts';
import { step } from './step.ts';

/** Composes the segments into one archive, on S3's side. */
export const handler = step(SealState, sealBackup);
