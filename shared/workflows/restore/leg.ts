import { z } from 'zod';
import { type OpenedArchive, openArchive } from '../../archive/read/open.ts';
import { throttle } from '../../archive/read/throttle.ts';
import type { Bucket } from '../../aws/bucket.ts';
import { restoreLegKey, restoreLegsPrefix } from '../../aws/keys.ts';
import { TalliesRecord } from '../../catalog/record.ts';
import { countRecords } from '../../catalog/record-counts.ts';
import { findTarget, type NgbakConfig } from '../../core/config.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import { IntegrityError, NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { isSameJson } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { ServedStore } from '../../core/store-name.ts';
import { roleOf, type ServedRole, type StoreName } from '../../core/store-names.ts';
import { openStore, withUsedStore } from '../../profiles/open.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { proveReferences } from '../../profiles/references.ts';
import { viewOf } from '../../profiles/view.ts';
import { DONE, type LegContext } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import { StoreWarning, WarningCollector } from '../../stores/warning.ts';
import { type DrillPlace, isRehearsal } from '../drill/destination.ts';
import { claimScratch, findScratch, removeScratch } from '../drill/scratch.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { legContext } from '../job/leg-context.ts';
import { expectedUnits, ProgressWriter, type Totals, totalsOf } from '../job/progress.ts';
import { SmokeAnswer } from './answer.ts';
import { writeDeferred } from './deferred.ts';
import { requireEmpty } from './empty-target.ts';
import { countsToLoad, findInspection, readInspection } from './inspection.ts';
import { underLease } from './lease.ts';
import { openSource } from './open-source.ts';
import {
  danglingOf,
  findRestorePlan,
  type RestorePlan,
  readRestorePlan,
  scopesOf,
  storeOptions,
} from './plan.ts';
import { rehearse } from './rehearse.ts';
import { smokeAfter } from './smoke.ts';

/**
 * The phases of a store's restore. The workflow starts them, except for two that follow automatically: `load` follows
 * `clear`, and in a drill `remove` follows `finish`. `test-load` replaces nothing. `rehearse` is the only phase of a
 * rehearsal, in place of `clear`.
 */
export const RESTORE_PHASES = [
  ...(['test-load', 'clear', 'load', 'verify', 'finish', 'remove'] as const),
  'rehearse',
] as const;

/** Default rate limit for drills that load into servers shared with their target, in bytes per second. */
const DRILL_BYTES_PER_SECOND = 8 * 1024 ** 2;
/** Samples of differences that an error lists. All differences are counted. */
const SAMPLES_SHOWN_MAX = 5;

export type RestorePhase = (typeof RESTORE_PHASES)[number];

/** One chain of restore legs, as passed through the workflow's state. */
export const RestoreState = z.object({
  job_id: Id,
  store: ServedStore.optional(),
  phase: z.enum(RESTORE_PHASES),
  cursor: z.json().default(null),
  /** Number of the next leg within the phase, from 0. */
  leg: z.number().int().nonnegative().default(0),
  done: z.boolean(),
});
export type RestoreState = z.infer<typeof RestoreState>;

/**
 * The record of one leg: `staging/<job>/legs/…json`. A repeated leg overwrites its own record, so nothing is counted
 * twice.
 */
const LegRecord = z.object({
  tallies: TalliesRecord,
  differences: z.number().int().nonnegative(),
  samples: z.array(z.object({ thing: z.string(), problem: z.string() })),
  /** Warnings of the store. */
  warnings: z.array(StoreWarning).default([]),
  /** Set by the last leg of a verification: the answers to the smoke checks. Empty for a rehearsal. */
  smoke: z.array(SmokeAnswer).optional(),
  /** Absent in records of earlier versions. */
  began_at: z.iso.datetime().optional(),
  ended_at: z.iso.datetime().optional(),
  /** Set by the last leg of a verification: the references that point to this store. */
  references: z.array(ReferenceCount).optional(),
});
type LegRecord = z.infer<typeof LegRecord>;

/**
 * Input of a function that is restricted to the stores of one role. An execution that an earlier version started states
 * no store: then it is the one that is named after the role.
 */
export function restoreStateOf(role: ServedRole) {
  return RestoreState.transform(({ store = role, ...state }) => ({ ...state, store })).refine(
    ({ store }) => roleOf(store) === role,
    `is not for a store of the role "${role}"`,
  );
}

/**
 * One leg of clearing, loading, verifying or finishing one store. Returns the state for the next leg, with `done` set
 * if the phase, or for `clear` the load that follows it, is complete. For a store that is not part of this restore,
 * that is at once. Throws IntegrityError if the data read back differs from the archive.
 */
