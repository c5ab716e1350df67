import type { z } from 'zod';
import type { Manifest } from '../archive/format/manifest.ts';
import type { EntryReader } from '../archive/format/types.ts';
import type { NgbakConfig } from '../core/config.ts';
import type { StoreName } from '../core/store-names.ts';
import { namespacesOf, viewWholeKeys } from '../stores/redis/ngraf-023.ts';
import type { StoreAdapter } from '../stores/store.ts';
import { ngraf023 } from './ngraf-023.ts';
import { resolveStore } from './open.ts';
import type { Routes } from './routes-record.ts';

/** An archive, with what it says about itself where it was opened as a whole. */
export type SavedArchive = EntryReader & { readonly manifest?: Manifest };

/** What a restore says about how its archive is read; without options, expiries that the archive lacks stay unknown. */
interface ViewedPlan {
  readonly target: string;
  readonly routes?: z.infer<typeof Routes> | undefined;
  readonly options?: { readonly default_expiries?: 'from-backup' | 'from-restore' | undefined };
  readonly created_at?: string;
}

/** The archive as one store's restore reads it. */
export function viewOf(
  config: NgbakConfig,
  plan: ViewedPlan,
  archive: SavedArchive,
  name: StoreName,
): EntryReader {
  const route = plan.routes?.[name];
  if (!route || name === 'config') return archive;
  const { adapter } = resolveStore(config, plan.target, name);
  const scope: unknown = adapter.Scope.parse(route.scope);
  const whole = isNgraf023Keys(archive, adapter)
    ? viewWholeKeys(archive, defaultExpiries(plan, archive))
    : archive;
  return adapter.view(whole, { ...route, scope });
}

/** Whether keys come from an archive of NGRAF-023, which has neither their prefix nor their expiries. */
export function isNgraf023Keys({ manifest }: SavedArchive, { kind }: StoreAdapter): boolean {
  return manifest?.ngraf_023 !== undefined && kind === 'redis';
}

/** Namespaces of an archive of NGRAF-023 whose keys expired on its server. */
export function expiringNamespaces(archive: EntryReader): Promise<string[]> {
  return namespacesOf(archive, Object.keys(ngraf023.expiries ?? {}));
}

/** When keys expire by the option `default_expiries`: by namespace, in ms since 1970. */
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
