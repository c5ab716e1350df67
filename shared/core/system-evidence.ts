import { z } from 'zod';
import { StoreName } from './store-name.ts';

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
        store: StoreName,
        kind: z.string().max(50),
        name: z.string().max(1000),
        value: z.string().max(1000).optional(),
      }),
    )
    .max(100),
});
export type SystemEvidence = z.infer<typeof SystemEvidence>;

/** `1.5.7`, `1.4.9 or later, before 1.4.9.9`; undefined if nothing is known. */
export function describeEvidence({ version, since, before }: SystemEvidence): string | undefined {
  if (version !== undefined) return version;
  const parts = [
    ...(since === undefined ? [] : [`${since} or later`]),
    ...(before === undefined ? [] : [`before ${before}`]),
  ];
  return parts.length === 0 ? undefined : parts.join(', ');
}
