import { z } from 'zod';
import { Id } from '../ids.ts';
import { STORE_NAMES } from '../stores/port.ts';

/** Version that this code writes: `major.minor`. A new minor adds fields, a new major changes what fields mean. */
export const FORMAT_VERSION = '1.0';

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits');
const Count = z.number().int().nonnegative();

/** What an archive says about itself: `manifest.json`, normative text in docs/format.md. Unknown fields are kept. */
export const Manifest = z.looseObject({
  format_version: z.string().regex(/^[1-9][0-9]{0,3}\.[0-9]{1,4}$/),
  backup_id: Id,
  created_at: z.iso.datetime({ offset: true }),
  /** Version of ngbak that wrote the archive; absent where something else did. */
  ngbak_version: z.string().optional(),
  /** Version of the GraphRAG system, where somebody told it. */
  nano_graphrag_version: z.string().nullable().optional(),
  /** By store: which backend the data came from. */
  storage_backends: z.partialRecord(
    z.enum(STORE_NAMES),
    z.looseObject({ kind: z.string(), version: z.string().optional(), edition: z.string().optional() }),
  ),
  /** Documents, chunks, entities, relationships, communities, vectors, cache_entries; absent where nobody counted. */
  statistics: z.record(z.string(), z.number().nonnegative()),
  scope: z.looseObject({
    type: z.enum(['full', 'partial']),
    stores: z.array(z.enum(STORE_NAMES)),
    /** Name of the target that was backed up. */
    target: z.string().optional(),
    profile: z.string().optional(),
    parameters: z.record(z.string(), z.json()).optional(),
  }),
  /** How well the stores agree with each other; absent where nobody measured it. */
  consistency: z
    .looseObject({
      grade: z.enum(['quiesced', 'unchanged', 'drifted']),
      changes: z.record(z.string(), z.array(z.string())),
    })
    .optional(),
  /** What was counted of references across stores, by name of the reference. */
  references: z.json().optional(),
  /** By store: counts and digests of what the exporters wrote. */
  tallies: z.partialRecord(
    z.enum(STORE_NAMES),
    z.record(z.string(), z.object({ count: Count, digest: Sha256 })),
  ),
  tags: z.array(z.string()),
  note: z.string().optional(),
  /** What an older or foreign archive, from which this one was made, did not say. In words. */
  lacks: z.array(z.string()).optional(),
  /** SHA-256 over `SHA256SUMS`, whose lines are sorted. */
  checksum: Sha256,
  /** Summary of `index.jsonl`: number of data entries, their uncompressed bytes, SHA-256 of the file. */
  index: z.object({ entries: Count, bytes: Count, sha256: Sha256 }),
});
export type Manifest = z.infer<typeof Manifest>;

/** A manifest before its archive is finished: everything that the archive's own bytes do not decide. */
export type ManifestDraft = Omit<z.input<typeof ManifestDraftSchema>, never>;
const ManifestDraftSchema = Manifest.omit({ format_version: true, checksum: true, index: true });
