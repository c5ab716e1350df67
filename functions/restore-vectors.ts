import { restoreLeg, restoreStateOf } from '../shared/workflows/restore/leg.ts';
import { step } from './step.ts';

/** One leg of clearing, loading, verifying or finishing the vectors. */
export const handler = step(restoreStateOf('vectors'), restoreLeg);
