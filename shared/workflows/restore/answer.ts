import { z } from 'zod';

/** A smoke check and its result, described without any data. */
export const SmokeAnswer = z.object({
  question: z.string(),
  /** False if the store did not answer. `answer` is then the reason. */
  answered: z.boolean(),
  answer: z.string(),
});
export type SmokeAnswer = z.infer<typeof SmokeAnswer>;
