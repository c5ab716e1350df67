import { z } from 'zod';

/** Counts of one reference between stores. */
export const ReferenceCount = z.object({
  /** For example `vectors entities.entity_name → graph nodes.id`. */
  reference: z.string(),
  /** Where the referenced records were looked up. */
  against: z.enum(['archive', 'target']),
  /** Number of referring values. */
  total: z.number().int().nonnegative(),
  /** How many of them were looked up: all, or a sample in very large archives. */
  checked: z.number().int().nonnegative(),
  /** How many of those are dangling. */
  dangling: z.number().int().nonnegative(),
  /** False if the time ran out before the end. */
  complete: z.boolean(),
  /** Up to five dangling values. */
  samples: z.array(z.string()),
});
export type ReferenceCount = z.infer<typeof ReferenceCount>;
