import { createHash } from 'node:crypto';
import type { EntryPiece, EntryReader } from '../archive/format/types.ts';
import { renamedFolder, renameEntry } from '../archive/read/renamed-folder.ts';
import type { ServedStore } from '../core/store-names.ts';
import type { RecordComparison } from './comparison/record-reader.ts';
import type { LegContext } from './leg.ts';
import type { RestoreInput } from './restore-leg.ts';
import type { Scratch } from './route.ts';
import type { Store, StoreAdapter } from './store.ts';

/** Longest ID of a job in {@link LegContext}. */
const JOB_ID_MAX = 80;
const HASH_CHARACTERS = 8;

/**
 * The adapter for a further store of its role, such as `kv_files`. Adapters write and read the folder of their role; in
 * the archive, the store has a folder of its own name. Entries are renamed where they leave the adapter and where they
 * enter it.
 */
export function namedAdapter(adapter: StoreAdapter, name: ServedStore): StoreAdapter {
  if (adapter.name === name) return adapter;
  const inside = (archive: EntryReader) => renamedFolder(archive, name, adapter.name);
  const { scratch, comparison } = adapter;
  return {
    ...adapter,
    name,
    create: (...args) => namedStore(adapter.create(...args), name),
    route: (archive, ...rest) => adapter.route(inside(archive), ...rest),
    view: (archive, route) => renamedFolder(adapter.view(inside(archive), route), adapter.name, name),
    values: (archive, ...rest) => adapter.values(inside(archive), ...rest),
    check: (origin, from) => {
      const check = adapter.check({ ...origin, archive: inside(origin.archive) }, from);
      return {
        open: (entry, saved) =>
          check.open({ ...entry, name: renameEntry(entry.name, name, adapter.name) ?? entry.name }, saved),
        save: () => check.save(),
        end: () => check.end(),
      };
    },
    ...(scratch ? { scratch: namedScratch(scratch, inside) } : {}),
    ...(comparison ? { comparison: namedComparison(comparison, name, adapter.name) } : {}),
  };
}

function namedScratch(scratch: Scratch, inside: (archive: EntryReader) => EntryReader): Scratch {
  return { ...scratch, route: (archive, ...rest) => scratch.route(inside(archive), ...rest) };
}

function namedComparison(comparison: RecordComparison, name: string, folder: string): RecordComparison {
  const inside = (archive: EntryReader) => renamedFolder(archive, name, folder);
  const { mayHold } = comparison;
  return {
    ...comparison,
    prepare: ({ archives, ...subject }) => comparison.prepare({ ...subject, archives: archives.map(inside) }),
    reader: (basis, start) => {
      const reader = comparison.reader(basis, start);
      return {
        read: (piece, archive) => reader.read(renamed(piece, name, folder), inside(archive)),
        save: () => reader.save(),
      };
    },
    ...(mayHold
      ? { mayHold: (entry, wanted) => mayHold(renameEntry(entry, name, folder) ?? entry, wanted) }
      : {}),
  };
}

/** A store of an adapter under another name. */
function namedStore(store: Store, name: ServedStore): Store {
  const folder = store.name;
  const own = (context: LegContext): LegContext => ({ ...context, jobId: ownJobId(context.jobId, name) });
  const inside = <Leg extends Omit<RestoreInput, 'options'>>(leg: Leg): Leg => ({
    ...leg,
    archive: renamedFolder(leg.archive, name, folder),
    context: own(leg.context),
  });
  const { prove, setting, testLoad, label } = store;
  return {
    name,
    kind: store.kind,
    probe: (context) => store.probe(own(context)),
    ...(prove ? { prove: (context) => prove.call(store, own(context)) } : {}),
    plan: (context, probe) => store.plan(own(context), probe),
    async *export(shard, cursor, context) {
      for await (const { piece, companions, ...step } of store.export(shard, cursor, own(context))) {
        yield {
          ...step,
          piece: renamed(piece, folder, name),
          ...(companions ? { companions: companions.map((one) => renamed(one, folder, name)) } : {}),
        };
      }
    },
    cleanup: (context) => store.cleanup(own(context)),
    names: (context) => store.names(own(context)),
    ...(setting
      ? { setting: (wanted, bytesMax, context) => setting.call(store, wanted, bytesMax, own(context)) }
      : {}),
    admits: (restore) => store.admits(inside(restore)),
    ...(testLoad ? { testLoad: (leg) => testLoad.call(store, inside(leg)) } : {}),
    clear: (leg) => store.clear(inside(leg)),
    load: (leg) => store.load(inside(leg)),
    verify: (leg) => store.verify(inside(leg)),
    smoke: (question, context) => store.smoke(question, own(context)),
    missing: (what, values, context) => store.missing(what, values, own(context)),
    ...(label ? { label: (leg) => label.call(store, inside(leg)) } : {}),
    occupied: (context) => store.occupied(own(context)),
    remove: (context) => store.remove(own(context)),
    finish: (context) => store.finish(own(context)),
    close: () => store.close(),
  };
}

/** A piece in the folder of the store. Throws TypeError for an entry that is not in the folder that it leaves. */
function renamed<Piece extends EntryPiece>(piece: Piece, from: string, to: string): Piece {
  const name = renameEntry(piece.name, from, to);
  if (name === undefined) throw new TypeError(`the entry ${piece.name} is not in the folder ${from}/`);
  return { ...piece, name };
}

/**
 * The ID from which an adapter derives names of temporary objects: stores of one target may share a server. At most 80
 * characters.
 */
function ownJobId(jobId: string, name: ServedStore): string {
  const id = `${jobId}_${name}`;
  if (id.length <= JOB_ID_MAX) return id;
  const hash = createHash('sha256').update(jobId).digest('hex').slice(0, HASH_CHARACTERS);
  return `${jobId.slice(0, JOB_ID_MAX - name.length - HASH_CHARACTERS - 2)}_${hash}_${name}`;
}
