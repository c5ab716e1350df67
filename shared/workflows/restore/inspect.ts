import { z } from 'zod';
import type { Manifest } from '../../archive/format/manifest.ts';
import { isSeekable, type OpenedArchive, openArchive } from '../../archive/read/open.ts';
import { s3Source } from '../../archive/read/sources.ts';
import { normalizeToS3 } from '../../archive/write/normalize.ts';
import type { Bucket } from '../../aws/bucket.ts';
import {
  checkResultKey,
  inspectionKey,
  normalizedArchiveKey,
  restorePlanKey,
  UPLOADS,
} from '../../aws/keys.ts';
import { countRecords } from '../../catalog/record-counts.ts';
import { findTarget } from '../../core/config.ts';
import { describePart } from '../../core/describe-part.ts';
import { ANOTHER_ARCHIVE, IntegrityError, InvalidInputError } from '../../core/errors.ts';
import { HELP } from '../../core/help.ts';
import { Id } from '../../core/ids.ts';
import { storesNamed } from '../../core/part.ts';
import type { StoreName } from '../../core/store-names.ts';
import { openStore, resolveStore, storesOf, withStore, withUsedStore } from '../../profiles/open.ts';
import { countReferences } from '../../profiles/references.ts';
import { viewOf } from '../../profiles/view.ts';
import { warningText } from '../../stores/describe-warning.ts';
import { convertScript } from '../../stores/neo4j/script/convert.ts';
import type { Room } from '../../stores/room.ts';
import type { Store } from '../../stores/store.ts';
import { WarningCollector } from '../../stores/warning.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { checkLeg, readCheckResult } from '../job/check-leg.ts';
import { legContext } from '../job/leg-context.ts';
import { ProgressWriter } from '../job/progress.ts';
import { updateJob } from '../job/record.ts';
import { chooseStores } from './choose-stores.ts';
import { compareConfiguration } from './compare-configuration.ts';
import { notEmpty } from './empty-target.ts';
import type { Inspection } from './inspection.ts';
import { type ObjectVersion, type RestorePlan, readRestorePlan, scopesOf, storeOptions } from './plan.ts';
import { RestoreOptions, resolveMode } from './request.ts';
import { REWRITE_MS, refuseIfTooLong } from './rewrite-time.ts';
import { expiryWarnings, readThrough, reasonOf, routeStore, scopeChange } from './routes.ts';
import { askStore } from './smoke.ts';
import { originWarnings, serverWarnings } from './version-warnings.ts';

/** Problems that an error tells; the inspection's record has all of them. */
const PROBLEMS_SHOWN_MAX = 5;

const InspectCursor = z.discriminatedUnion('stage', [
  z.object({ stage: z.literal('format') }),
  z.object({ stage: z.literal('digests'), archive: z.json() }),
  z.object({ stage: z.literal('target') }),
]);
type InspectCursor = z.infer<typeof InspectCursor>;

/** The inspection's loop, as it travels through the workflow's state. */
export const InspectState = z.object({
  job_id: Id,
  cursor: InspectCursor.nullable().default(null),
  done: z.boolean().default(false),
  /** Options that an operator tries in place of those that the job has. */
  options: RestoreOptions.optional(),
});
export type InspectState = z.infer<typeof InspectState>;

/** Output of one leg of the inspection; the last three are there once it is done. */
export type InspectResult = InspectState & { confirmed?: boolean; dry_run?: boolean; refused?: boolean };

/**
 * One leg of the inspection, the only gate before a restore writes: is it a whole, sound archive in every byte; can
 * this target hold it; what is there now. Reads the stores and writes to none. Throws InvalidInputError or
 * IntegrityError that says what prevents the restore; in a dry run, that is reported in the result instead.
 */
