import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { IntegrityError, UnavailableError } from '../../core/errors.ts';
import { DONE, type LegContext, type LegResult } from '../leg.ts';
import type { RestoreLeg } from '../restore-leg.ts';
import type { QdrantClient } from './client.ts';
import { dropCollection } from './collections.ts';
import { type ArchivedCollection, readCollections } from './config-entry.ts';
import { QdrantRefusedError } from './errors.ts';
import { hasContent, hasTime, snapshotFile } from './load.ts';
import { temporaryName } from './names.ts';
import { uploadSnapshot } from './snapshots.ts';

/** Index of the next collection, in the order of readCollections. */
const TestCursor = z.object({ at: z.number().int().nonnegative() });

/**
 * Loads each snapshot of an archive into a temporary collection, compares its content with the archive, and removes it
 * again. This detects problems in a snapshot that only the server can find, before anything in the target is replaced.
 * Throws IntegrityError, or the error with which the server rejects the snapshot.
 */
export async function testLoadQdrant(
  client: QdrantClient,
  { archive, cursor, context }: RestoreLeg,
): Promise<LegResult> {
  const snapshots = (await readCollections(archive)).filter(({ snapshot }) => snapshot !== undefined);
  const start = cursor === null ? 0 : TestCursor.parse(cursor).at;
  for (let at = start; at < snapshots.length; at++) {
    const collection = snapshots[at];
    if (!collection?.snapshot) break;
    if (at > start && !hasTime(collection, context)) return { cursor: { at }, tallies: {} };
    await testLoad(client, archive, collection, collection.snapshot, context);
  }
  return DONE;
}

async function testLoad(
  client: QdrantClient,
  archive: EntryReader,
  { name, config }: ArchivedCollection,
  entry: IndexEntry,
  context: LegContext,
): Promise<void> {
  const { signal } = context;
  const temporary = temporaryName(name, context.jobId);
  // An interrupted attempt may have left it behind, with different content.
  await dropCollection(client, temporary, signal);
  const isComplete = async () =>
    config === undefined || (await hasContent(client, temporary, config, signal));
  try {
    await uploadSnapshot(client, temporary, snapshotFile(archive, entry, name, context), isComplete, context);
    if (!(await isComplete())) throw contentMismatch(name);
  } catch (error) {
    throw signal.aborted ? error : notLoaded(name, error);
  } finally {
    // If the step must stop, the next attempt or the cleanup removes it.
    if (!signal.aborted) await dropCollection(client, temporary, signal);
  }
}

/**
 * Translates the error into one that names the archived collection instead of the temporary one. Retryable errors stay
 * retryable.
 */
function notLoaded(name: string, error: unknown): unknown {
  if (!(error instanceof UnavailableError || error instanceof QdrantRefusedError)) return error;
  const message = `The snapshot of collection "${name}" could not be loaded into a temporary collection; nothing was changed. ${error.message}`;
  const remedy = `If the error persists, use another copy of the archive, restore a different backup, or leave out the vectors. ${error.remedy}`;
  return error instanceof UnavailableError
    ? new UnavailableError(message, { remedy, cause: error })
    : new QdrantRefusedError(message, { remedy, cause: error });
}

function contentMismatch(name: string): IntegrityError {
  return new IntegrityError(
    `The snapshot of collection "${name}" was loaded into a temporary collection, but does not contain the points stated in the archive.`,
    {
      remedy:
        'Nothing was changed. Use another copy of the archive, restore a different backup, or leave out this collection.',
    },
  );
}
