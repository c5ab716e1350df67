import { z } from 'zod';
import { backupPlanKey } from '../../aws/keys.ts';
import { BackupRequest, SAFETY_TAG } from '../../catalog/request.ts';
import type { SignatureKeys } from '../../catalog/signature.ts';
import { findTarget } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { parseInput } from '../../core/input.ts';
import { Reading } from '../../core/reading.ts';
import { StoreName } from '../../core/store-name.ts';
import { roleOf, type StoreRole } from '../../core/store-names.ts';
import { storesOf, withStore, withUsedStore } from '../../profiles/open.ts';
import { readRunningConfiguration } from '../../profiles/running-configuration.ts';
import { overlappingStores } from '../../profiles/separate-stores.ts';
import { layoutWarnings } from '../../profiles/system-evidence.ts';
import { warningText } from '../../stores/describe-warning.ts';
import { FoundMark } from '../../stores/marks.ts';
import type { StoreProof } from '../../stores/proof.ts';
import { Scopes } from '../../stores/scopes.ts';
import type { Store } from '../../stores/store.ts';
import { StoreWarning, WarningCollector } from '../../stores/warning.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { type ExecutionInfo, jobIdOf } from '../job/execution.ts';
import { pauseWriters } from '../job/hooks.ts';
import { legContext } from '../job/leg-context.ts';
import { requireLock, takeLockSoon } from '../job/lock.ts';
import { chooseTarget, freeBackupId } from '../job/names.ts';
import { createJob, readJob, SKIPPED, updateJob } from '../job/record.ts';
import { beginRun, lockOrSkip } from '../job/scheduled-run.ts';
import { CarriedStore, Carrier, type CarryDecision, orderedStores } from './carry.ts';
import { chooseBackupStores, chooseScopes } from './choose-stores.ts';
import { requireSubset } from './require-subset.ts';

/** zlib's best compression. */
const GZIP_LEVEL_MAX = 9;

const ProbeRecord = z.object({
  kind: z.string(),
  version: z.string(),
  edition: z.string().optional(),
  counts: z.record(z.string(), z.number()),
  labels: z.record(z.string(), z.number()).optional(),
  marks: z.array(FoundMark).optional(),
  estimatedBytes: z.number(),
  fence: z.record(z.string(), z.string()),
  warnings: z.array(StoreWarning),
});

/** The plan of a backup: `staging/<job>/plan.json`, written once, read by every later step. */
export const BackupPlan = z.object({
  job_id: Id,
  backup_id: Id,
  target: Id,
  execution_arn: z.string(),
  created_at: z.iso.datetime(),
  type: z.enum(['full', 'partial']),
  request: BackupRequest,
  /** True if a hook paused the writers before the stores were measured. */
  quiesced: z.boolean(),
  /** The scope of each store. */
  scopes: Scopes.default({}),
  /** Settings of the target's running system, masked, by the name of their source. */
  running: z.record(z.string(), z.json()).optional(),
  stores: z.array(
    z.object({
      store: StoreName,
      probe: ProbeRecord,
      /** Absent in the plan of a job that an earlier version started. */
      reading: Reading.optional(),
      /** A digest of everything that determines how its data is written. */
      basis: z.string().optional(),
      /** What proves that the store is the same at another time. Absent if there is no proof. */
      proof: z.record(z.string(), z.string()).optional(),
      /** Where the data is in an earlier archive. Absent if the store is read. */
      carried: CarriedStore.optional(),
      shards: z.array(
        z.object({
          id: Id,
          params: z.json(),
          estimatedBytes: z.number(),
          counts: z.record(z.string(), z.number()).optional(),
        }),
      ),
    }),
  ),
});
export type BackupPlan = z.infer<typeof BackupPlan>;

/** The scope that each store is opened with. For the configuration, also the settings that were read. */
export function storeScopes({ scopes, running = {} }: Pick<BackupPlan, 'scopes' | 'running'>): Scopes {
  return { ...scopes, config: { running } };
}

/**
 * One chain of export legs, as passed through the workflow's state. Must not contain data, or lists that grow with it.
 */
export const ExportState = z.strictObject({
  job_id: Id,
  store: StoreName,
  shard: Id,
  /** Position of the shard in the archive, counted over all stores. */
  order: z.number().int().nonnegative(),
  /** Number of the next leg, from 0. */
  leg: z.number().int().nonnegative(),
  /** Where the next leg continues: the adapter's cursor and the open entry of the archive. */
  cursor: z.object({ store: z.json(), archive: z.json() }).nullable(),
  done: z.boolean(),
});
export type ExportState = z.infer<typeof ExportState>;

/** Output of the first step: the chains of legs for the exporters' branches, which are one for each role. */
export type PlannedBackup = { job_id: string; backup_id: string; target: string } & Record<
  StoreRole,
  ExportState[]
>;

/** Output of the first step if the backup is skipped: a scheduled run that found another job running. */
export interface SkippedBackup {
  readonly job_id: string;
  readonly target: string;
  /** The reason, as text. */
  readonly skipped: string;
}

