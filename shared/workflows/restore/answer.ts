import { z } from 'zod';

/** A question and what the store answered, in words that hold no data. */
export const SmokeAnswer = z.object({
  question: z.string(),
  /** False where the store did not answer; `answer` is the reason then. */
  answered: z.boolean(),
  answer: z.string(),
});
export type SmokeAnswer = z.infer<typeof SmokeAnswer>;
