import type { OpenedArchive } from '../../archive/read/open.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import { findAdapter } from '../registry.ts';
import type { StoreAdapter } from '../store.ts';
import {
  type Counts,
  comparedAmong,
  type OpenedComparison,
  type StoresComparison,
} from './compare-stores.ts';
import { archiveSource, NO_SOURCE } from './sources.ts';

/** The stores that one of these archives contains, of those that can be compared. */
export function storesIn(archives: readonly OpenedArchive[], wanted?: readonly StoreName[]): StoreName[] {
  const held = archives.flatMap(({ manifest }) => manifest.scope.stores);
  return comparedAmong(held).filter((store) => wanted === undefined || wanted.includes(store));
}

/** How two archives are compared: everything of {@link StoresComparison} that depends on them alone. */
export function comparisonOf(
  before: OpenedArchive,
  after: OpenedArchive,
  wanted?: readonly StoreName[],
): Pick<StoresComparison, 'stores' | 'counts' | 'open'> {
  return {
    stores: storesIn([before, after], wanted),
    counts: (store) => ({ before: countsIn(before, store), after: countsIn(after, store) }),
    open: (store) => openSides(before, after, store),
  };
}

function countsIn({ manifest }: OpenedArchive, store: StoreName): Counts {
  const tallies = Object.entries(manifest.tallies[store] ?? {});
  return Object.fromEntries(tallies.map(([name, { count }]) => [name, count]));
}

async function openSides(
  before: OpenedArchive,
  after: OpenedArchive,
  store: StoreName,
): Promise<OpenedComparison> {
  const holds = ({ manifest }: OpenedArchive) => manifest.scope.stores.includes(store);
  const archives = [after, before].filter(holds);
  const [adapter, other] = archives.map((archive) => adapterOf(archive, store));
  if (!adapter || (other && other.kind !== adapter.kind)) {
    throw new InvalidInputError(
      `the backups are from different backends, ${other?.kind} and ${adapter?.kind}, whose records are not alike`,
      { remedy: 'Compare backups of the same backend.' },
    );
  }
  const { comparison } = adapter;
  if (!comparison) {
    throw new InvalidInputError(`a store of the kind "${adapter.kind}" can only be compared by its counts`, {
      remedy: 'Compare the records with its own tools.',
    });
  }
  const scope = archives
    .map((archive) => adapter.Scope.safeParse(archive.manifest.scope.scopes?.[store]))
    .find(({ success }) => success)?.data;
  const basis = await comparison.prepare({ archives, scope });
  const sourceOf = (archive: OpenedArchive) =>
    holds(archive) ? archiveSource(archive, store, comparison.pieceBytes) : NO_SOURCE;
  return {
    before: sourceOf(before),
    after: sourceOf(after),
    basis,
    reader: (_side, from) => comparison.reader(basis, { isLive: false, from }),
    setup: null,
    close: () => Promise.resolve(),
  };
}

/** The adapter of the backend that a store was saved from. Throws InvalidInputError if there is none. */
export function adapterOf({ manifest }: OpenedArchive, store: StoreName): StoreAdapter {
  return findAdapter(manifest.storage_backends[store]?.kind ?? 'unknown', store);
}
