import { z } from 'zod';
import type { ManifestDraft } from '../../archive/format/manifest.ts';
import { composeArchive } from '../../archive/write/compose.ts';
import { archiveKey, consistencyKey, sealedKey, segmentsPrefix, stagingPrefix } from '../../aws/keys.ts';
import { Consistency } from '../../catalog/consistency.ts';
import { TalliesRecord } from '../../catalog/record.ts';
import type { BackupWarning } from '../../catalog/warnings.ts';
import { findTarget } from '../../core/config.ts';
import type { Tallies } from '../../core/digest.ts';
import { IntegrityError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { Reading } from '../../core/reading.ts';
import { byStore } from '../../core/store-name.ts';
import { VERSION } from '../../core/version.ts';
import { profileStatistics } from '../../profiles/profiles.ts';
import { evidenceOf } from '../../profiles/system-evidence.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { downloadName } from '../job/names.ts';
import { ProgressWriter } from '../job/progress.ts';
import { stageCarried } from './carry.ts';
import { readProofs } from './consistency.ts';
import { readReadingWarnings, readWarnings } from './find-warnings.ts';
import { type BackupPlan, readBackupPlan } from './plan.ts';
import { storageClassOf } from './storage-class.ts';
import { sumTallies } from './tallies.ts';

/** The state of the sealing loop, as passed through the workflow's state. */
export const SealState = z.object({
  job_id: Id,
  cursor: z.json().default(null),
  done: z.boolean().default(false),
});
export type SealState = z.infer<typeof SealState>;

/** The sealed archive: `staging/<job>/sealed.json`. */
export const Sealed = z.object({
  key: z.string(),
  version_id: z.string().optional(),
  /** Size of the object in bytes. */
  bytes: z.number().int().positive(),
  /** S3's full-object CRC-32, base64. */
  crc32: z.string(),
  checksum: z.string(),
  entries: z.number().int().nonnegative(),
  uncompressed_bytes: z.number().int().nonnegative(),
  statistics: z.record(z.string(), z.number()),
  tallies: z.record(z.string(), TalliesRecord),
  /** Absent if an earlier version sealed it. */
  readings: byStore(Reading).optional(),
});
export type Sealed = z.infer<typeof Sealed>;

/**
 * One leg of composing all segments into `backups/<id>.ngbak` within S3. Before the first leg, compares the exported
 * counts with those of the stores; throws IntegrityError if records are missing although the stores did not change.
 */
export async function sealBackup(
  environment: Environment,
  state: SealState,
  leg: LegLimits,
): Promise<SealState> {
  const { bucket } = environment;
  const plan = await readBackupPlan(environment, state.job_id);
  const consistency = await bucket.requireRecord(
    consistencyKey(state.job_id),
    Consistency,
    'Start a new backup.',
  );
  const tallies = await sumTallies(environment, plan);
  if (consistency.grade !== 'drifted') requireCompleteness(plan, tallies);
  const warnings = await readWarnings(bucket, state.job_id);
  const readings = await describeReadings(environment, plan);
  const draft = draftManifest(environment, plan, { consistency, tallies, warnings, readings });
  // Before the first leg only: the composition continues from the sources that it has found.
  if (state.cursor === null) await stageCarried(environment, plan, leg);
  const part = { store: 'archive', shard: 'seal', phase: 'seal' } as const;
  const progress = await ProgressWriter.open(bucket, state.job_id, part);
  const result = await composeArchive({
    s3: bucket.s3,
    bucket: bucket.name,
    segments: segmentsPrefix(state.job_id),
    work: `${stagingPrefix(state.job_id)}compose/`,
    key: archiveKey(plan.backup_id),
    owner: state.job_id,
    codec: plan.request.codec,
    fileName: downloadName(plan),
    storageClass: storageClassOf(environment, plan),
    manifest: draft,
    cursor: state.cursor,
    timeLeft: leg.timeLeft,
    signal: leg.signal,
    progress: (done, total) => progress.report('bytes', done, total),
  });
  await progress.close(result.cursor === null);
  if (result.cursor !== null) return { job_id: state.job_id, cursor: result.cursor, done: false };
  const { archive } = result;
  const sealed: Sealed = {
    key: archiveKey(plan.backup_id),
    ...(archive.versionId === undefined ? {} : { version_id: archive.versionId }),
    bytes: archive.size,
    crc32: archive.crc32,
    checksum: archive.manifest.checksum,
    entries: archive.manifest.index.entries,
    uncompressed_bytes: archive.manifest.index.bytes,
    statistics: draft.statistics,
    tallies,
    readings: byStore(Reading).parse(readings),
  };
  await bucket.writeRecord(sealedKey(state.job_id), sealed);
  return { job_id: state.job_id, cursor: null, done: true };
}

/**
 * Where the data of each store is from, with what a later backup needs to carry it. The configuration is always read,
 * and has no entry.
 */
async function describeReadings(
  environment: Environment,
  plan: BackupPlan,
): Promise<NonNullable<ManifestDraft['readings']>> {
  const proofs = await readProofs(environment.bucket, plan.job_id);
  const warnings = await readReadingWarnings(environment.bucket, plan.job_id);
  const readings: NonNullable<ManifestDraft['readings']> = {};
  for (const { store, reading, basis } of plan.stores) {
    if (store === 'config' || reading === undefined) continue;
    readings[store] = {
      ...reading,
      ...(basis === undefined ? {} : { basis }),
      ...(proofs[store] === undefined ? {} : { proof: proofs[store] }),
      ...(warnings[store] === undefined ? {} : { warnings: warnings[store] }),
    };
  }
  return readings;
}

/** If no store changed during the export, the exported counts must equal those that the stores reported. */
export function requireCompleteness(plan: BackupPlan, tallies: Record<string, Tallies>): void {
  const missing: string[] = [];
  for (const { store, probe } of plan.stores) {
    for (const [name, expected] of Object.entries(probe.counts)) {
      const exported = tallies[store]?.[name]?.count ?? 0;
      if (exported !== expected) missing.push(`${store} ${name}: ${exported} exported of ${expected}`);
    }
  }
  if (missing.length === 0) return;
  throw new IntegrityError(
    `Export incomplete: counts differ although the store did not change: ${missing.join('; ')}.`,
    {
      remedy:
        'The unfinished backup was removed. Start it again, and report it as a bug in ngbak if it happens again.',
    },
  );
}

/** The version of the GraphRAG system: as configured, or else as its data states it. */
export function systemOf({ config }: Environment, { target, stores }: BackupPlan) {
  const layout = findTarget(config, target);
  const evidence = evidenceOf(layout, Object.fromEntries(stores.map(({ store, probe }) => [store, probe])));
  return { version: layout.system_version ?? evidence?.version, evidence };
}

function draftManifest(
  environment: Environment,
  plan: BackupPlan,
  {
    consistency,
    tallies,
    warnings,
    readings,
  }: {
    readonly consistency: Consistency;
    readonly tallies: Record<string, Tallies>;
    readonly warnings: readonly BackupWarning[];
    readonly readings: NonNullable<ManifestDraft['readings']>;
  },
): ManifestDraft {
  const target = findTarget(environment.config, plan.target);
  const { version, evidence } = systemOf(environment, plan);
  return {
    backup_id: plan.backup_id,
    created_at: plan.created_at,
    ngbak_version: VERSION,
    ...(version === undefined ? {} : { nano_graphrag_version: version }),
    ...(evidence === undefined ? {} : { system_evidence: evidence }),
    storage_backends: Object.fromEntries(
      plan.stores.map(({ store, probe }) => [
        store,
        {
          kind: probe.kind,
          version: probe.version,
          ...(probe.edition === undefined ? {} : { edition: probe.edition }),
        },
      ]),
    ),
    statistics: profileStatistics(
      target.profile,
      target.parameters,
      tallies,
      Object.assign({}, ...plan.stores.map(({ probe }) => probe.labels)),
    ),
    scope: {
      type: plan.type,
      stores: plan.stores.map(({ store }) => store),
      target: plan.target,
      profile: target.profile,
      parameters: target.parameters,
      ...(plan.request.only === undefined ? {} : { only: plan.request.only }),
      // The names that the data has in the source, so that a restore can rename it.
      scopes: plan.scopes,
    },
    consistency,
    readings,
    tallies,
    ...(warnings.length === 0 ? {} : { warnings: [...warnings] }),
    tags: plan.request.tags,
    ...(plan.request.note === undefined ? {} : { note: plan.request.note }),
    // Not needed for a restore, but for rebuilding the catalog from the archives alone.
    ...(plan.request.retention === undefined ? {} : { retention: plan.request.retention }),
    ...(plan.request.requested_by === undefined ? {} : { requested_by: plan.request.requested_by }),
  };
}
