import { z } from 'zod';

/** What was counted of one reference between stores. */
export const ReferenceCount = z.object({
  /** Such as `vectors entities.entity_name → graph nodes.id`. */
  reference: z.string(),
  /** Where the other ends were looked for. */
  against: z.enum(['archive', 'target']),
  /** Values that refer. */
  total: z.number().int().nonnegative(),
  /** How many of them were looked up: all, or in very large archives those that a sample holds. */
  checked: z.number().int().nonnegative(),
  /** How many of those are dangling. */
  dangling: z.number().int().nonnegative(),
  /** False where the time was up before the end. */
  complete: z.boolean(),
  /** Up to five values that are dangling. */
  samples: z.array(z.string()),
});
export type ReferenceCount = z.infer<typeof ReferenceCount>;
