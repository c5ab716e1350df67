import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import type { Json } from '../../core/json.ts';
import type {
  ComparedRecord,
  ComparisonBasis,
  ComparisonSubject,
  ContentPiece,
  Limitation,
  RecordComparison,
  RecordReader,
} from '../comparison/record-reader.ts';
import type { StoreProbe } from '../export-step.ts';
import { parsePoints } from './archived-points.ts';
import { type ArchivedCollection, readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { entryPart, parseEntryName, parseReferencesName, referencesEntries } from './names.ts';

const Rules = z.object({
  /** Names of collections by the form that they have in entry names. */
  names: z.record(z.string(), z.string()),
});
type Rules = z.infer<typeof Rules>;

const COUNTS = 'it was saved as a snapshot, whose points only a Qdrant server can read';
const IDENTITIES = `${COUNTS}; the archive has the IDs of all points beside it`;

/**
 * Compares points by collection and ID. Points in a snapshot cannot be read from an archive: they are compared by their
 * IDs if the references of the collection were saved beside it, and otherwise by their number.
 */
export const vectorsComparison: RecordComparison<QdrantScope> = {
  prepare: prepareVectors,
  reader: (basis) => new VectorsReader(Rules.parse(basis.rules)),
  // A snapshot is not read, however large it is.
  mayHold: (entry) => parseEntryName(entry)?.kind === 'points' || parseReferencesName(entry) !== undefined,
  // An export as points does not create a snapshot on the server.
  liveScope: (scope, { limitations }, { counts }) => {
    const kinds = Object.keys(counts);
    const compared = kinds.filter((kind) => limitations[kind]?.by !== 'counts');
    // A scope of all collections can have more of them than a list may.
    if (compared.length === kinds.length && kinds.length > 0 && !scope.collections) {
      return { ...scope, method: 'points' };
    }
    const collections = compared.map((kind) => kind.slice(PREFIX.length));
    return collections.length === 0 ? undefined : { ...scope, collections, method: 'points' };
  },
};

/** Prefix of the tallies of collections. */
const PREFIX = 'points:';

async function prepareVectors({ archives, live }: ComparisonSubject<QdrantScope>): Promise<ComparisonBasis> {
  const names: Rules['names'] = {};
  const limitations: Record<string, Limitation> = {};
  for (const archive of archives) {
    for (const collection of await readCollections(archive)) {
      const { name, part, snapshot } = collection;
      names[part] = name;
      if (!snapshot) continue;
      const hasIds = await hasAllIds(archive, collection);
      const limitation: Limitation = hasIds
        ? { by: 'identities', reason: IDENTITIES }
        : { by: 'counts', reason: COUNTS };
      // The weaker of both sides holds.
      if (limitations[PREFIX + name]?.by !== 'counts') limitations[PREFIX + name] = limitation;
    }
  }
  for (const name of live ? collectionsOf(live.probe) : []) names[entryPart(name)] = name;
  return { rules: { names }, limitations };
}

function collectionsOf({ counts }: StoreProbe): string[] {
  return Object.keys(counts).map((kind) => kind.slice(PREFIX.length));
}

/** Whether the archive has the ID of every point of a snapshot, with the payload fields that refer to other stores. */
async function hasAllIds(archive: EntryReader, { part, config }: ArchivedCollection): Promise<boolean> {
  if (!config?.references) return false;
  let chunks = 0;
  for await (const _entry of referencesEntries(archive, part)) chunks++;
  return chunks === config.references.chunks;
}

class VectorsReader implements RecordReader {
  readonly #rules: Rules;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  /** Nothing is kept between entries. */
  save(): Json {
    return null;
  }

  async *read(piece: ContentPiece, _archive: EntryReader): AsyncGenerator<ComparedRecord> {
    const parsed = parseEntryName(piece.name);
    const part = parseReferencesName(piece.name) ?? (parsed?.kind === 'points' ? parsed.part : undefined);
    if (part === undefined) return;
    const collection = this.#rules.names[part] ?? part;
    const entry = { name: piece.name, size: piece.size, sha256: '', offset: 0, length: 0 };
    for await (const { id, raw, canonical } of parsePoints(piece.data, entry, null)) {
      const text = id.replaceAll('"', '');
      yield {
        kind: PREFIX + collection,
        identity: JSON.stringify([collection, id]),
        content: canonical,
        name: () => `point ${text}`,
        keys: () => [text],
        json: () => raw,
      };
    }
  }
}
