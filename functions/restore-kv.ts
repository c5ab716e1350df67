import { restoreLeg, restoreStateOf } from '../shared/workflows/restore/leg.ts';
import { step } from './step.ts';

/** One leg of clearing, loading, verifying or finishing the key-value data. */
export const handler = step(restoreStateOf('kv'), restoreLeg);