export async function inspectArchive(
  environment: Environment,
  state: InspectState,
  leg: LegLimits,
): Promise<InspectResult> {
  const { bucket } = environment;
  const requested = await readRestorePlan(bucket, state.job_id);
  const plan = state.options ? await changeOptions(environment, requested, state.options) : requested;
  const cursor: InspectCursor = state.cursor ?? { stage: 'format' };
  const next = (value: InspectCursor): InspectResult => ({
    job_id: state.job_id,
    cursor: value,
    done: false,
  });
  if (cursor.stage === 'format') {
    await resolveFormat(environment, plan, leg);
    return next({ stage: 'digests', archive: null });
  }
  const source = await openSource(bucket, plan.archive ?? plan.source);
  if (cursor.stage === 'digests') {
    const part = { store: 'archive', shard: 'inspect', phase: 'inspect' } as const;
    const progress = await ProgressWriter.open(bucket, state.job_id, part);
    const { stores } = plan;
    const checked = await checkLeg(bucket, plan.job_id, source, {
      cursor: cursor.archive,
      leg,
      progress: (done, total) => progress.report('bytes', done, total),
      stores,
    });
    await progress.close(checked.cursor === null);
    const [problem, ...others] = checked.problems;
    if (problem !== undefined) {
      throw new IntegrityError(
        `The archive is damaged, or not what was saved, in ${others.length === 0 ? 'one place' : `${others.length + 1} places or more`}: ${problem}.`,
        { remedy: `Nothing was changed. ${ANOTHER_ARCHIVE}`, help: HELP.damagedArchive },
      );
    }
    if (checked.cursor !== null) return next({ stage: 'digests', archive: checked.cursor });
    await bucket.writeRecord(checkResultKey(plan.job_id), { warnings: checked.warnings });
    return next({ stage: 'target' });
  }
  const inspection = await compareWithTarget(environment, plan, leg);
  await bucket.writeRecord(inspectionKey(plan.job_id), inspection);
  const refused = inspection.problems.length > 0;
  // With options that are only tried, what prevents them is shown: others can be tried then.
  if (refused && !plan.options.dry_run && !state.options) {
    const shown = inspection.problems.slice(0, PROBLEMS_SHOWN_MAX).join('; ').replace(/\.$/, '');
    const more = inspection.problems.length - PROBLEMS_SHOWN_MAX;
    throw new InvalidInputError(
      `The archive can't be restored into target "${plan.target}": ${shown}${more > 0 ? `; and ${more} more` : ''}.`,
      { remedy: 'Nothing was changed. Correct these problems, or choose another target.' },
    );
  }
  return {
    job_id: state.job_id,
    cursor: null,
    done: true,
    confirmed: plan.confirmed,
    dry_run: plan.options.dry_run,
    refused,
  };
}

/** Puts other options in place of those that a restore was asked for with. What they lead to is found out again. */
async function changeOptions(
  { bucket, config }: Environment,
  { routes: _, ...plan }: RestorePlan,
  wanted: RestoreOptions,
): Promise<RestorePlan> {
  const options = resolveMode(wanted);
  const changed = { ...plan, options, stores: chooseStores(config, plan.target, options) };
  await bucket.writeRecord(restorePlanKey(plan.job_id), changed);
  await updateJob(bucket, plan.job_id, () => ({ state: 'processing' }));
  return changed;
}

function openSource(bucket: Bucket, { bucket: name, key, version_id }: ObjectVersion) {
  return s3Source(bucket.s3, name, key, version_id);
}

/** Restores load seekable archives only: others are rewritten once, into `staging/`, while every byte is checked. */
async function resolveFormat(environment: Environment, plan: RestorePlan, leg: LegLimits): Promise<void> {
  const { bucket } = environment;
  if (plan.archive) return;
  const source = await openSource(bucket, plan.source);
  const max = environment.config.upload_bytes_max;
  if (plan.source.key.startsWith(UPLOADS) && source.size > max) {
    throw new InvalidInputError(
      `The upload has ${source.size} bytes; this deployment takes ${max} at most.`,
      {
        remedy:
          'Nothing was changed. Raise ngbak.uploadBytesMax in cdk.json if the archive is to be trusted.',
      },
    );
  }
  const seekable = await isSeekable(source);
  const wantsScript = plan.options.cypher_script === true;
  if (seekable && wantsScript) {
    throw new InvalidInputError(
      'The archive was created by ngbak; a Cypher script is read only from archives of NGRAF-023.',
      {
        remedy: 'Nothing was changed. Leave "cypher_script" out, or upload the archive of NGRAF-023 itself.',
      },
    );
  }
  const archive: ObjectVersion = seekable
    ? plan.source
    : { bucket: bucket.name, key: normalizedArchiveKey(plan.job_id) };
  if (!seekable) {
    await normalizeToS3(source, {
      s3: bucket.s3,
      bucket: bucket.name,
      key: archive.key,
      signal: leg.signal,
      script: wantsScript ? convertScript : undefined,
      progress: refuseIfTooLong(REWRITE_MS),
    });
  }
  await bucket.writeRecord(restorePlanKey(plan.job_id), { ...plan, archive });
}

