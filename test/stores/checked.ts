import { bufferSource } from '../../shared/archive/read/sources.ts';
import type { Tallies } from '../../shared/core/digest.ts';
import type { Json } from '../../shared/core/json.ts';
import type { StoreName } from '../../shared/core/store-names.ts';
import { type ArchiveCheckResult, checkArchive } from '../../shared/stores/check-archive.ts';
import type { StoreAdapter } from '../../shared/stores/store.ts';
import { buildArchive, DRAFT } from '../archive/build.ts';
import type { MemoryArchive } from './memory-archive.ts';

/** Properties of the test archive other than its entries. */
export interface Sealed {
  readonly store: StoreName;
  readonly kind: string;
  readonly tallies: Tallies;
  readonly version?: string;
  readonly edition?: string;
  readonly scope?: Json;
  /** The adapter of the store, if the registry does not list it. */
  readonly adapter?: StoreAdapter | undefined;
  /** The version of ngbak in the manifest; the current one by default. */
  readonly ngbakVersion?: string;
}

/**
 * Seals the entries of one store, as a backup does, and checks the archive. `legs`: each ends as soon as possible,
 * after each entry and, in entries above `resumeAbove` bytes, within them.
 */
export async function checkSealed(
  { files }: MemoryArchive,
  { store, kind, tallies, version, edition, scope, ngbakVersion, adapter }: Sealed,
  { legs = false, resumeAbove }: { legs?: boolean; resumeAbove?: number } = {},
): Promise<ArchiveCheckResult & { legs: number }> {
  const draft = {
    ...DRAFT,
    ...(ngbakVersion === undefined ? {} : { ngbak_version: ngbakVersion }),
    storage_backends: {
      [store]: {
        kind,
        ...(version === undefined ? {} : { version }),
        ...(edition === undefined ? {} : { edition }),
      },
    },
    scope: {
      ...DRAFT.scope,
      stores: [store],
      ...(scope === undefined ? {} : { scopes: { [store]: scope } }),
    },
    tallies: { [store]: tallies },
  };
  const contents = [...files].map(([name, data]) => ({ name, data }));
  const source = bufferSource('sealed.ngbak', await buildArchive(contents, { draft, level: 1 }));
  let cursor: Json = null;
  let state: Json = null;
  for (let count = 1; ; count++) {
    const result: ArchiveCheckResult = await checkArchive(source, {
      // Serialized, as between two processes.
      cursor: JSON.parse(JSON.stringify(cursor)),
      state: JSON.parse(JSON.stringify(state)),
      timeLeft: () => (legs ? 0 : 1000),
      ...(adapter === undefined ? {} : { adapters: [adapter] }),
      ...(resumeAbove === undefined ? {} : { resumeAbove }),
    });
    if (result.cursor === null) return { ...result, legs: count };
    ({ cursor, state } = result);
  }
}
