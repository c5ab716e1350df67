import { z } from 'zod';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { AnyJson, parseInput } from '../../core/input.ts';
import type { ArchiveLimits } from '../../core/limits.ts';
import { Reading } from '../../core/reading.ts';
import { byStore, StoreList, StoreName } from '../../core/store-name.ts';
import { suffixOf } from '../../core/store-names.ts';
import { Subset } from '../../core/subset.ts';
import { SystemEvidence } from '../../core/system-evidence.ts';
import { VERSION } from '../../core/version.ts';

/**
 * Version that this code writes: `major.minor`. A new minor version adds fields, a new major version changes their
 * meaning.
 */
export const FORMAT_VERSION = '1.0';
/** Version of archives with several stores of one role, which readers of 1.0 refuse. */
const SEVERAL_STORES_VERSION = '1.1';

/** The lowest version that has everything in an archive with these stores. */
export function formatVersionOf(stores: readonly StoreName[]): string {
  return stores.some((store) => suffixOf(store) !== undefined) ? SEVERAL_STORES_VERSION : FORMAT_VERSION;
}
const FORMAT_MAJOR = '1';

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits');
const Count = z.number().int().nonnegative();

const Warning = z.looseObject({
  code: z.string(),
  text: z.string(),
  count: Count.optional(),
  samples: z.array(z.string()).optional(),
});

/** The metadata of an archive: `manifest.json`, defined in docs/format.md. Unknown fields are kept. */
export const Manifest = z.looseObject({
  format_version: z.string().regex(/^[1-9][0-9]{0,3}\.[0-9]{1,4}$/),
  backup_id: Id,
  created_at: z.iso.datetime({ offset: true }),
  /** Version of ngbak that wrote the archive; absent if other software did. */
  ngbak_version: z.string().optional(),
  /** Version of the GraphRAG system, if it was configured or its data states it. */
  nano_graphrag_version: z.string().nullable().optional(),
  /** What the data reveals about the version of the GraphRAG system; absent if it reveals nothing. */
  system_evidence: SystemEvidence.optional(),
  /** The backend of each store. */
  storage_backends: byStore(
    z.looseObject({ kind: z.string(), version: z.string().optional(), edition: z.string().optional() }),
  ),
  /**
   * Documents, chunks, entities, relationships, communities, vectors, cache_entries, and parts of them such as
   * documents_processed; absent if they were not counted.
   */
  statistics: z.record(z.string(), z.number().nonnegative()),
  scope: z.looseObject({
    type: z.enum(['full', 'partial']),
    stores: StoreList,
    /** Name of the target that was backed up. */
    target: z.string().optional(),
    profile: z.string().optional(),
    parameters: z.record(z.string(), AnyJson).optional(),
    /** The requested subset; absent if the stores were saved completely. */
    only: Subset.optional(),
    /** By store: the saved labels, prefixes and collections, in the terms of its adapter. */
    scopes: byStore(AnyJson).optional(),
  }),
  /** How well the stores agree with each other; absent if it was not measured. */
  consistency: z
    .looseObject({
      grade: z.enum(['quiesced', 'unchanged', 'drifted']),
      changes: z.record(z.string(), z.array(z.string())),
    })
    .optional(),
  /** Counts of references across stores, by name of the reference. */
  references: AnyJson.optional(),
  /** By store: counts and digests of what the exporters wrote. */
  tallies: byStore(z.record(z.string(), z.object({ count: Count, digest: Sha256 }))),
  /** Warnings by store: what was not saved, or should be looked at; absent if there are none. */
  warnings: z.array(Warning.extend({ store: StoreName })).optional(),
  /** By store: where its data is from, and what a later backup needs to carry it. Absent if not recorded. */
  readings: byStore(
    z.looseObject({
      ...Reading.shape,
      /** SHA-256 of everything that determines how its data is written: scope, profile, versions, compression. */
      basis: Sha256.optional(),
      /**
       * What proves that the store did not change since it was read, in the terms of its adapter. Absent if there is
       * no such proof, or if the store changed during the backup.
       */
      proof: z.record(z.string(), z.string()).optional(),
      /** The warnings of its measurement and its export. */
      warnings: z.array(Warning).optional(),
    }),
  ).optional(),
  tags: z.array(z.string()),
  note: z.string().optional(),
  /** Information that is missing because the archive was converted from an older or foreign one. In words. */
  lacks: z.array(z.string()).optional(),
  /** Set if the key-value data was converted from another form: the archive that it was made from. */
  converted: z
    .looseObject({
      from: z.looseObject({ backup_id: Id, checksum: Sha256, kv: z.string() }),
      to: z.looseObject({ kv: z.string() }),
      /** Records of each namespace. */
      records: z.record(z.string(), Count),
      /** What the new form cannot hold: number by code. */
      lost: z.record(z.string(), Count),
    })
    .optional(),
  /**
   * SHA-256 of `SHA256SUMS`, whose sorted lines cover every data entry: the same for the same data, however it was
   * compressed, cut or repacked.
   */
  checksum: Sha256,
  /** Summary of `index.jsonl`: number of data entries, their uncompressed bytes, SHA-256 of the file. */
  index: z.object({ entries: Count, bytes: Count, sha256: Sha256 }),
});
export type Manifest = z.infer<typeof Manifest>;