export async function restoreLeg(
  environment: Environment,
  { store, ...state }: RestoreState & { store: ServedStore },
  leg: LegLimits,
): Promise<RestoreState & { store: ServedStore }> {
  return { ...(await legOf(environment, store, state, leg)), store };
}

async function legOf(
  environment: Environment,
  name: ServedStore,
  state: RestoreState,
  leg: LegLimits,
): Promise<RestoreState> {
  const plan = await readRestorePlan(environment.bucket, state.job_id);
  if (!plan.stores.includes(name)) return { ...state, done: true };
  if (state.phase === 'test-load' && !(await hasToBeTested(environment.bucket, plan))) {
    return { ...state, done: true };
  }
  if (isRehearsal(plan)) {
    if (state.phase !== 'clear' && state.phase !== 'rehearse') return { ...state, done: true };
    return underLease(environment, plan, name, leg, (leased) =>
      recordLeg(environment, plan, name, { ...state, phase: 'rehearse' }, leased),
    );
  }
  return underLease(environment, plan, name, leg, (leased) =>
    recordLeg(environment, plan, name, state, leased),
  );
}

/**
 * Whether a restore could destroy data if an entry can't be loaded. Not if the stores are empty, and not in a drill. A
 * rollback is never tested: it has no alternative to replacing what the failed restore left.
 */
async function hasToBeTested(bucket: Bucket, plan: RestorePlan): Promise<boolean> {
  if (plan.rollback_of !== undefined || plan.drill) return false;
  const { stores } = await readInspection(bucket, plan.job_id);
  return stores.some(({ store, target }) => plan.stores.includes(store) && countRecords(target) > 0);
}

/** Runs one leg of a phase and records it. */
async function recordLeg(
  environment: Environment,
  plan: RestorePlan,
  name: StoreName,
  state: RestoreState,
  leg: LegLimits,
): Promise<RestoreState> {
  const { phase } = state;
  const progress = await ProgressWriter.open(
    environment.bucket,
    state.job_id,
    { store: name, shard: 'restore', phase },
    ...(await phaseTotals(environment.bucket, plan, name, phase)),
  );
  const warnings = new WarningCollector();
  const began_at = new Date().toISOString();
  const result = await withUsedStore(
    environment.config,
    plan.target,
    name,
    (store) =>
      isRehearsal(plan)
        ? rehearsalLeg(environment, plan, store, state, leg, progress, warnings)
        : runPhase(environment, plan, store, state, leg, progress, warnings),
    scopesOf(plan),
  );
  const record: LegRecord = {
    began_at,
    ended_at: new Date().toISOString(),
    tallies: result.tallies,
    differences: result.differences,
    samples: [...result.samples],
    warnings: warnings.all(),
    ...('smoke' in result ? { smoke: result.smoke, references: result.references } : {}),
  };
  // The work of a step that was aborted must not be recorded.
  leg.signal.throwIfAborted();
  await environment.bucket.writeRecord(restoreLegKey(state.job_id, name, state.phase, state.leg), record);
  const phaseDone = result.cursor === null;
  if (phaseDone && name === 'graph' && state.phase === 'load')
    await deferRelationships(environment, plan, leg);
  await progress.close(phaseDone);
  if (!phaseDone) return { ...state, cursor: result.cursor, leg: state.leg + 1 };
  if (state.phase === 'clear') return { ...state, phase: 'load', cursor: null, leg: 0 };
  if (state.phase === 'finish' && plan.drill) return { ...state, phase: 'remove', cursor: null, leg: 0 };
  if (state.phase === 'verify') {
    const total = await sumLegs(environment, state.job_id, name, 'verify');
    if (total.differences > 0) throw differs(plan, name, total);
  }
  return { ...state, cursor: null, done: true };
}

/**
 * The number of records that a phase processes, for progress only: totals, and the units that it will report. Empty if
 * the inspection does not state it.
 */
async function phaseTotals(
  bucket: Bucket,
  plan: RestorePlan,
  name: StoreName,
  phase: RestoreState['phase'],
): Promise<[totals: Totals, expected: Totals]> {
  if (phase === 'finish' || phase === 'test-load' || phase === 'remove' || phase === 'rehearse') {
    return [{}, {}];
  }
  const { only } = plan.options;
  const store = (await findInspection(bucket, plan.job_id))?.stores.find((other) => other.store === name);
  if (phase === 'clear') return [only === undefined ? totalsOf(store?.target ?? {}) : {}, {}];
  const counts = store && countsToLoad(store, only);
  if (!store || counts === undefined) return [{}, {}];
  const verifying = phase === 'verify' ? storeOptions(plan).mode : undefined;
  return [totalsOf(counts), expectedUnits(store.kind, counts, verifying)];
}

