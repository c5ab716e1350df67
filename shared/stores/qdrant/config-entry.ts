import { parse } from 'lossless-json';
import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { damagedArchive, type IntegrityError, InvalidInputError } from '../../core/errors.ts';
import { type ConfigView, type Lossless, losslessText, viewConfig } from './collections.ts';
import { FOLDER, isReserved, parseEntryName } from './names.ts';
import { isDotSegment } from './paths.ts';
import { isPointId } from './point-text.ts';

/** Maximum size of a collection's configuration entry in bytes. Typical ones have a few thousand. */
const CONFIG_BYTES_MAX = 4 * 1024 ** 2;
/** Maximum number of collections in an archive. */
const COLLECTIONS_MAX = 10_000;

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const Count = z.number().int().nonnegative();
/** Rejects names that would change the address of a request, or that are reserved for temporary objects of jobs. */
const isUsable = (name: string) => !isDotSegment(name) && !isReserved(name);
const UNUSABLE = 'is reserved';

/** The fields that ngbak evaluates in `vectors/<collection>.config.json`; docs/stores/qdrant.md describes the entry. */
const ConfigEntryView = z.looseObject({
  entry_version: z.literal(1),
  collection: z.string().min(1).max(255).refine(isUsable, UNUSABLE),
  method: z.enum(['snapshot', 'points']),
  /** Why this method was chosen. */
  reason: z.string(),
  server_version: z.string(),
  aliases: z.array(z.string().min(1).max(512).refine(isUsable, UNUSABLE)).max(1000),
  filter: z
    .strictObject({ key: z.string(), value: z.union([z.string(), z.number(), z.boolean()]) })
    .nullable(),
  points: z.strictObject({
    /** Exact number of points. */
    count: Count,
    /** Digest of the first `digested` points in ID order. */
    digest: Sha256,
    digested: Count,
  }),
  /** For a snapshot with more points than were digested: a random sample, with JSON texts of the IDs. */
  sample: z
    .looseObject({
      ids: z.array(z.string().refine(isPointId, 'is not the id of a point')).max(1000),
      digest: Sha256,
    })
    .optional(),
  /** Number of points entries; 0 for a snapshot. */
  chunks: Count,
  snapshot: z.looseObject({ size: Count, sha256: Sha256 }).nullable(),
  /** For a snapshot: which payload fields are saved in separate references entries, and how many entries there are. */
  references: z
    .looseObject({ fields: z.array(z.string().min(1).max(255)).max(100), chunks: Count })
    .optional(),
  /** Never set in an archive. Set by views that rewrite point IDs, which are then ordered only within each entry. */
  rewritten_ids: z.boolean().optional(),
});

/** A collection's configuration entry. */
export interface ConfigEntry extends z.infer<typeof ConfigEntryView> {
  /** As reported by the server, numbers as text. */
  readonly config: Lossless;
  readonly payload_indexes: Readonly<Record<string, Lossless>>;
}

/** A collection in an archive. */
export interface ArchivedCollection {
  readonly name: string;
  /** Its encoded name in entry names. */
  readonly part: string;
  /** Absent in archives of other tools, which contain a bare snapshot. */
  readonly config?: ConfigEntry & { view: ConfigView };
  /** Its snapshot, if it was saved by snapshot. */
  readonly snapshot?: IndexEntry;
}

/** Serializes a configuration entry. */
export function configEntryBytes(entry: ConfigEntry): Uint8Array {
  return Buffer.from(`${losslessText(entry)}\n`);
}

/**
 * Reads the collections of an archive, sorted by name, and validates that their entries are consistent. Throws
 * IntegrityError or InvalidInputError for missing, extra or malformed entries.
 */
