import { InspectState, inspectArchive } from '../shared/workflows/restore/inspect.ts';
import { step } from './step.ts';

/** Checks the archive as a whole and holds it against the target. Writes to no store. */
export const handler = step(InspectState, inspectArchive);
