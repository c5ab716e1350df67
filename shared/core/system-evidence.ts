import { z } from 'zod';
import { STORE_NAMES } from './store-names.ts';

/**
 * What the data of a backup reveals about the version of the GraphRAG system that wrote it. No system writes its version
 * into every store, so it is often a range.
 */
export const SystemEvidence = z.object({
  /** The version that the system itself recorded in its data. */
  version: z.string().max(100).optional(),
  /** The first version that writes such data, if known. */
  since: z.string().max(100).optional(),
  /** The first version that no longer writes such data, if known. */
  before: z.string().max(100).optional(),
  /** What it was derived from: an index, file, key, column, label, or value of a database, or what was counted. */
  marks: z
    .array(
      z.object({
        store: z.enum(STORE_NAMES),
        kind: z.string().max(50),
        name: z.string().max(1000),
        value: z.string().max(1000).optional(),
      }),
    )
    .max(100),
});
export type SystemEvidence = z.infer<typeof SystemEvidence>;

/** The numbers of a release; undefined for other text. `1.4.9.9` has four, and `v1.2rc1` is release 1.2. */
function numbersOf(version: string): number[] | undefined {
  const numbers = /^v?(\d{1,9}(?:\.\d{1,9}){0,9})/i.exec(version)?.[1];
  return numbers?.split('.').map(Number);
}

/**
 * Compares releases of Python packages, whose versions may have four numbers: negative if the first is older. Undefined
 * if one of them is not a version.
 */
export function compareReleases(left: string, right: string): number | undefined {
  const [one, other] = [numbersOf(left), numbersOf(right)];
  if (!one || !other) return undefined;
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const difference = (one[at] ?? 0) - (other[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** `1.5.7`, `1.4.9 or later, before 1.4.9.9`; undefined if nothing is known. */
export function describeEvidence({ version, since, before }: SystemEvidence): string | undefined {
  if (version !== undefined) return version;
  const parts = [
    ...(since === undefined ? [] : [`${since} or later`]),
    ...(before === undefined ? [] : [`before ${before}`]),
  ];
  return parts.length === 0 ? undefined : parts.join(', ');
}