export async function readCollections(archive: EntryReader): Promise<ArchivedCollection[]> {
  const found = new Map<string, { snapshot?: IndexEntry; config?: IndexEntry; chunks: number }>();
  for await (const entry of archive.entries(FOLDER)) {
    const parsed = parseEntryName(entry.name);
    if (!parsed) {
      throw new InvalidInputError(
        `The archive has an entry ${JSON.stringify(entry.name)} that this version can't load.`,
        {
          remedy: 'Restore it with the version of ngbak that wrote it, or leave out the vectors.',
        },
      );
    }
    let parts = found.get(parsed.part);
    if (!parts) {
      if (found.size === COLLECTIONS_MAX) {
        throw new InvalidInputError(`The archive contains more than ${COLLECTIONS_MAX} collections.`, {
          remedy: 'Restore subsets of it.',
        });
      }
      parts = { chunks: 0 };
      found.set(parsed.part, parts);
    }
    if (parsed.kind === 'points') {
      parts.chunks++;
      // Entries are listed in archive order, which must be the order of the IDs in them.
      if (parsed.number !== parts.chunks)
        throw missing(`${FOLDER}${parsed.part}.points-…`, 'is not numbered without gaps');
    } else parts[parsed.kind] = entry;
  }
  const collections: ArchivedCollection[] = [];
  for (const [part, { snapshot, config: entry, chunks }] of found) {
    const config = entry && (await readConfig(archive, entry));
    if (!config) {
      if (!snapshot || chunks > 0) throw missing(`${FOLDER}${part}.config.json`, 'is missing');
      const name = decodePart(part);
      if (!isUsable(name)) throw missing(`${FOLDER}${part}.snapshot`, 'has a name that is reserved');
      collections.push({ name, part, snapshot });
      continue;
    }
    if (config.method === 'snapshot' && !snapshot) throw missing(`${FOLDER}${part}.snapshot`, 'is missing');
    if (config.chunks !== chunks) {
      throw missing(`${FOLDER}${part}.points-…`, `occurs ${chunks} times instead of ${config.chunks} times`);
    }
    collections.push({
      name: config.collection,
      part,
      config,
      ...(config.method === 'snapshot' && snapshot ? { snapshot } : {}),
    });
  }
  const names = new Set(collections.map(({ name }) => name));
  if (names.size !== collections.length) throw missing(FOLDER, 'holds a collection twice');
  const aliases = new Set<string>();
  for (const alias of collections.flatMap(({ config }) => config?.aliases ?? [])) {
    if (names.has(alias) || aliases.has(alias))
      throw missing(FOLDER, `uses the name ${JSON.stringify(alias)} twice`);
    aliases.add(alias);
  }
  return collections.sort((left, right) => (left.name < right.name ? -1 : 1));
}

async function readConfig(
  archive: EntryReader,
  entry: IndexEntry,
): Promise<NonNullable<ArchivedCollection['config']>> {
  if (entry.size > CONFIG_BYTES_MAX) {
    throw new InvalidInputError(
      `Entry ${entry.name} has ${entry.size} bytes; the limit is ${CONFIG_BYTES_MAX}.`,
      {
        remedy: 'This is not an ngbak archive. Do not restore it.',
      },
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive.open(entry)) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  let value: unknown;
  let lossless: { config?: unknown; payload_indexes?: unknown };
  try {
    value = JSON.parse(text);
    lossless = parse(text) as typeof lossless;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw missing(entry.name, 'is not JSON');
  }
  const view = ConfigEntryView.safeParse(value);
  if (!view.success) {
    const [issue] = view.error.issues;
    throw missing(entry.name, `is not valid (${issue?.path.join('.')}: ${issue?.message})`);
  }
  const indexes = z.record(z.string(), z.unknown()).safeParse(lossless.payload_indexes);
  if (!indexes.success) throw missing(entry.name, 'has no payload_indexes');
  const { config } = lossless;
  return {
    ...view.data,
    config,
    payload_indexes: indexes.data,
    view: viewConfig(view.data.collection, config),
  };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return part;
    throw error;
  }
}

function missing(name: string, problem: string): IntegrityError {
  return damagedArchive(`Entry ${name} of the archive ${problem}.`);
}