/**
 * First step of a backup: checks the request, takes the target's lock, measures every store, divides it into shards,
 * and records the job and the plan. The job's id is the execution's name. Only reads from the stores. A store that
 * provably did not change since an earlier backup is not measured: its data is carried from that archive.
 *
 * @param keys  the keys whose signatures are valid: data is only carried from a signed archive
 */
export async function planBackup(
  environment: Environment,
  input: unknown,
  execution: ExecutionInfo,
  leg: LegLimits,
  keys: SignatureKeys,
): Promise<PlannedBackup | SkippedBackup> {
  const request = readRequest(input);
  const { bucket, config } = environment;
  const jobId = jobIdOf(execution);
  const target = chooseTarget(config, request.target);
  const stores = chooseBackupStores(config, target, request);
  const backup: BegunBackup = { jobId, target, stores, request, execution };
  const skipped = (await claimJob(environment, backup)) ?? (await lockTarget(environment, backup, leg));
  if (skipped !== undefined) return { job_id: jobId, target, skipped };
  const backupId = await freeBackupId(bucket, target, execution.start);
  await updateJob(bucket, jobId, () => ({ backup_id: backupId }));
  // The restore has already paused the writers for its safety backup.
  const quiesced = request.part_of === undefined && (await pauseWriters(environment, target, jobId));
  const scopes: Scopes = {
    ...chooseScopes(config, target, stores, request.part_of ? undefined : request.only),
    ...request.part_of?.scopes,
  };
  const [overlapping] = await overlappingStores(config, target, scopes);
  if (overlapping !== undefined && request.part_of === undefined) {
    throw new InvalidInputError(`Invalid configuration: ${overlapping}.`, {
      remedy: 'Correct their scopes or secrets: each record must belong to one store (docs/profiles.md).',
    });
  }
  const created_at = new Date(execution.start).toISOString();
  const carrier = new Carrier(
    environment,
    { backup_id: backupId, created_at, target, request, scopes },
    keys,
  );
  const measured = await measureStores(environment, backup, { scopes, carrier }, leg);
  if (request.only && !request.part_of) requireSubset(request.only, measured.stores);
  const plan: BackupPlan = {
    job_id: jobId,
    backup_id: backupId,
    target,
    execution_arn: execution.arn,
    created_at,
    type: isEverything(environment, target, stores, request) ? 'full' : 'partial',
    request,
    quiesced,
    scopes,
    ...(Object.keys(measured.running).length === 0 ? {} : { running: measured.running }),
    stores: measured.stores,
  };
  await bucket.writeRecord(backupPlanKey(jobId), plan);
  return { job_id: jobId, backup_id: backupId, target, ...chainsOf(plan) };
}

/** The state shared by the planning functions. */
interface BegunBackup {
  readonly jobId: string;
  readonly target: string;
  readonly stores: readonly StoreName[];
  readonly request: BackupRequest;
  readonly execution: ExecutionInfo;
}

/** Validates a request. Throws InvalidInputError. */
function readRequest(input: unknown): BackupRequest {
  const request = parseInput(
    BackupRequest,
    input,
    'The backup request',
    'See docs/aws-cli.md for its fields.',
  );
  if (request.codec === 'gzip' && (request.level ?? 1) > GZIP_LEVEL_MAX) {
    throw new InvalidInputError(`gzip has no level ${request.level}.`, {
      remedy: `Choose a level from 1 to ${GZIP_LEVEL_MAX}, or codec "zstd".`,
    });
  }
  if (!request.part_of && request.tags.includes(SAFETY_TAG)) {
    throw new InvalidInputError(`Tag "${SAFETY_TAG}" is reserved for the safety backups of restores.`, {
      remedy: 'Choose another tag.',
    });
  }
  return request;
}

/**
 * Records this execution as the owner of the job. Returns the reason if an earlier attempt of this step skipped the
 * job.
 */
async function claimJob(
  { bucket }: Environment,
  { jobId, target, request, execution }: BegunBackup,
): Promise<string | undefined> {
  const now = new Date().toISOString();
  const created = await createJob(bucket, {
    job_id: jobId,
    kind: 'backup',
    target,
    state: 'processing',
    execution_arn: execution.arn,
    created_at: now,
    updated_at: now,
    ...(request.requested_by === undefined ? {} : { requested_by: request.requested_by }),
  });
  if (created) return undefined;
  const other = await readJob(bucket, jobId);
  if (other?.execution_arn !== execution.arn) {
    throw new InvalidInputError(`There is already a job "${jobId}".`, {
      remedy: 'Start the execution with another name, or without one.',
    });
  }
  return other.error?.name === SKIPPED ? other.error.message : undefined;
}

/**
 * Takes the target's lock. A safety backup runs under the lock of its restore. Returns the reason if a scheduled run is
 * skipped.
 */
