import { exportLeg, exportStateOf } from '../shared/workflows/backup/export.ts';
import { step } from './step.ts';

/** Exports one leg of the configuration into a segment of the archive. */
export const handler = step(exportStateOf('config'), exportLeg);
