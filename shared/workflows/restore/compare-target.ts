import type { Manifest } from '../../archive/format/manifest.ts';
import { type OpenedArchive, openArchive } from '../../archive/read/open.ts';
import { countRecords } from '../../catalog/record-counts.ts';
import { findTarget } from '../../core/config.ts';
import { describeSubset } from '../../core/describe-subset.ts';
import type { StoreName } from '../../core/store-names.ts';
import { missingAmong } from '../../core/subset.ts';
import { openStore, resolveStore, withStore, withUsedStore } from '../../profiles/open.ts';
import { countReferences } from '../../profiles/references.ts';
import { overlappingStores } from '../../profiles/separate-stores.ts';
import { viewOf } from '../../profiles/view.ts';
import { warningText } from '../../stores/describe-warning.ts';
import type { StoreProbe } from '../../stores/export-step.ts';
import { kindOf, tallyKind, thingOf } from '../../stores/known-facts.ts';
import type { SpaceEstimate } from '../../stores/room.ts';
import type { Store } from '../../stores/store.ts';
import { WarningCollector } from '../../stores/warning.ts';
import { inconsistencies, isInconsistency } from '../backup/verify.ts';
import { type DrillPlace, isRehearsal } from '../drill/destination.ts';
import { scratchProblems } from '../drill/scratch.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { readCheckResult } from '../job/check-leg.ts';
import { legContext } from '../job/leg-context.ts';
import { compareConfiguration } from './compare-configuration.ts';
import { notEmpty } from './empty-target.ts';
import type { Inspection, InspectionRecord } from './inspection.ts';
import { openSource } from './open-source.ts';
import {
  type AdmittedRestore,
  type ObjectVersion,
  type ResolvedRestore,
  scopesOf,
  storeOptions,
} from './plan.ts';
import { drillOptions } from './request.ts';
import { expiryWarnings, readThrough, reasonOf, routeStore, scopeChange } from './routes.ts';
import { smokeBefore } from './smoke.ts';
import { type Measured, serverWarnings, systemWarnings } from './version-warnings.ts';

type StoreInspection = Inspection['stores'][number];
/** A restore as it would run if it were approved. */
type ProposedRestore = AdmittedRestore & ResolvedRestore;

/** Findings about archive and target that do not require a connection to a store. */
interface InspectionFindings {
  readonly problems: string[];
  readonly warnings: string[];
}

/**
 * Compares a verified archive with its target: whether every store can load it, what the target holds now, and where
 * the data would go. Reads the stores and writes to none.
 */
export async function compareWithTarget(
  environment: Environment,
  requested: AdmittedRestore & Pick<ResolvedRestore, 'archive'>,
  leg: LegLimits,
): Promise<InspectionRecord> {
  const { bucket } = environment;
  const upload = await openSource(bucket, requested.source);
  const archive = await openArchive(await openSource(bucket, requested.archive));
  const { manifest } = archive;
  const held = new Set<StoreName>(manifest.scope.stores);
  const stores = requested.stores.filter((store) => held.has(store));
  const { restore, routes, refusals } = await routeOrRehearse(environment, requested, archive, stores);
  const { problems, warnings } = await compareScopes(environment, restore, manifest, stores);
  const proposed: ProposedRestore = { ...restore, stores, routes };
  // A rollback is attempted in any case.
  if (restore.rollback_of === undefined) {
    problems.push(...(await overlappingStores(environment.config, restore.target, scopesOf(proposed))));
  }
  const measured: Measured = {};
  const compared = await Promise.all(
    stores.map((name) =>
      compareStore(environment, { proposed, archive, measured }, name, refusals.get(name), leg),
    ),
  );
  warnings.push(...systemWarnings(environment.config, restore, manifest, measured));
  for (const { store, problems: found } of compared) {
    problems.push(...found.map((problem) => `${store}: ${problem}`));
  }
  const context = legContext(environment, leg, restore.job_id);
  const configuration = await compareConfiguration(environment, restore.target, archive, context);
  return {
    job_id: restore.job_id,
    target: restore.target,
    inspected_at: new Date().toISOString(),
    archive: describeArchive(manifest, upload.size, restore),
    stores: compared,
    ...(configuration === undefined ? {} : { configuration }),
    references: problems.length > 0 ? [] : await inspectReferences(environment, proposed, archive, leg),
    warnings,
    problems,
    resolved: {
      options: restore.options,
      stores,
      archive: restore.archive,
      routes,
      ...(restore.drill ? { drill: restore.drill } : {}),
    },
  };
}

