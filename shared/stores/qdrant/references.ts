import type { EntryReader } from '../../archive/format/types.ts';
import { fieldNames, textsIn } from '../content-check.ts';
import { readArchivedPoints } from './archived-points.ts';
import { type ArchivedCollection, readCollections } from './config-entry.ts';
import { pointsEntries, referencesEntries } from './names.ts';

/** Number of values returned per batch. */
const RUN_POINTS = 1000;

/**
 * The texts that points of the archive's collections have at a payload key, in batches. Undefined if one of the
 * collections is a snapshot, which only the server can read, without saved references.
 */
export async function vectorValues(
  archive: EntryReader,
  isThing: (collection: string) => boolean,
  field: string,
): Promise<AsyncIterable<readonly string[]> | undefined> {
  const collections = (await readCollections(archive)).filter(({ name }) => isThing(name));
  for (const collection of collections) {
    if (collection.snapshot && !(await hasReferences(archive, collection, field))) return undefined;
  }
  return (async function* () {
    for (const { part, snapshot } of collections) {
      const entries = snapshot ? referencesEntries(archive, part) : pointsEntries(archive, part);
      for await (const entry of entries) {
        let run: string[] = [];
        for await (const { raw } of readArchivedPoints(archive, entry, null)) {
          const { payload } = JSON.parse(raw) as { payload?: Record<string, unknown> | null };
          run.push(...textsIn(payload, field));
          if (run.length < RUN_POINTS) continue;
          yield run;
          run = [];
        }
        if (run.length > 0) yield run;
      }
    }
  })();
}

/**
 * Whether the references of a snapshot were saved with it. Older archives have none, and neither do views that rename
 * the collection.
 */
async function hasReferences(
  archive: EntryReader,
  { part, config }: ArchivedCollection,
  field: string,
): Promise<boolean> {
  if (!fieldNames(field).every((name) => config?.references?.fields.includes(name))) return false;
  let chunks = 0;
  for await (const _entry of referencesEntries(archive, part)) chunks++;
  return chunks === config?.references?.chunks;
}
