import { z } from 'zod';
import { StoreName } from '../../core/store-name.ts';

/** Maximum number of names that a kind has as samples of each change. */
export const SAMPLES_MAX = 20;
/** Maximum number of samples of all kinds of a store. */
export const ALL_SAMPLES_MAX = 1000;
/** Maximum number of kinds in a result; kinds beyond are compared, and counted together. */
export const KINDS_MAX = 500;
/** Maximum length of a name in a result, in characters. */
const NAME_CHARACTERS = 100;

const Count = z.int().nonnegative();
/** Records with one change: their number, and the names of some. */
const Changes = z.object({ count: Count, samples: z.array(z.string()).max(SAMPLES_MAX) });

/** The records of one kind on both sides of a comparison. */
export const ComparedKind = z.object({
  /** Its tally: `nodes`, `points:<collection>`, `keys:<namespace>`. */
  kind: z.string(),
  /** Number of records on each side. */
  before: Count,
  after: Count,
  /** Records that only `after` has. */
  added: Changes,
  /** Records that both sides have, with different content. */
  changed: Changes,
  /** Records that only `before` has. */
  removed: Changes,
  /** Absent if the records were compared by content. */
  limited: z
    .object({
      /** `identities`: changes within a record were not found. `counts`: only the counts were compared. */
      by: z.enum(['identities', 'counts']),
      reason: z.string(),
    })
    .optional(),
});
export type ComparedKind = z.infer<typeof ComparedKind>;

/** The comparison of one store. */
export const ComparedStore = z.object({
  store: StoreName,
  kinds: z.array(ComparedKind),
  /** Why the records of the store were not compared, or only their counts. Absent if they were compared. */
  not_compared: z.string().optional(),
});
export type ComparedStore = z.infer<typeof ComparedStore>;

/** The name of a record in a result: truncated, and without characters that change how text is shown. */
export function sampleName(name: string): string {
  const plain = name.replaceAll(/[\p{C}\u2028\u2029]/gu, '\ufffd');
  return plain.length <= NAME_CHARACTERS ? plain : `${plain.slice(0, NAME_CHARACTERS - 1)}…`;
}