/** Compares the contents of the archive, the request and the target with each other. */
async function compareScopes(
  { bucket, config }: Environment,
  { job_id, target, options, attach_of, drill }: AdmittedRestore,
  manifest: Manifest,
  stores: readonly StoreName[],
): Promise<InspectionFindings> {
  const held = new Set<StoreName>(manifest.scope.stores);
  const problems: string[] = [];
  const warnings: string[] = [];
  const checked = await readCheckResult(bucket, job_id);
  problems.push(...inconsistencies(checked.warnings));
  for (const { store, ...warning } of checked.warnings) {
    if (!isInconsistency(warning)) warnings.push(`${store}: ${warningText(warning)}`);
  }
  for (const store of missingAmong([...held], options))
    problems.push(`the archive does not contain ${store}, which was requested`);
  const isLimited = options.stores !== undefined || options.only !== undefined;
  for (const store of held) {
    if (store !== 'config' && !isLimited && !stores.includes(store)) {
      if (drill) problems.push(`target "${target}" has no ${store}, which a drill would have to restore`);
      warnings.push(`the archive contains ${store}, which target "${target}" does not have: it is left out`);
    }
  }
  if (drill && findTarget(config, target).profile !== findTarget(config, drill.of).profile) {
    problems.push(`target "${target}", which is there for the drill, has another profile`);
  }
  if (attach_of !== undefined && options.mode !== 'merge') {
    problems.push('deferred relationships can only be attached by merging');
  }
  if (manifest.scope.only) {
    warnings.push(
      `the archive contains only a subset (${describeSubset(manifest.scope.only)}): the rest of these stores is left unchanged`,
    );
  }
  if (stores.length === 0) problems.push('archive and target have no store in common');
  return { problems, warnings };
}

function describeArchive(
  manifest: Manifest,
  bytes: number,
  { archive, source }: { archive: ObjectVersion; source: ObjectVersion },
): Inspection['archive'] {
  const { scope, ngbak_version, nano_graphrag_version: system_version, system_evidence } = manifest;
  return {
    backup_id: manifest.backup_id,
    created_at: manifest.created_at,
    bytes,
    entries: manifest.index.entries,
    uncompressed_bytes: manifest.index.bytes,
    checksum: manifest.checksum,
    ...(scope.target === undefined ? {} : { origin: scope.target }),
    ...(scope.only === undefined ? {} : { only: scope.only }),
    normalized: archive.key !== source.key,
    lacks: manifest.lacks ?? [],
    ...(ngbak_version === undefined ? {} : { ngbak_version }),
    ...(system_version == null ? {} : { system_version }),
    ...(system_evidence === undefined ? {} : { system_evidence }),
  };
}

/**
 * Determines the destination of each store's data. A drill without scratch names becomes a rehearsal, if its request
 * allows that.
 */
async function routeOrRehearse<T extends AdmittedRestore>(
  environment: Environment,
  restore: T,
  archive: OpenedArchive,
  stores: readonly StoreName[],
): Promise<Awaited<ReturnType<typeof routeStores>> & { restore: T }> {
  const routed = await routeStores(environment, restore, archive, stores);
  const [reason] = routed.refusals.values();
  if (reason === undefined || !restore.drill?.or_rehearse) return { restore, ...routed };
  const drill: DrillPlace = { of: restore.drill.of, place: 'none', reason };
  const rehearsal = { ...restore, drill, options: drillOptions({ drill }) };
  return { restore: rehearsal, ...(await routeStores(environment, rehearsal, archive, stores)) };
}

