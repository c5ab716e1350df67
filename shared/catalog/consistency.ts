import { z } from 'zod';

/**
 * How well the stores of one archive agree, since they have no common transaction: `quiesced` (a hook held writers
 * back), `unchanged` (every store's fence was the same before and after), `drifted` (something moved meanwhile).
 */
export const Consistency = z.object({
  grade: z.enum(['quiesced', 'unchanged', 'drifted']),
  /** What moved, by store, in words. */
  changes: z.record(z.string(), z.array(z.string())),
});
export type Consistency = z.infer<typeof Consistency>;
