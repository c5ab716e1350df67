import type { z } from 'zod';
import type { Manifest } from '../archive/format/manifest.ts';
import type { EntryReader } from '../archive/format/types.ts';
import type { NgbakConfig } from '../core/config.ts';
import { isServed, type StoreName } from '../core/store-names.ts';
import { namespacesOf, viewWholeKeys } from '../stores/redis/ngraf-023.ts';
import type { StoreAdapter } from '../stores/store.ts';
import { ngraf023 } from './ngraf-023.ts';
import { resolveStore } from './open.ts';
import type { Routes } from './routes-record.ts';

/** An archive, with its manifest if it was opened completely. */
export type SavedArchive = EntryReader & { readonly manifest?: Manifest };

/**
 * The parts of a restore plan that determine how its archive is read. Without options, expiries missing from the
 * archive stay unknown.
 */
interface ViewedPlan {
  readonly target: string;
  readonly routes?: z.infer<typeof Routes> | undefined;
  readonly options?: { readonly default_expiries?: 'from-backup' | 'from-restore' | undefined };
  readonly created_at?: string;
}

/** The archive as the restore of one store reads it. */
export function viewOf(
  config: NgbakConfig,
  plan: ViewedPlan,
  archive: SavedArchive,
  name: StoreName,
): EntryReader {
  const route = plan.routes?.[name];
  if (!route || !isServed(name)) return archive;
  const { adapter } = resolveStore(config, plan.target, name);
  const scope: unknown = adapter.Scope.parse(route.scope);
  const complete = isNgraf023Keys(archive, adapter)
    ? viewWholeKeys(archive, defaultExpiries(plan, archive))
    : archive;
  return adapter.view(complete, { ...route, scope });
}

/** Whether keys come from an archive of NGRAF-023, which contains neither their prefix nor their expiries. */
export function isNgraf023Keys({ manifest }: SavedArchive, { kind }: StoreAdapter): boolean {
  return manifest?.ngraf_023 !== undefined && kind === 'redis';
}

/** Namespaces of an NGRAF-023 archive whose keys expired on its server. */
export function expiringNamespaces(archive: EntryReader): Promise<string[]> {
  return namespacesOf(archive, Object.keys(ngraf023.expiries ?? {}));
}

/** Expiry times according to the option `default_expiries`: by namespace, in ms since 1970. */
function defaultExpiries(
  { options, created_at }: ViewedPlan,
  { manifest }: SavedArchive,
): Record<string, number> {
  const how = options?.default_expiries;
  if (how === undefined || created_at === undefined || !manifest) return {};
  const from = Date.parse(how === 'from-backup' ? manifest.created_at : created_at);
  return Object.fromEntries(
    Object.entries(ngraf023.expiries ?? {}).map(([namespace, seconds]) => [namespace, from + seconds * 1000]),
  );
}
