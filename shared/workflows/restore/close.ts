import { jobProgressPrefix } from '../../aws/keys.ts';
import { countContents } from '../../catalog/metadata.ts';
import type { BackupWarning } from '../../catalog/warnings.ts';
import type { Tallies } from '../../core/digest.ts';
import { IntegrityError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import { tallyKind } from '../../stores/known-facts.ts';
import { mergeWarnings } from '../../stores/warning.ts';
import type { Environment } from '../environment.ts';
import type { SmokeAnswer } from './answer.ts';
import { type Inspection, readInspection } from './inspection.ts';
import { sumLegs } from './leg.ts';
import { danglingOf, type RestorePlan, readRestorePlan } from './plan.ts';

/** A smoke question with what the store answered before the restore and after it, in words that hold no data. */
export interface ComparedAnswer {
  readonly question: string;
  readonly before: string;
  readonly after: string;
}

/** A reference between stores, as the inspection found it in the archive and the verification in the target. */
export interface ComparedReference {
  readonly reference: string;
  /** Values that refer. */
  readonly total: number;
  /** How many of them led nowhere; null where the archive alone did not tell. */
  readonly before: number | null;
  readonly after: number;
  /** False where the time was up before all were looked up. */
  readonly complete: boolean;
  /** Up to five values that are dangling. */
  readonly samples: readonly string[];
}

/** Output of a restore: what came back, and how that was proved. */
export interface RestoreResult {
  readonly job_id: string;
  readonly target: string;
  readonly backup_id: string;
  /** Where the data comes from: id and time of the backup, the target and the names that it had there. */
  readonly origin: { readonly [label: string]: string | readonly string[] };
  /** Relationships that lead out of the archive: how many were attached, left out, and whether those were kept. */
  readonly dangling?: { attached: number; left_out: number; kept: boolean };
  /** By store: what was loaded, and what was then read back from the target and found equal to the archive. */
  readonly stores: Record<
    string,
    { loaded: Tallies; read_back: Tallies; differences: 0; smoke: readonly ComparedAnswer[] }
  >;
  /** Nodes, relationships, points and keys that were written, and files. */
  readonly records_restored: number;
  readonly files_restored: number;
  /** False where only chosen namespaces, collections or labels of these stores were restored. */
  readonly all_of_stores: boolean;
  /** References between stores: how many led nowhere in the archive, and how many do in the target. */
  readonly references: readonly ComparedReference[];
  /** What the stores warned about while they were cleared, loaded, verified and finished: what was left out, for one. */
  readonly warnings: readonly BackupWarning[];
  readonly verified: true;
  /**
   * How long it took without the wait for confirmation, in seconds: from its request to the end of the inspection, and from
   * the lock of the target to the end of the verification.
   */
  readonly seconds?: number;
  /** Uncompressed bytes of the archive. */
  readonly bytes?: number;
  readonly finished_at: string;
}

/** Warnings, and samples of each, in the output of a workflow, whose size is limited. */
const WARNINGS_MAX = 20;
const SAMPLES_MAX = 5;

/**
 * Last step of a restore: combines the records of its legs. The verification of every store must have been
 * recorded, with no difference; a restore is never reported without it.
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
    ...measuresOf(plan, inspection, now),
    finished_at: now.toISOString(),
  };
}

function measuresOf(
  { created_at, begun_at }: RestorePlan,
  { inspected_at, archive }: Inspection,
  now: Date,
): Pick<RestoreResult, 'seconds' | 'bytes'> {
  if (begun_at === undefined || archive.uncompressed_bytes === undefined) return {};
  const inspection = Date.parse(inspected_at) - Date.parse(created_at);
  const restore = now.getTime() - Date.parse(begun_at);
  return {
    seconds: Math.max(0, Math.round((inspection + restore) / 1000)),
    bytes: archive.uncompressed_bytes,
  };
}

/**
 * Throws IntegrityError where another number of records came back than the archive's manifest says were saved: every
 * byte of the archive may be sound, and the archive still not be what was backed up.
 */
function requireCounts(
  plan: RestorePlan,
  store: StoreName,
  saved: Readonly<Record<string, number>>,
  found: Tallies,
): void {
  const { mode, only } = plan.options;
  // A part of an archive, or one that is merged, has other counts for good reasons; what is renamed has not.
  if (mode === 'merge' || only !== undefined) return;
  const changed = (found.stitched?.count ?? 0) + (found.left_out?.count ?? 0) > 0;
  for (const [tally, count] of Object.entries(saved)) {
    const read = found[tally]?.count ?? 0;
    const restored = tallyKind(tally)?.records?.restored;
    const exact = restored === 'all' || (restored === 'attached' && !changed);
    // What has expired since the backup does not come back; more than was saved must not.
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

/** Throws IntegrityError where a question that was answered before is not any more. */
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