async function compareWithTarget(
  environment: Environment,
  plan: RestorePlan,
  leg: LegLimits,
): Promise<Inspection> {
  const { bucket } = environment;
  const upload = await openSource(bucket, plan.source);
  const archive = await openArchive(await openSource(bucket, plan.archive ?? plan.source));
  const { manifest } = archive;
  const held = new Set<StoreName>(manifest.scope.stores);
  const stores = plan.stores.filter((store) => held.has(store));
  const problems: string[] = [];
  const warnings: string[] = [];
  const checked = await readCheckResult(bucket, plan.job_id);
  for (const { store, ...warning } of checked.warnings) {
    warnings.push(`${store}: ${warningText(warning)}`);
  }
  const chosen = plan.options.stores ?? storesNamed(plan.options.only);
  for (const store of chosen ?? []) {
    if (!held.has(store)) problems.push(`the archive holds no ${store}, which was requested`);
  }
  for (const store of held) {
    if (store !== 'config' && chosen === undefined && !stores.includes(store)) {
      warnings.push(
        `the archive holds ${store}, which target "${plan.target}" does not have: it is left out`,
      );
    }
  }
  if (plan.attach_of !== undefined && plan.options.mode !== 'merge') {
    problems.push('deferred relationships can only be attached by merging');
  }
  if (manifest.scope.only) {
    warnings.push(
      `the archive holds only a subset (${describePart(manifest.scope.only)}): the rest of these stores is left unchanged`,
    );
  }
  warnings.push(...originWarnings(manifest, findTarget(environment.config, plan.target)));
  if (stores.length === 0) problems.push('archive and target have no store in common');
  const routes: NonNullable<RestorePlan['routes']> = {};
  const routed = { ...plan, routes };
  const compared = await Promise.all(
    stores.map((name) => compareStore(environment, routed, archive, name, leg)),
  );
  for (const { store, problems: found } of compared) {
    problems.push(...found.map((problem) => `${store}: ${problem}`));
  }
  // From here on, the plan is about the stores that archive and target have in common.
  await bucket.writeRecord(restorePlanKey(plan.job_id), { ...routed, stores });
  const configuration = await compareConfiguration(
    environment,
    plan.target,
    archive,
    legContext(environment, leg, plan.job_id),
  );
  return {
    job_id: plan.job_id,
    target: plan.target,
    inspected_at: new Date().toISOString(),
    archive: {
      backup_id: manifest.backup_id,
      created_at: manifest.created_at,
      bytes: upload.size,
      entries: manifest.index.entries,
      checksum: manifest.checksum,
      ...(manifest.scope.target === undefined ? {} : { origin: manifest.scope.target }),
      ...(manifest.scope.only === undefined ? {} : { only: manifest.scope.only }),
      normalized: plan.archive !== undefined && plan.archive.key !== plan.source.key,
      lacks: manifest.lacks ?? [],
      ...(manifest.ngbak_version === undefined ? {} : { ngbak_version: manifest.ngbak_version }),
      ...(manifest.nano_graphrag_version == null ? {} : { system_version: manifest.nano_graphrag_version }),
    },
    stores: compared,
    ...(configuration === undefined ? {} : { configuration }),
    references:
      problems.length > 0 ? [] : await inspectReferences(environment, { ...routed, stores }, archive, leg),
    warnings,
    problems,
  };
}

/** Counts references before anything is written; stores of the target that are not restored are asked. */
async function inspectReferences(
  environment: Environment,
  plan: RestorePlan,
  archive: OpenedArchive,
  leg: LegLimits,
): Promise<Inspection['references']> {
  const { config } = environment;
  const has = new Set(storesOf(config, plan.target));
  const opened = new Map<StoreName, Promise<Store>>();
  const open = async (name: StoreName) => {
    if (!has.has(name)) return undefined;
    const store = opened.get(name) ?? openStore(config, plan.target, name);
    opened.set(name, store);
    return store;
  };
  try {
    return await countReferences(config, plan, archive, open, legContext(environment, leg, plan.job_id));
  } finally {
    for (const store of await Promise.allSettled(opened.values())) {
      if (store.status === 'fulfilled') await store.value.close();
    }
  }
}

