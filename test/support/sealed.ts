import type { NgbakConfig } from '../../shared/core/config.ts';
import type { Json } from '../../shared/core/json.ts';
import type { ServedStore } from '../../shared/core/store-names.ts';
import { resolveStore } from '../../shared/profiles/open.ts';
import { buildArchive, DRAFT } from '../archive/build.ts';
import type { MemoryArchive } from '../stores/memory-archive.ts';

/** The exports of stores as one archive with their kinds and scopes, as a backup of the target seals it. */
export function sealExports(
  config: NgbakConfig,
  target: string,
  parts: readonly (readonly [ServedStore, MemoryArchive])[],
): Promise<Buffer> {
  const resolved = parts.map(([store]) => [store, resolveStore(config, target, store)] as const);
  const backends = resolved.map(([store, { adapter }]) => [store, { kind: adapter.kind, version: '1' }]);
  const entries = parts.flatMap(([, { files }]) => [...files].map(([name, data]) => ({ name, data })));
  return buildArchive(entries, {
    draft: {
      ...DRAFT,
      storage_backends: Object.fromEntries(backends),
      scope: {
        ...DRAFT.scope,
        stores: parts.map(([store]) => store),
        scopes: Object.fromEntries(resolved.map(([store, { scope }]) => [store, scope as Json])),
      },
    },
  });
}
