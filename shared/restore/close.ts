import { jobProgressPrefix } from '../bucket/layout.ts';
import type { Tallies } from '../digest.ts';
import type { Environment } from '../environment.ts';
import { IntegrityError } from '../errors.ts';
import type { Answer } from './answer.ts';
import { readInspection } from './inspection.ts';
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
  /** Up to five values that lead nowhere. */
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
  /** References between stores: how many led nowhere in the archive, and how many do in the target. */
  readonly references: readonly ComparedReference[];
  readonly verified: true;
  readonly finished_at: string;
}

/**
 * Last step of a restore: puts together what the legs recorded. The verification of every store must have been
 * recorded, with no difference; a restore is never reported without it.
 */
export async function closeRestore(environment: Environment, jobId: string): Promise<RestoreResult> {
  const plan = await readRestorePlan(environment.bucket, jobId);
  const inspection = await readInspection(environment.bucket, jobId);
  const stores: RestoreResult['stores'] = {};
  const references: ComparedReference[] = [];
  for (const store of plan.stores) {
    const loaded = await sumLegs(environment, jobId, store, 'load');
    const verified = await sumLegs(environment, jobId, store, 'verify');
    if (verified.legs === 0 || verified.differences > 0) {
      throw new IntegrityError(`The ${store} of target "${plan.target}" was not verified.`, {
        remedy: `Restore again; the records of the steps are under s3://${environment.bucket.name}/${jobProgressPrefix(jobId)}.`,
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
    const before = inspection.stores.find((inspected) => inspected.store === store)?.smoke ?? [];
    const smoke = compareAnswers(plan, store, before, verified.smoke);
    stores[store] = { loaded: loaded.tallies, read_back: verified.tallies, differences: 0, smoke };
  }
  return {
    job_id: jobId,
    target: plan.target,
    backup_id: inspection.archive.backup_id,
    origin: {
      restored_from_backup: inspection.archive.backup_id,
      backup_timestamp: inspection.archive.created_at,
      ...(inspection.archive.origin === undefined ? {} : { original_target: inspection.archive.origin }),
      changes: plan.stores.flatMap((store) =>
        (plan.routes?.[store]?.changes ?? []).map((change) => `${store}: ${change}`),
      ),
    },
    ...danglingEnd(plan, stores.graph?.loaded),
    stores,
    references,
    verified: true,
    finished_at: new Date().toISOString(),
  };
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
  before: readonly Answer[],
  after: readonly Answer[],
): ComparedAnswer[] {
  return after.map(({ question, answered, answer }) => {
    const earlier = before.find((other) => other.question === question);
    if (earlier?.answered && !answered) {
      throw new IntegrityError(
        `After the restore, ${store} of target "${plan.target}" does not answer "${question}", which it did before: ${answer}`,
        { remedy: 'Look whether the server is in order, and restore again.' },
      );
    }
    return { question, before: earlier?.answer ?? 'not asked', after: answer };
  });
}