/** Settles where the data of one store goes, and asks the store whether it can take it. Adds to `plan.routes`. */
async function compareStore(
  environment: Environment,
  plan: RestorePlan & { routes: NonNullable<RestorePlan['routes']> },
  archive: OpenedArchive,
  name: StoreName,
  leg: LegLimits,
): Promise<Inspection['stores'][number]> {
  const { config } = environment;
  const refusals: string[] = [];
  try {
    if (name !== 'config') plan.routes[name] = await routeStore(config, plan, archive, name);
  } catch (error) {
    refusals.push(reasonOf(error));
  }
  const route = plan.routes[name];
  const saved = archive.manifest.storage_backends[name]?.version;
  const versionNotes =
    name === 'config' ? undefined : resolveStore(config, plan.target, name).adapter.versionNotes;
  const otherScope = scopeChange(config, plan, archive, name);
  const look = async (store: Store) => {
    const found = new WarningCollector();
    let room: Room | undefined;
    const context = legContext(environment, leg, plan.job_id, {
      warnings: found,
      room: (reported) => {
        room = reported;
      },
    });
    const probe = await store.probe(context);
    const options = storeOptions(plan);
    const view = viewOf(config, plan, archive, name);
    try {
      if (route && route.changes.length > 0) await readThrough(view, name, context);
    } catch (error) {
      refusals.push(reasonOf(error));
    }
    let expiries: string[] = [];
    try {
      expiries = await expiryWarnings(config, plan, archive, name);
    } catch (error) {
      refusals.push(reasonOf(error));
    }
    const admitted = refusals.length > 0 ? [] : await store.admits({ archive: view, options, context });
    // A rollback that is refused leaves an incomplete target: what would refuse a restore is reported, and it is tried
    // all the same.
    const isRollback = plan.rollback_of !== undefined;
    const problems = [...refusals, ...(isRollback ? [] : admitted)];
    const counts = countsAtDestination(archive.manifest, plan, name);
    const empty = options.mode === 'replace' && (await isEmpty(archive, name, counts));
    const clears = empty && countRecords(probe.counts) > 0;
    const holds = notEmpty(plan, probe);
    const refused = clears && holds === undefined && !plan.options.allow_empty && !isRollback;
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
        ...serverWarnings(archive.manifest, name, probe, versionNotes),
        ...(empty && !refused ? ['the archive has no records of this store: it will be empty'] : []),
      ],
      changes: [...(route?.changes ?? []), ...(otherScope === undefined ? [] : [otherScope])],
      smoke: await askStore(config, plan, store, context),
      ...(room === undefined ? {} : { room: roomRecord(room) }),
      problems: [
        ...problems,
        ...(holds === undefined ? [] : [holds]),
        ...(refused
          ? [
              'the archive has no records of this store, and the target has some, which would be deleted; leave the store out, or allow it (`--allow-empty`, "allow_empty": true)',
            ]
          : []),
      ],
    };
  };
  const open = plan.rollback_of === undefined ? withStore : withUsedStore;
  return open(config, plan.target, name, look, scopesOf(plan));
}

function roomRecord({ of, needed, free, total }: Room): Inspection['stores'][number]['room'] {
  return {
    of,
    needed_bytes: needed,
    ...(free === undefined ? {} : { free_bytes: free }),
    ...(total === undefined ? {} : { total_bytes: total }),
  };
}

/** Whether an archive has no records of a store. One whose writer counted nothing is empty only without entries. */
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

/** What the archive says it holds of the parts that are restored, under the names of the destination. */
function countsAtDestination(
  { tallies }: Manifest,
  { options: { only }, routes }: RestorePlan,
  name: StoreName,
): Record<string, number> {
  const route = routes?.[name];
  return Object.fromEntries(
    Object.entries(tallies[name] ?? {}).flatMap(([tally, { count }]) => {
      const [kind, thing] = [tally.slice(0, tally.indexOf(':') + 1), tally.slice(tally.indexOf(':') + 1)];
      if (kind === 'points:' && route && route.changes.length > 0) {
        const to = route.names[thing];
        return to === undefined ? [] : [[`points:${to}`, count]];
      }
      if (kind === 'keys:' && only?.namespaces?.includes(thing) === false) return [];
      return [[tally, count]];
    }),
  );
}
