import { exportLeg, exportStateOf } from '../shared/workflows/backup/export.ts';
import { step } from './step.ts';

/** Exports one leg of the key-value data into a segment of the archive. */
export const handler = step(exportStateOf('kv'), exportLeg);
