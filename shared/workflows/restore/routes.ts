import type { Manifest } from '../../archive/format/manifest.ts';
import type { EntryReader } from '../../archive/format/types.ts';
import type { OpenedArchive } from '../../archive/read/open.ts';
import { findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import { isSameJson } from '../../core/input.ts';
import type { StoreName } from '../../core/store-names.ts';
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
 * Where a restore puts the data of one store, from what the archive, the configuration and the request say. Throws
 * InvalidInputError that gives the reason where a name can't be rewritten safely.
 */
export async function routeStore(
  config: NgbakConfig,
  plan: AdmittedRestore,
  archive: OpenedArchive,
  name: Exclude<StoreName, 'config'>,
): Promise<RouteRecord> {
  const { adapter, scope: configured } = resolveStore(
    config,
    plan.target,
    name,
    plan.options.rename?.parameters,
  );
  const { manifest } = archive;
  const saved = savedScope(config, plan, manifest, adapter, name);
  if (plan.drill?.place === 'names') return routeScratch(plan, archive, name, adapter, { saved, configured });
  const goesBack = restoresSavedScopes(plan);
  const target = goesBack && plan.options.rename === undefined && saved !== undefined ? saved : configured;
  const sameProfile = manifest.scope.profile === findTarget(config, plan.target).profile;
  const { rename = {} } = plan.options;
  const only = goesBack
    ? (plan.options.only ?? {})
    : (withinSubset(manifest.scope.only, plan.options.only) ?? {});
  const origin = plan.options.label_origin ? originOf(manifest) : undefined;
  const route: Route = await adapter.route(archive, saved, target, { only, rename, sameProfile, origin });
  return RouteRecord.parse(JSON.parse(JSON.stringify(route)));
}

/** The way into scratch names, for a drill. Throws InvalidInputError if the records have no names that could be changed. */
async function routeScratch(
  { target, job_id }: AdmittedRestore,
  archive: OpenedArchive,
  name: Exclude<StoreName, 'config'>,
  { kind, scratch }: StoreAdapter,
  { saved, configured }: { readonly saved: unknown; readonly configured: unknown },
): Promise<RouteRecord> {
  const remedy = `Configure a target for drills of "${target}", with stores of its own and "drills_of": ["${target}"] (docs/drills.md).`;
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
 * Whether data go back into the scope that they were saved from, in place of the configured one. Only for archives that
 * ngbak itself keeps, and never because a manifest asks for it: what is cleared would be the choice of its author.
 */
function restoresSavedScopes({ attach_of, rollback_of, saved_scopes }: AdmittedRestore): boolean {
  return attach_of !== undefined || rollback_of !== undefined || saved_scopes === true;
}

/**
 * Says that an archive of this target was saved from another scope than the one which is restored; undefined where it
 * is the same one.
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

/** A scope in one line. An archive may say anything there: bounded, and without characters that turn text around. */
function showScope(scope: unknown): string {
  const text = JSON.stringify(scope).replaceAll(/[\p{C}\u2028\u2029]/gu, '\ufffd');
  return text.length <= SCOPE_SHOWN_MAX ? text : `${text.slice(0, SCOPE_SHOWN_MAX)}…`;
}

/** Where restored data comes from, as it is reported in the job and, on request, on the data. */
export function originOf({ backup_id, created_at, scope }: Manifest): Record<string, string> {
  return {
    restored_from_backup: backup_id,
    backup_timestamp: created_at,
    ...(scope.target === undefined ? {} : { original_target: scope.target }),
  };
}

/** The scope that the archive was saved from; undefined where it does not say, or not in this adapter's terms. */
function savedScope(
  config: NgbakConfig,
  plan: AdmittedRestore,
  { scope, storage_backends }: Manifest,
  adapter: StoreAdapter,
  name: Exclude<StoreName, 'config'>,
): unknown {
  const parse = (value: unknown) => {
    const parsed = adapter.Scope.safeParse(value);
    return parsed.success ? parsed.data : undefined;
  };
  if (scope.scopes?.[name] !== undefined) return parse(scope.scopes[name]);
  // Archives of earlier versions name profile and parameters only, and configuration may have overridden them.
  if (scope.target === plan.target) return resolveStore(config, plan.target, name).scope;
  if (scope.profile === undefined || scope.profile === 'custom') return undefined;
  try {
    return parse(profileScopes(scope.profile, scope.parameters ?? {}, storage_backends.kv?.kind)[name]);
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  }
}

/**
 * What to know about expiries that the archive of a store does not state: in words, with the option that sets them. Throws
 * InvalidInputError where that option is given for an archive that states them.
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
 * Reads what a view rewrites to its end, so that a record which can't be rewritten is reported before anything is written.
 * An archive for which there is no time for that is reported when it is loaded, and rolled back.
 */
export async function readThrough(view: EntryReader, name: StoreName, context: LegContext): Promise<void> {
  const opaque = FACTS.flatMap(({ opaqueEntries }) => opaqueEntries ?? []);
  for await (const entry of view.entries(`${name}/`)) {
    // The server's own files are loaded as they are.
    if (opaque.some((end) => entry.name.endsWith(end))) continue;
    for await (const _chunk of view.open(entry)) context.signal.throwIfAborted();
    if (context.timeLeft() > 0) continue;
    context.log('The remaining entries are checked while they are loaded.', { entry: entry.name });
    return;
  }
}

/** The reason why a route is refused, in words; other errors are thrown on. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof NgbakError) || error.retryable) throw error;
  return `${error.message} ${error.remedy}`;
}
