import { CopyState, copyBackup } from '../shared/workflows/copy/copy-backup.ts';
import { step } from './step.ts';

/** Copies a backup to another bucket, within S3, or records why that failed. */
export const handler = step(CopyState, (environment, input, leg) => copyBackup(environment, input, leg));