/** A leg of a rehearsal, with a result as that of other phases. */
async function rehearsalLeg(
  environment: Environment,
  plan: RestorePlan,
  store: Store,
  state: RestoreState,
  leg: LegLimits,
  progress: ProgressWriter,
  warnings: WarningCollector,
) {
  const context = legContext(environment, leg, state.job_id, { progress, warnings });
  const rehearsed = await rehearse(environment, plan, store, state.cursor, { leg, context, progress });
  const result = { ...rehearsed, differences: 0, samples: [] };
  // No smoke check of a copy, of which there is none: marks the last leg.
  return rehearsed.cursor === null ? { ...result, smoke: [], references: [] } : result;
}

async function runPhase(
  environment: Environment,
  plan: RestorePlan,
  store: Store,
  state: RestoreState,
  leg: LegLimits,
  progress: ProgressWriter,
  warnings: WarningCollector,
) {
  const context = legContext(environment, leg, state.job_id, { progress, warnings });
  const options = storeOptions(plan);
  if (plan.drill) await claimOf(environment, plan, plan.drill, store, state, context);
  if (state.phase === 'remove') {
    const leg = await removeScratch(environment, plan.job_id, store, context);
    return { ...leg, differences: 0, samples: [] };
  }
  // Does not need the archive, and a problem with the archive must not prevent the cleanup.
  if (state.phase === 'finish') {
    const labelled = await labelLeg(environment, plan, store, state.cursor, context);
    if (labelled) return { ...labelled, differences: 0, samples: [] };
    return { ...(await store.finish(context)), differences: 0, samples: [] };
  }
  // Loading starts only after everything is cleared, so records that the first leg finds do not come from an earlier
  // attempt of it.
  if (state.phase === 'clear' && state.leg === 0) await requireEmpty(plan, store, context);
  const opened = await openPlanned(environment, plan);
  const archive = viewOf(environment.config, plan, opened, store.name);
  if (state.phase === 'verify') {
    const verified = await store.verify({ archive, options, cursor: state.cursor, context });
    if (verified.cursor !== null || verified.differences > 0) return verified;
    const { config } = environment;
    return {
      ...verified,
      smoke: await smokeAfter(config, plan, store, context),
      references: await proveReferences(
        config,
        plan,
        opened,
        store,
        (other) => openBeside(config, plan, other),
        context,
      ),
    };
  }
  if (state.phase === 'rehearse') throw new TypeError('this phase is part of rehearsals only');
  const rate = loadRateOf(environment, plan, store.name);
  const throttled = rate === undefined ? archive : throttle(archive, rate, leg.signal);
  const step = { archive: throttled, options, cursor: state.cursor, context };
  const result =
    state.phase === 'test-load' ? ((await store.testLoad?.(step)) ?? DONE) : await store[state.phase](step);
  return { ...result, differences: 0, samples: [] };
}

/** Another store of the target. In a drill, only those that it has restored belong to the copy. */
async function openBeside(
  config: NgbakConfig,
  plan: RestorePlan,
  name: ServedStore,
): Promise<Store | undefined> {
  if (plan.drill && !plan.stores.includes(name)) return undefined;
  return openStore(config, plan.target, name, scopesOf(plan));
}

/** Rate limit of a load, in uncompressed bytes per second. Undefined if there is none. */
export function loadRateOf(
  { config }: Pick<Environment, 'config'>,
  { target, drill }: Pick<RestorePlan, 'target' | 'drill'>,
  name: StoreName,
): number | undefined {
  if (name === 'config') return undefined;
  const configured = findTarget(config, target).stores[name]?.load_bytes_per_second;
  return configured ?? (drill?.place === 'names' ? DRILL_BYTES_PER_SECOND : undefined);
}

/**
 * Ensures that a drill works only in a scope that it has claimed, and claims it before the first step. Throws
 * InvalidInputError if the scope is not empty, NgbakError if the drill has not claimed it.
 */
async function claimOf(
  environment: Environment,
  plan: RestorePlan,
  drill: DrillPlace,
  store: Store,
  state: RestoreState,
  context: LegContext,
): Promise<void> {
  const scope = plan.routes[store.name]?.scope;
  if (scope !== undefined && state.phase === 'clear' && state.leg === 0) {
    await claimScratch(
      environment,
      { job_id: plan.job_id, target: plan.target, drill, scope },
      store,
      context,
    );
  }
  const claimed = await findScratch(environment.bucket, plan.job_id, store.name);
  if (scope !== undefined && claimed && isSameJson({ scope: claimed.scope }, { scope })) return;
  throw new NgbakError(`Drill ${plan.job_id} has not claimed what it would write to in ${store.name}.`, {
    remedy: 'Nothing was written. Start the drill again.',
  });
}