/** Determines the destination of each store's data, or the reason why its names can't be rewritten. */
async function routeStores(
  { config }: Environment,
  restore: AdmittedRestore,
  archive: OpenedArchive,
  stores: readonly StoreName[],
): Promise<{ routes: ResolvedRestore['routes']; refusals: Map<StoreName, string> }> {
  const routes: ResolvedRestore['routes'] = {};
  const refusals = new Map<StoreName, string>();
  const route = async (name: StoreName) => {
    try {
      if (name !== 'config') routes[name] = await routeStore(config, restore, archive, name);
    } catch (error) {
      refusals.set(name, reasonOf(error));
    }
  };
  await Promise.all(stores.map(route));
  return { routes, refusals };
}

/** Counts references before anything is written. Target stores that are not restored are queried. */
async function inspectReferences(
  environment: Environment,
  proposed: ProposedRestore,
  archive: OpenedArchive,
  leg: LegLimits,
): Promise<Inspection['references']> {
  const { config } = environment;
  const opened = new Map<StoreName, Promise<Store>>();
  const open = (name: StoreName) => {
    const store = opened.get(name) ?? openStore(config, proposed.target, name);
    opened.set(name, store);
    return store;
  };
  try {
    const context = legContext(environment, leg, proposed.job_id);
    return await countReferences(config, proposed, archive, open, context);
  } finally {
    for (const store of await Promise.allSettled(opened.values())) {
      if (store.status === 'fulfilled') await store.value.close();
    }
  }
}

/**
 * Inspects one store of the target: whether it can load its part of the archive, and what it holds now.
 *
 * @param measured    receives what the target holds now
 * @param unroutable  why there is no route for its data
 */
async function compareStore(
  environment: Environment,
  { proposed, archive, measured }: { proposed: ProposedRestore; archive: OpenedArchive; measured: Measured },
  name: StoreName,
  unroutable: string | undefined,
  leg: LegLimits,
): Promise<StoreInspection> {
  const { config } = environment;
  const { manifest } = archive;
  const saved = manifest.storage_backends[name]?.version;
  const counts = countsAtDestination(manifest, proposed, name);
  const otherScope = scopeChange(config, proposed, archive, name);
  const look = async (store: Store): Promise<StoreInspection> => {
    const found = new WarningCollector();
    const rooms: SpaceEstimate[] = [];
    const room = (reported: SpaceEstimate) => void rooms.push(reported);
    const context = legContext(environment, leg, proposed.job_id, { warnings: found, room });
    const probe = await store.probe(context);
    measured[name] = probe;
    const refusals = unroutable === undefined ? [] : [unroutable];
    const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
      try {
        return await work();
      } catch (error) {
        refusals.push(reasonOf(error));
        return undefined;
      }
    };
    const view = viewOf(config, proposed, archive, name);
    const renamed = (proposed.routes[name]?.changes.length ?? 0) > 0;
    if (renamed) await attempt(() => readThrough(view, name, context));
    const expiries = (await attempt(() => expiryWarnings(config, proposed, archive, name))) ?? [];
    const admitted =
      refusals.length > 0
        ? []
        : await store.admits({ archive: view, options: storeOptions(proposed), context });
    // Refusing a rollback would leave an incomplete target: problems that would refuse a restore are reported, and the
    // rollback is attempted anyway.
    const isRollback = proposed.rollback_of !== undefined;
    const { drill } = proposed;
    const scope = proposed.routes[name]?.scope;
    const occupied =
      drill && !isRehearsal(proposed) && scope !== undefined
        ? await scratchProblems(environment, { ...proposed, drill, scope }, store, context)
        : [];
    const replacement = await checkReplacement(archive, proposed, probe, name, counts);
    return {
      store: name,
      kind: probe.kind,
      version: probe.version,
      ...(saved === undefined ? {} : { saved_version: saved }),
      archive: counts,
      target: probe.counts,
      warnings: [
        ...[...probe.warnings, ...found.all()].map(warningText),
        ...(isRollback ? admitted : []),
        ...expiries,
        ...serverWarnings(manifest, name, probe, versionNotesOf(environment, proposed.target, name)),
        ...replacement.warnings,
      ],
      changes: [...(proposed.routes[name]?.changes ?? []), ...(otherScope === undefined ? [] : [otherScope])],
      smoke: await smokeBefore(config, proposed, store, context),
      ...roomRecord(rooms.at(-1)),
      problems: [...refusals, ...(isRollback ? [] : admitted), ...replacement.problems, ...occupied],
    };
  };
  const open = proposed.rollback_of === undefined ? withStore : withUsedStore;
  return open(config, proposed.target, name, look, scopesOf(proposed));
}