/** The manifest of an unfinished archive: all fields that do not depend on the archive's own bytes. */
export type ManifestDraft = z.input<typeof ManifestDraftSchema>;
const ManifestDraftSchema = Manifest.omit({ format_version: true, checksum: true, index: true });

/** Reads `manifest.json` of a seekable archive; see {@link parseManifestJson} for limits and errors. */
export function parseManifest(bytes: Uint8Array, limits: ArchiveLimits, where: string): Manifest {
  const value = parseManifestJson(bytes, limits, where);
  checkVersion(value, where);
  return parseInput(Manifest, value, `manifest.json of ${where}`, ANOTHER_ARCHIVE);
}

/**
 * Parses JSON from an archive; size and depth are checked first. Throws InvalidInputError if it is too large, too
 * deep, or not a JSON object in UTF-8.
 */
export function parseManifestJson(
  bytes: Uint8Array,
  limits: ArchiveLimits,
  where: string,
): Record<string, unknown> {
  const wrong = (what: string, cause?: unknown) =>
    new InvalidInputError(`manifest.json of ${where} ${what}.`, {
      remedy: ANOTHER_ARCHIVE,
      cause,
    });
  if (bytes.length > limits.manifestBytes) {
    throw wrong(`has ${bytes.length} bytes; the limit is ${limits.manifestBytes}`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw wrong('is not UTF-8', cause);
  }
  if (depthOf(text) > limits.jsonDepth) throw wrong(`is nested deeper than ${limits.jsonDepth} levels`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong('is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong('is not a JSON object');
  return { ...value };
}

/** Throws InvalidInputError if this code does not know the major version. */
export function checkVersion(value: Record<string, unknown>, where: string): void {
  const version = value.format_version;
  const major =
    typeof version === 'string' ? /^([1-9][0-9]{0,3})\.[0-9]{1,4}$/.exec(version)?.[1] : undefined;
  if (major === undefined) {
    throw new InvalidInputError(`manifest.json of ${where} has no format version, such as "1.0".`, {
      remedy: ANOTHER_ARCHIVE,
    });
  }
  if (major !== FORMAT_MAJOR) {
    throw new InvalidInputError(
      `${where} has format version ${String(version)}; this ngbak (${VERSION}) reads version ${FORMAT_MAJOR}.`,
      { remedy: `Use ngbak ${major}.x or a later one that still reads format ${major}.` },
    );
  }
}

/** Deepest nesting of objects and arrays, determined without a parser, whose stack could overflow. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === '\\') at++;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === '{' || character === '[') deepest = Math.max(deepest, ++depth);
    else if (character === '}' || character === ']') depth--;
  }
  return deepest;
}