async function lockTarget(
  environment: Environment,
  { jobId, target, request, execution }: BegunBackup,
  { signal }: LegLimits,
): Promise<string | undefined> {
  const { bucket, sfn } = environment;
  if (request.part_of) {
    await requireLock(bucket, target, request.part_of.execution_arn);
    return undefined;
  }
  const lock = () =>
    takeLockSoon(
      bucket,
      sfn,
      { target, job_id: jobId, kind: 'backup', execution_arn: execution.arn },
      { signal },
    );
  if (request.schedule !== undefined) {
    const repeated = await beginRun(environment, request.schedule, jobId, execution.start);
    return repeated ?? lockOrSkip(environment, request.schedule, jobId, lock);
  }
  await lock();
  return undefined;
}

/** Measures every store, divides it into shards, and reads the configuration of the target's running system. */
async function measureStores(
  environment: Environment,
  { jobId, target, stores, request }: BegunBackup,
  { scopes, carrier }: { scopes: Scopes; carrier: Carrier },
  leg: LegLimits,
): Promise<{ running: NonNullable<BackupPlan['running']>; stores: BackupPlan['stores'] }> {
  const { config } = environment;
  // The restore has already opened these stores before its safety backup.
  const open = request.part_of ? withUsedStore : withStore;
  const warnings = new WarningCollector();
  const running = stores.includes('config')
    ? await readRunningConfiguration(config, target, legContext(environment, leg, jobId, { warnings }), {
        open,
        isNeeded: (store) => stores.includes(store),
      })
    : {};
  const measure = async (store: Store): Promise<BackupPlan['stores'][number]> => {
    const { name } = store;
    const context = legContext(environment, leg, jobId);
    // Before anything is read. A safety backup neither needs a proof nor waits for one.
    const proof = request.part_of ? undefined : await store.prove?.(context);
    const decision = await carrier.decide(name, proof);
    if (decision.carried) {
      environment.log(`The data of ${name} is carried from ${decision.reading.from}.`, { store: name });
      return carriedStore(name, decision, proof);
    }
    if (name !== 'config') environment.log(`${name} is read: ${decision.reading.reason}`, { store: name });
    const probed = await store.probe(context);
    const layout = findTarget(config, target);
    const found = layoutWarnings(layout, layout.system_version, name, probed);
    const probe = {
      ...probed,
      warnings: name === 'config' ? warnings.all() : [...probed.warnings, ...found],
    };
    for (const warning of probe.warnings) environment.log(warningText(warning), { store: name });
    const shards = await store.plan(context, probe);
    return {
      store: name,
      probe: ProbeRecord.parse(probe),
      reading: decision.reading,
      basis: decision.basis,
      ...(proof?.values === undefined ? {} : { proof: { ...proof.values } }),
      shards: [...shards],
    };
  };
  const narrowedScopes = storeScopes({ scopes, running });
  const measured = stores.map((name) => open(config, target, name, measure, narrowedScopes));
  return { running, stores: await Promise.all(measured) };
}

/** The plan of a store that is not read. Its measurement is that of its reading. */
function carriedStore(
  store: StoreName,
  { reading, basis, carried }: CarryDecision,
  proof: StoreProof | undefined,
): BackupPlan['stores'][number] {
  if (!carried || proof?.values === undefined) throw new TypeError('a carried store without a proof');
  const { kind, version = 'unknown', edition } = carried.backend;
  const { tallies } = carried.store;
  return {
    store,
    probe: {
      kind,
      version,
      ...(edition === undefined ? {} : { edition }),
      counts: Object.fromEntries(Object.entries(tallies).map(([name, { count }]) => [name, count])),
      marks: carried.marks,
      estimatedBytes: 0,
      fence: { ...proof.values },
      warnings: carried.warnings,
    },
    reading,
    basis,
    proof: { ...proof.values },
    carried: carried.store,
    shards: [],
  };
}

/** A chain of legs for each shard, by role. */
function chainsOf(plan: BackupPlan): Record<StoreRole, ExportState[]> {
  const chains: Record<StoreRole, ExportState[]> = { graph: [], vectors: [], kv: [], config: [] };
  for (const { store, shards, order } of orderedStores(plan)) {
    for (const [index, { id: shard }] of shards.entries()) {
      const { job_id } = plan;
      chains[roleOf(store)].push({
        job_id,
        store,
        shard,
        order: order + index,
        leg: 0,
        cursor: null,
        done: false,
      });
    }
  }
  return chains;
}

function isEverything(
  { config }: Environment,
  target: string,
  stores: readonly StoreName[],
  { only, part_of }: BackupRequest,
): boolean {
  return stores.length === storesOf(config, target).length && only === undefined && part_of === undefined;
}

/** Reads a running backup's plan. */
export function readBackupPlan(environment: Environment, jobId: string): Promise<BackupPlan> {
  return environment.bucket.requireRecord(
    backupPlanKey(jobId),
    BackupPlan,
    'The plan is written by the first step of the workflow and removed at its end: start a new backup.',
  );
}