function versionNotesOf({ config }: Environment, target: string, name: StoreName) {
  return name === 'config' ? undefined : resolveStore(config, target, name).adapter.versionNotes;
}

/**
 * Problems with replacing the contents of the target: it was required to be empty, or the archive has no records to
 * replace them with.
 */
async function checkReplacement(
  archive: OpenedArchive,
  proposed: ProposedRestore,
  probe: StoreProbe,
  name: StoreName,
  counts: Readonly<Record<string, number>>,
): Promise<InspectionFindings> {
  const held = notEmpty(proposed, probe);
  if (held !== undefined) return { problems: [held], warnings: [] };
  const empty = storeOptions(proposed).mode === 'replace' && (await isEmpty(archive, name, counts));
  if (!empty) return { problems: [], warnings: [] };
  const isAllowed = proposed.options.allow_empty || proposed.rollback_of !== undefined;
  if (isAllowed || countRecords(probe.counts) === 0) {
    return { problems: [], warnings: ['the archive has no records of this store: it will be empty'] };
  }
  return {
    problems: [
      'the archive has no records of this store, and the target has some, which would be deleted; leave the store out, or allow it (`--allow-empty`, "allow_empty": true)',
    ],
    warnings: [],
  };
}

function roomRecord(room: SpaceEstimate | undefined): Pick<StoreInspection, 'room'> {
  if (!room) return {};
  const { of, needed, free, total } = room;
  return {
    room: {
      of,
      needed_bytes: needed,
      ...(free === undefined ? {} : { free_bytes: free }),
      ...(total === undefined ? {} : { total_bytes: total }),
    },
  };
}

/**
 * Whether an archive has no records of a store. If its writer did not count records, the store is empty only if it has
 * no entries.
 */
async function isEmpty(
  archive: OpenedArchive,
  name: StoreName,
  counts: Readonly<Record<string, number>>,
): Promise<boolean> {
  if (name === 'config') return false;
  if (archive.manifest.tallies[name] !== undefined) return countRecords(counts) === 0;
  for await (const _ of archive.entries(`${name}/`)) return false;
  return true;
}

/** The counts that the archive states for the restored parts, under the names of the destination. */
function countsAtDestination(
  { tallies }: Manifest,
  { options: { only }, routes }: ProposedRestore,
  name: StoreName,
): Record<string, number> {
  const route = routes[name];
  return Object.fromEntries(
    Object.entries(tallies[name] ?? {}).flatMap(([tally, { count }]) => {
      const [things, thing] = [tallyKind(tally)?.things, thingOf(tally)];
      if (things === undefined || thing === undefined) return [[tally, count]];
      if (things.areRenamed && route && route.changes.length > 0) {
        const to = route.names[thing];
        return to === undefined ? [] : [[`${kindOf(tally)}:${to}`, count]];
      }
      return only?.[things.field]?.includes(thing) === false ? [] : [[tally, count]];
    }),
  );
}