/** Where the writing of origin labels continues, as the first part of its phase. */
const LabelCursor = z.strictObject({ label: z.json() });

/** Writes origin labels, if the request includes them. Undefined once all are written. */
async function labelLeg(
  environment: Environment,
  plan: RestorePlan,
  store: Store,
  cursor: Json,
  context: LegContext,
): Promise<{ cursor: Json; tallies: Tallies } | undefined> {
  const route = plan.routes[store.name];
  const from = LabelCursor.safeParse(cursor);
  if (!plan.options.label_origin || !store.label || !route?.origin) return undefined;
  if (cursor !== null && !from.success) return undefined;
  const archive = viewOf(environment.config, plan, await openPlanned(environment, plan), store.name);
  const leg = await store.label({
    archive,
    route,
    cursor: from.success ? (from.data.label as Json) : null,
    context,
  });
  return leg.cursor === null ? undefined : { ...leg, cursor: { label: leg.cursor } };
}

/** Opens the archive that was inspected. */
async function openPlanned(environment: Environment, plan: RestorePlan): Promise<OpenedArchive> {
  return openArchive(await openSource(environment.bucket, plan.archive));
}

/** Stores the relationships whose other end does not exist, if the request asks for it. */
async function deferRelationships(
  environment: Environment,
  plan: RestorePlan,
  leg: LegLimits,
): Promise<void> {
  if (danglingOf(plan) !== 'defer') return;
  const { tallies } = await sumLegs(environment, plan.job_id, 'graph', 'load');
  if ((tallies.left_out?.count ?? 0) === 0) return;
  const opened = await openPlanned(environment, plan);
  await writeDeferred(
    environment,
    plan,
    opened.manifest,
    viewOf(environment.config, plan, opened, 'graph'),
    leg,
  );
}

/** All legs of one phase of one store together. */
export interface LegSum extends LegRecord {
  readonly legs: number;
  readonly smoke: SmokeAnswer[];
  readonly references: ReferenceCount[];
  /** True if the last leg of a verification or rehearsal has ended. */
  readonly complete: boolean;
}

/** All legs of one phase of one store together. */
export async function sumLegs(
  environment: Environment,
  jobId: string,
  store: StoreName,
  phase: RestorePhase,
): Promise<LegSum> {
  let legs = 0;
  let tallies: Tallies = {};
  let differences = 0;
  let complete = false;
  const times: { began_at?: string | undefined; ended_at?: string | undefined } = {};
  const samples: LegRecord['samples'] = [];
  const smoke: SmokeAnswer[] = [];
  const references: ReferenceCount[] = [];
  const warnings = new WarningCollector();
  for await (const { key } of environment.bucket.keys(restoreLegsPrefix(jobId, store, phase))) {
    const record = await environment.bucket.requireRecord(key, LegRecord, 'Upload the archive again.');
    legs++;
    tallies = addTallies(tallies, record.tallies);
    differences += record.differences;
    complete ||= record.smoke !== undefined;
    times.began_at ??= record.began_at;
    times.ended_at = record.ended_at ?? times.ended_at;
    smoke.push(...(record.smoke ?? []));
    references.push(...(record.references ?? []));
    for (const warning of record.warnings) warnings.add(warning);
    samples.push(...record.samples.slice(0, SAMPLES_SHOWN_MAX - samples.length));
  }
  const all = { legs, tallies, differences, samples, warnings: warnings.all(), smoke, references };
  return { ...all, ...times, complete };
}

/**
 * Whether a restore has verified every store against its archive, regardless of what followed. The records of its legs
 * are removed with the job's staged objects.
 */
export async function isVerified({ bucket }: Environment, jobId: string): Promise<boolean> {
  const plan = await findRestorePlan(bucket, jobId);
  if (!plan) return false;
  for (const store of plan.stores) {
    let complete = false;
    for await (const { key } of bucket.keys(restoreLegsPrefix(plan.job_id, store, 'verify'))) {
      const record = (await bucket.readRecord(key, LegRecord))?.value;
      if (!record || record.differences > 0) return false;
      // Only the last leg of a verification runs the smoke checks.
      complete ||= record.smoke !== undefined;
    }
    if (!complete) return false;
  }
  return true;
}

function differs(plan: RestorePlan, store: StoreName, total: LegRecord): IntegrityError {
  const details = total.samples.map(({ thing, problem }) => `${thing}: ${problem}`).join('; ');
  return new IntegrityError(
    `After the load, ${store} of target "${plan.target}" differs from the archive in ${total.differences} ${total.differences === 1 ? 'place' : 'places'}: ${details}.`,
    {
      remedy:
        'Make sure that nothing else writes to the store while it is restored, and restore again. The archive itself is verified.',
    },
  );
}
