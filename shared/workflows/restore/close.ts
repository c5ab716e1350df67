import { jobProgressPrefix } from '../../aws/keys.ts';
import { countContents } from '../../catalog/metadata.ts';
import type { BackupWarning } from '../../catalog/warnings.ts';
import type { Tallies } from '../../core/digest.ts';
import { IntegrityError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import { tallyKind } from '../../stores/known-facts.ts';
import { mergeWarnings } from '../../stores/warning.ts';
import type { Environment } from '../environment.ts';
import { readJob } from '../job/record.ts';
import type { SmokeAnswer } from './answer.ts';
import { type Inspection, readInspection } from './inspection.ts';
import { sumLegs } from './leg.ts';
import { danglingOf, type RestorePlan, readRestorePlan } from './plan.ts';

/** A smoke check with the answers of the store before and after the restore, described without any data. */
export interface ComparedAnswer {
  readonly question: string;
  readonly before: string;
  readonly after: string;
}

/**
 * A reference between stores: the counts of the inspection in the archive, and those of the verification in the target.
 */
export interface ComparedReference {
  readonly reference: string;
  /** Number of referring values. */
  readonly total: number;
  /** How many of them were dangling before the restore. Null if the archive alone did not suffice to tell. */
  readonly before: number | null;
  readonly after: number;
  /** False if time ran out before all were looked up. */
  readonly complete: boolean;
  /** Up to five dangling values. */
  readonly samples: readonly string[];
}

/** Output of a restore: what was restored, and how that was verified. */
export interface RestoreResult {
  readonly job_id: string;
  readonly target: string;
  readonly backup_id: string;
  /** Origin of the data: id and time of the backup, the source target and the names there. */
  readonly origin: { readonly [label: string]: string | readonly string[] };
  /** Dangling relationships of the archive: how many were attached and left out, and whether the latter were kept. */
  readonly dangling?: { attached: number; left_out: number; kept: boolean };
  /** By store: the records loaded, and the records read back from the target and found equal to the archive. */
  readonly stores: Record<
    string,
    { loaded: Tallies; read_back: Tallies; differences: 0; smoke: readonly ComparedAnswer[] }
  >;
  /** Number of nodes, relationships, points and keys written, and number of files. */
  readonly records_restored: number;
  readonly files_restored: number;
  /** False if only a subset of these stores was restored: certain namespaces, collections or labels. */
  readonly all_of_stores: boolean;
  /** References between stores: how many were dangling in the archive, and how many are in the target. */
  readonly references: readonly ComparedReference[];
  /** Warnings of the stores during clear, load, verification and finish, for example about what was left out. */
  readonly warnings: readonly BackupWarning[];
  readonly verified: true;
  /**
   * Duration without the waits for thawing and confirmation, in seconds: from the request, or from when the archive was
   * thawed, to the end of the inspection, plus from taking the target's lock to the end of the verification.
   */
  readonly seconds?: number;
  /** Uncompressed bytes of the archive. */
  readonly bytes?: number;
  readonly finished_at: string;
}

/** Warnings, and samples of each, in the output of a workflow, the size of which is limited. */
const WARNINGS_MAX = 20;
const SAMPLES_MAX = 5;

/**
 * Last step of a restore: combines the records of its legs. Requires a recorded verification of every store, without
 * differences; a restore never succeeds without it.
 */
export async function closeRestore(environment: Environment, jobId: string): Promise<RestoreResult> {
  const plan = await readRestorePlan(environment.bucket, jobId);
  const inspection = await readInspection(environment.bucket, jobId);
  const stores: RestoreResult['stores'] = {};
  const references: ComparedReference[] = [];
  const warnings: BackupWarning[] = [];
  for (const store of plan.stores) {
    const loaded = await sumLegs(environment, jobId, store, 'load');
    const verified = await sumLegs(environment, jobId, store, 'verify');
    if (verified.legs === 0 || verified.differences > 0) {
      throw new IntegrityError(`The ${store} of target "${plan.target}" was not verified.`, {
        remedy: `Restore again; the records of the steps are under s3://${environment.bucket.place}/${jobProgressPrefix(jobId)}.`,
      });
    }
    for (const { reference, total, dangling, complete, samples } of verified.references) {
      const earlier = inspection.references.find((other) => other.reference === reference);
      references.push({
        reference,
        total,
        before: earlier?.dangling ?? null,
        after: dangling,
        complete,
        samples,
      });
    }
    const finished = await sumLegs(environment, jobId, store, 'finish');
    const cleared = await sumLegs(environment, jobId, store, 'clear');
    const phases = [cleared, loaded, verified, finished].map((phase) => phase.warnings);
    for (const { samples, ...warning } of mergeWarnings(phases)) {
      const shown = samples === undefined ? {} : { samples: samples.slice(0, SAMPLES_MAX) };
      warnings.push({ store, ...warning, ...shown });
    }
    const inspected = inspection.stores.find((other) => other.store === store);
    requireCounts(plan, store, inspected?.archive ?? {}, { ...loaded.tallies, ...verified.tallies });
    const before = inspected?.smoke ?? [];
    const smoke = compareAnswers(plan, store, before, verified.smoke);
    stores[store] = { loaded: loaded.tallies, read_back: verified.tallies, differences: 0, smoke };
  }
  const loaded = Object.entries(stores).map(([store, { loaded }]) => [store, loaded] as const);
  const contents = countContents(Object.fromEntries(loaded));
  const now = new Date();
  return {
    job_id: jobId,
    target: plan.target,
    backup_id: inspection.archive.backup_id,
    origin: {
      restored_from_backup: inspection.archive.backup_id,
      backup_timestamp: inspection.archive.created_at,
      ...(inspection.archive.origin === undefined ? {} : { original_target: inspection.archive.origin }),
      changes: plan.stores.flatMap((store) =>
        (plan.routes[store]?.changes ?? []).map((change) => `${store}: ${change}`),
      ),
    },
    ...danglingEnd(plan, stores.graph?.loaded),
    stores,
    records_restored: contents.records,
    files_restored: contents.files,
    all_of_stores: plan.options.only === undefined && inspection.archive.only === undefined,
    references,
    warnings: warnings.slice(0, WARNINGS_MAX),
    verified: true,
    ...measuresOf(plan, inspection, (await readJob(environment.bucket, jobId))?.thaw?.ready_at, now),
    finished_at: now.toISOString(),
  };
}

function measuresOf(
  { created_at, begun_at }: RestorePlan,
  { inspected_at, archive }: Inspection,
  thawedAt: string | undefined,
  now: Date,
): Pick<RestoreResult, 'seconds' | 'bytes'> {
  if (begun_at === undefined || archive.uncompressed_bytes === undefined) return {};
  const inspection = Date.parse(inspected_at) - Date.parse(thawedAt ?? created_at);
  const restore = now.getTime() - Date.parse(begun_at);
  return {
    seconds: Math.max(0, Math.round((inspection + restore) / 1000)),
    bytes: archive.uncompressed_bytes,
  };
}

/**
 * Throws IntegrityError if the number of restored records differs from the archive's manifest: an archive can be intact
 * byte by byte and still not match the data that was backed up.
 */
function requireCounts(
  plan: RestorePlan,
  store: StoreName,
  saved: Readonly<Record<string, number>>,
  found: Tallies,
): void {
  const { mode, only } = plan.options;
  // The counts of a subset or of a merge legitimately differ; those of renamed data do not.
  if (mode === 'merge' || only !== undefined) return;
  const changed = (found.stitched?.count ?? 0) + (found.left_out?.count ?? 0) > 0;
  for (const [tally, count] of Object.entries(saved)) {
    const read = found[tally]?.count ?? 0;
    const restored = tallyKind(tally)?.records?.restored;
    const exact = restored === 'all' || (restored === 'attached' && !changed);
    // Keys that have expired since the backup are not restored. There must never be more than were saved.
    const wrong = exact ? read !== count : restored === 'unexpired' && read > count;
    if (!wrong) continue;
    throw new IntegrityError(
      `The archive states ${count} ${tally} of the ${store}, but ${read} were restored into target "${plan.target}".`,
      { remedy: 'Use another backup: this archive does not match what was backed up.' },
    );
  }
}

function danglingEnd(plan: RestorePlan, loaded: Tallies | undefined): Pick<RestoreResult, 'dangling'> {
  const attached = loaded?.stitched?.count ?? 0;
  const leftOut = loaded?.left_out?.count ?? 0;
  if (attached + leftOut === 0) return {};
  return { dangling: { attached, left_out: leftOut, kept: leftOut > 0 && danglingOf(plan) === 'defer' } };
}

/** Throws IntegrityError if a smoke check that was answered before the restore is not answered after it. */
function compareAnswers(
  plan: RestorePlan,
  store: string,
  before: readonly SmokeAnswer[],
  after: readonly SmokeAnswer[],
): ComparedAnswer[] {
  return after.map(({ question, answered, answer }) => {
    const earlier = before.find((other) => other.question === question);
    if (earlier?.answered && !answered) {
      throw new IntegrityError(
        `After the restore, ${store} of target "${plan.target}" does not answer the smoke check "${question}", which it answered before: ${answer}`,
        { remedy: 'Check the server, and restore again.' },
      );
    }
    return { question, before: earlier?.answer ?? 'not asked', after: answer };
  });
}
