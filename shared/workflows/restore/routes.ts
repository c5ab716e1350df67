import type { Manifest } from '../../archive/format/manifest.ts';
import type { EntryReader } from '../../archive/format/types.ts';
import type { OpenedArchive } from '../../archive/read/open.ts';
import { findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import { isSameJson } from '../../core/input.ts';
import { roleOf, type ServedStore, type StoreName } from '../../core/store-names.ts';
import { withinSubset } from '../../core/subset.ts';
import { ngraf023 } from '../../profiles/ngraf-023.ts';
import { resolveStore } from '../../profiles/open.ts';
import { profileScopes } from '../../profiles/profiles.ts';
import { RouteRecord } from '../../profiles/routes-record.ts';
import { expiringNamespaces, isNgraf023Keys, type SavedArchive } from '../../profiles/view.ts';
import { FACTS } from '../../stores/known-facts.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Route } from '../../stores/route.ts';
import type { StoreAdapter } from '../../stores/store.ts';
import type { AdmittedRestore } from './plan.ts';

/** Characters of a scope that a change shows. */
const SCOPE_SHOWN_MAX = 300;

/**
 * Determines the destination of one store's data from the archive, the configuration and the request. Throws
 * InvalidInputError with the reason if a name can't be rewritten safely.
 */
export async function routeStore(
  config: NgbakConfig,
  plan: AdmittedRestore,
  archive: OpenedArchive,
  name: ServedStore,
): Promise<RouteRecord> {
  const { adapter, scope: configured } = resolveStore(
    config,
    plan.target,
    name,
    plan.options.rename?.parameters,
  );
  const { manifest } = archive;
  const saved = savedScope(config, plan, manifest, adapter, name);
  const written = plan.attach_scope === undefined ? saved : adapter.Scope.parse(plan.attach_scope);
  if (plan.drill?.place === 'names') return routeScratch(plan, archive, name, adapter, { saved, configured });
  const usesSavedScopes = restoresSavedScopes(plan);
  const target =
    usesSavedScopes && plan.options.rename === undefined && written !== undefined ? written : configured;
  const sameProfile = manifest.scope.profile === findTarget(config, plan.target).profile;
  const { rename = {} } = plan.options;
  const only = usesSavedScopes
    ? (plan.options.only ?? {})
    : (withinSubset(manifest.scope.only, plan.options.only) ?? {});
  const origin = plan.options.label_origin ? originOf(manifest) : undefined;
  const route: Route = await adapter.route(archive, saved, target, { only, rename, sameProfile, origin });
  return RouteRecord.parse(JSON.parse(JSON.stringify(route)));
}

/**
 * The route into scratch names, for a drill. Throws InvalidInputError if the records have no names that could be
 * changed.
 */
async function routeScratch(
  { target, job_id }: AdmittedRestore,
  archive: OpenedArchive,
  name: ServedStore,
  { kind, scratch }: StoreAdapter,
  { saved, configured }: { readonly saved: unknown; readonly configured: unknown },
): Promise<RouteRecord> {
  const remedy = `Configure a target for drills of "${target}", with separate stores and "drills_of": ["${target}"], or rehearse without one: \`ngbak drill --rehearse\` (docs/drills.md).`;
  try {
    if (scratch === undefined) {
      throw new InvalidInputError(`A store of kind "${kind}" has no names that could be changed.`, {
        remedy,
      });
    }
    const route: Route = await scratch.route(archive, saved, configured, job_id);
    return RouteRecord.parse(JSON.parse(JSON.stringify(route)));
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    throw new InvalidInputError(`There is no scratch place for the ${name}: ${error.message}`, {
      remedy,
      cause: error,
    });
  }
}

/**
 * Whether data is restored into the scope that it was saved from instead of the configured one. Only for archives that
 * ngbak itself stores, and never based on a manifest: otherwise the author of an archive could choose what is cleared.
 */
function restoresSavedScopes({ attach_of, rollback_of, saved_scopes }: AdmittedRestore): boolean {
  return attach_of !== undefined || rollback_of !== undefined || saved_scopes === true;
}

/**
 * Reports that an archive of this target was saved from a scope other than the destination. Undefined if the scopes are
 * the same.
 */
export function scopeChange(
  config: NgbakConfig,
  plan: AdmittedRestore,
  { manifest }: OpenedArchive,
  name: StoreName,
): string | undefined {
  const saved: unknown = manifest.scope.scopes?.[name];
  if (saved === undefined || name === 'config' || manifest.scope.only !== undefined) return undefined;
  if (manifest.scope.target !== plan.target || restoresSavedScopes(plan)) return undefined;
  const { scope, adapter } = resolveStore(config, plan.target, name, plan.options.rename?.parameters);
  const parsed = adapter.Scope.safeParse(saved);
  if (parsed.success && isSameJson({ scope: parsed.data }, { scope })) return undefined;
  return `the archive was saved from a different scope than the target's current one: ${showScope(saved)}; only the target's own scope is cleared and restored: ${showScope(scope)}`;
}

/**
 * A scope on one line. The text of an archive is untrusted: it is truncated, and stripped of characters that change the
 * direction of text.
 */
function showScope(scope: unknown): string {
  const text = JSON.stringify(scope).replaceAll(/[\p{C}\u2028\u2029]/gu, '\ufffd');
  return text.length <= SCOPE_SHOWN_MAX ? text : `${text.slice(0, SCOPE_SHOWN_MAX)}…`;
}

/** The origin of restored data, as reported in the job and, on request, written onto the data. */
export function originOf({ backup_id, created_at, scope }: Manifest): Record<string, string> {
  return {
    restored_from_backup: backup_id,
    backup_timestamp: created_at,
    ...(scope.target === undefined ? {} : { original_target: scope.target }),
  };
}

/** The scope that the archive was saved from. Undefined if it states none, or not in this adapter's format. */
function savedScope(
  config: NgbakConfig,
  plan: AdmittedRestore,
  { scope, storage_backends }: Manifest,
  adapter: StoreAdapter,
  name: ServedStore,
): unknown {
  const parse = (value: unknown) => {
    const parsed = adapter.Scope.safeParse(value);
    return parsed.success ? parsed.data : undefined;
  };
  if (scope.scopes?.[name] !== undefined) return parse(scope.scopes[name]);
  // Archives of earlier versions state profile and parameters only, which the configuration may have overridden.
  if (scope.target === plan.target) return resolveStore(config, plan.target, name).scope;
  if (scope.profile === undefined || scope.profile === 'custom') return undefined;
  try {
    return parse(
      profileScopes(scope.profile, scope.parameters ?? {}, storage_backends.kv?.kind)[roleOf(name)],
    );
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  }
}

/**
 * Warnings about expiries that the archive of a store does not state, which name the option that sets them. Throws
 * InvalidInputError if that option is given for an archive that states its expiries.
 */
export async function expiryWarnings(
  config: NgbakConfig,
  plan: AdmittedRestore,
  archive: SavedArchive,
  name: StoreName,
): Promise<string[]> {
  if (name !== 'kv') return [];
  const { adapter } = resolveStore(config, plan.target, name);
  const chosen = plan.options.default_expiries;
  if (!isNgraf023Keys(archive, adapter)) {
    if (chosen === undefined) return [];
    throw new InvalidInputError(
      '"default_expiries" is for keys of NGRAF-023; this archive contains its expiry times.',
      {
        remedy: 'Leave "default_expiries" out.',
      },
    );
  }
  const defaults = ngraf023.expiries ?? {};
  const namespaces = await expiringNamespaces(archive);
  if (namespaces.length === 0) return [];
  const expiring = namespaces
    .map((namespace) => `${namespace} after ${(defaults[namespace] ?? 0) / 3600} hours`)
    .join(', ');
  return [
    chosen === undefined
      ? `the archive contains no expiry times: keys that expire in NGRAF-023 (${expiring}) never expire, unless the restore sets its defaults, counted from the backup or from the restore (\`--default-expiries\`, "default_expiries")`
      : `the archive contains no expiry times: NGRAF-023's defaults are set, counted ${chosen === 'from-backup' ? 'from the backup' : 'from the restore'} (${expiring}); keys that have expired by then are not restored`,
  ];
}

/**
 * Reads all entries that a view rewrites, so that a record that can't be rewritten is reported before anything is
 * written. If time does not suffice, such a record is found during the load, which is then rolled back.
 */
export async function readThrough(view: EntryReader, name: StoreName, context: LegContext): Promise<void> {
  const opaque = FACTS.flatMap(({ opaqueEntries }) => opaqueEntries ?? []);
  for await (const entry of view.entries(`${name}/`)) {
    // Files in the server's own format are loaded unchanged.
    if (opaque.some((end) => entry.name.endsWith(end))) continue;
    for await (const _chunk of view.open(entry)) context.signal.throwIfAborted();
    if (context.timeLeft() > 0) continue;
    context.log('The remaining entries are checked while they are loaded.', { entry: entry.name });
    return;
  }
}

/** The reason why a route is refused, as text. Rethrows other errors. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof NgbakError) || error.retryable) throw error;
  return `${error.message} ${error.remedy}`;
}
