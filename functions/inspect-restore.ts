import { InspectState, inspectArchive } from '../shared/workflows/restore/inspect.ts';
import { step } from './step.ts';

/** Verifies the archive and compares it with the target. Writes to no store. */
export const handler = step(InspectState, inspectArchive);
