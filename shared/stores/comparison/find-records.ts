import { createHash } from 'node:crypto';
import type { IndexEntry } from '../../archive/format/types.ts';
import type { OpenedArchive } from '../../archive/read/open.ts';
import type { StoreName } from '../../core/store-names.ts';
import { adapterOf, storesIn } from './archives.ts';
import type { Limitation, RecordComparison } from './record-reader.ts';
import { sampleName } from './result.ts';
import { archiveSource } from './sources.ts';

/** A record of an archive, found by its name. */
export interface FoundRecord {
  readonly store: StoreName;
  /** The tally under which it is counted. */
  readonly kind: string;
  /** Its name in messages, truncated and escaped. */
  readonly name: string;
  /** Equal for the same record in all archives of a target. */
  readonly identity: string;
  /** SHA-256 of its content: equal if and only if the record is. Null if the content cannot be read from the archive. */
  readonly digest: string | null;
  /** The entry that has it, or the end of it. */
  readonly entry: string;
  /** Its JSON lines; absent if its content is the content of the entry. */
  readonly json?: (() => string) | undefined;
}

/** A kind of records in which nothing can be found by name. */
export interface UnsearchedKind {
  readonly store: StoreName;
  readonly kind: string;
  readonly reason: string;
}

export interface RecordSearch {
  /** The key, ID, name or path of the record. */
  readonly wanted: string;
  /** Default: all stores. */
  readonly stores?: readonly StoreName[] | undefined;
  readonly signal: AbortSignal;
  /** Called with the number of bytes read, of all entries that have to be read, uncompressed. */
  progress?(done: number, total: number): void;
  /** Called for what cannot be searched. */
  unsearched?(kind: UnsearchedKind): void;
}

/**
 * Finds the records of an archive by key, ID, name or path. Reads only entries that may have them, one record at a time.
 */
export async function* findRecords(
  archive: OpenedArchive,
  search: RecordSearch,
): AsyncGenerator<FoundRecord> {
  const { wanted, signal } = search;
  const plan = await Promise.all(
    storesIn([archive], search.stores).map(async (store) => planStore(archive, store, search)),
  );
  const total = plan.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  for (const { store, comparison, scope, mayHold } of plan) {
    if (!comparison) continue;
    const basis = await comparison.prepare({ archives: [archive], scope });
    for (const [kind, limitation] of Object.entries(basis.limitations)) {
      if (limitation.by === 'counts') search.unsearched?.(unsearchedKind(store, kind, limitation));
    }
    const reader = comparison.reader(basis, { isLive: false, wanted });
    for await (const { piece } of archiveSource(archive, store, Number.POSITIVE_INFINITY, mayHold).pieces(
      null,
    )) {
      signal.throwIfAborted();
      for await (const record of reader.read(piece, archive)) {
        if (!record.keys().includes(wanted)) continue;
        const { kind, identity, content, json } = record;
        const isPartial = content === null || basis.limitations[kind] !== undefined;
        yield {
          ...{ store, kind, identity, entry: piece.name, json, name: sampleName(record.name()) },
          digest: isPartial ? null : createHash('sha256').update(content).digest('hex'),
        };
      }
      done += piece.size;
      search.progress?.(done, total);
    }
  }
}

function unsearchedKind(store: StoreName, kind: string, { reason }: Limitation): UnsearchedKind {
  return { store, kind, reason };
}

interface StorePlan {
  readonly store: StoreName;
  readonly comparison: RecordComparison | undefined;
  readonly scope: unknown;
  readonly mayHold: (entry: IndexEntry) => boolean;
  /** Sum of the sizes of the entries that have to be read. */
  readonly bytes: number;
}

async function planStore(archive: OpenedArchive, store: StoreName, search: RecordSearch): Promise<StorePlan> {
  const adapter = adapterOf(archive, store);
  const { comparison } = adapter;
  const scope = adapter.Scope.safeParse(archive.manifest.scope.scopes?.[store]).data;
  const mayHold = ({ name }: IndexEntry) => comparison?.mayHold?.(name, search.wanted) ?? true;
  if (!comparison) {
    search.unsearched?.({ store, kind: store, reason: `a store of the kind "${adapter.kind}" has no names` });
    return { store, comparison, scope, mayHold, bytes: 0 };
  }
  let bytes = 0;
  for (const prefix of [`${store}/`, `references/${store}/`]) {
    for await (const entry of archive.entries(prefix)) if (mayHold(entry)) bytes += entry.size;
  }
  return { store, comparison, scope, mayHold, bytes };
}
