import { z } from 'zod';

/**
 * How consistent the stores of one archive are with each other, since they have no common transaction: `quiesced` (a
 * hook paused the writers), `unchanged` (every store's fence was the same before and after), `drifted` (a store changed
 * during the backup).
 */
export const Consistency = z.object({
  grade: z.enum(['quiesced', 'unchanged', 'drifted']),
  /** The changes by store, as text. */
  changes: z.record(z.string(), z.array(z.string())),
});
export type Consistency = z.infer<typeof Consistency>;
