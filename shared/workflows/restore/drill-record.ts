import { drillKey } from '../../aws/keys.ts';
import type { BackupWarning } from '../../catalog/warnings.ts';
import type { StoreName } from '../../core/store-names.ts';
import { VERSION } from '../../core/version.ts';
import type { ReferenceCount } from '../../profiles/reference-count.ts';
import { type DrillPlace, isRehearsal } from '../drill/destination.ts';
import { rememberDrill } from '../drill/last.ts';
import { DRILL_PHASES, type DrillRecord, readDrill } from '../drill/record.ts';
import { findScratch } from '../drill/scratch.ts';
import type { Environment } from '../environment.ts';
import type { JobRecord } from '../job/record.ts';
import type { SmokeAnswer } from './answer.ts';
import { findInspection, type InspectionRecord } from './inspection.ts';
import { type LegSum, loadRateOf, type RestorePhase, sumLegs } from './leg.ts';
import { type AdmittedRestore, findRestorePlan } from './plan.ts';

/** The phases of a restore that each phase of a drill comprises. */
const STEPS: Record<Exclude<(typeof DRILL_PHASES)[number], 'thaw' | 'inspect'>, readonly (keyof Sums)[]> = {
  rehearse: ['rehearse'],
  load: ['clear', 'load'],
  verify: ['verify'],
  remove: ['finish', 'remove'],
};
/** Maximum number of warnings and notes in a record, which is kept for years and read by people. */
const NOTES_MAX = 100;

/** The outcome of a drill, as in the record of its job. */
export type DrillEnd = Pick<JobRecord, 'state' | 'error'>;

/**
 * Writes the result of a drill, from the records of its steps. Call it after its servers were cleaned and before its
 * staged objects are removed. An existing record is left unchanged. Failed drills are recorded too.
 */
export async function writeDrillRecord(
  environment: Environment,
  job: JobRecord,
  admitted: AdmittedRestore & { readonly drill: DrillPlace },
  end: DrillEnd,
): Promise<void> {
  const { bucket } = environment;
  await bucket.writeOnce(drillKey(job.job_id), await describeDrill(environment, job, admitted, end));
  // A repeated call finds the record of the first one.
  const written = await readDrill(bucket, job.job_id);
  if (written) await rememberDrill(bucket, written);
}

async function describeDrill(
  environment: Environment,
  { job_id, created_at, requested_by, thaw }: JobRecord,
  admitted: AdmittedRestore & { readonly drill: DrillPlace },
  end: DrillEnd,
): Promise<DrillRecord> {
  const { bucket } = environment;
  const { target, backup_id } = admitted;
  const inspection = await findInspection(bucket, job_id);
  const plan = await findRestorePlan(bucket, job_id);
  // The inspection may have turned a drill into a rehearsal.
  const drill = plan?.drill ?? inspection?.resolved?.drill ?? admitted.drill;
  const { of, place, reason } = drill;
  const rehearsal = isRehearsal({ drill });
  const names = plan?.stores ?? inspection?.resolved?.stores ?? [];
  const times = new Times();
  // The wait for cold storage says nothing about the duration of a restore.
  const began_at = thaw?.ready_at ?? created_at;
  if (thaw) times.add('thaw', { began_at: created_at, ended_at: thaw.ready_at });
  if (inspection) times.add('inspect', { began_at, ended_at: inspection.inspected_at });
  const stores: DrillRecord['stores'] = {};
  const references: ReferenceCount[] = [];
  const warnings: BackupWarning[] = [];
  for (const name of names) {
    const sums = await sumSteps(environment, job_id, name);
    for (const phase of ['rehearse', 'load', 'verify', 'remove'] as const) {
      for (const step of STEPS[phase]) times.add(phase, sums[step]);
    }
    references.push(...sums.verify.references);
    for (const sum of Object.values(sums)) {
      warnings.push(...sum.warnings.map((warning) => ({ store: name, ...warning })));
    }
    const scratch = await findScratch(bucket, job_id, name);
    const isRemoved = scratch === undefined || scratch.removed_at !== undefined;
    const store = describeStore(inspection, name, sums, isRemoved);
    if (store) stores[name] = store;
  }
  const all = Object.values(stores);
  const isProved =
    end.state === 'completed' &&
    all.length > 0 &&
    all.every(({ verified, removed, parsed }) => (rehearsal ? parsed !== undefined : verified && removed));
  const finished_at = new Date().toISOString();
  const verifiedAt = times.endOf('verify');
  return {
    drill_version: 1,
    job_id,
    kind: rehearsal ? 'rehearsal' : 'drill',
    verdict: isProved ? 'passed' : end.state === 'cancelled' ? 'cancelled' : 'failed',
    target: of,
    destination: { target, place, ...(reason === undefined ? {} : { reason }) },
    started_at: created_at,
    finished_at,
    ...(all.length > 0 && all.every(({ verified }) => verified) && verifiedAt !== undefined
      ? { restore_seconds: secondsBetween(began_at, verifiedAt) }
      : {}),
    ...(requested_by === undefined ? {} : { requested_by }),
    ...(backup_id === undefined ? {} : { backup_id }),
    ...archiveOf(inspection),
    ngbak_version: VERSION,
    phases: times.phases(),
    load_bytes_per_second: Object.fromEntries(
      names.flatMap((name) => {
        const rate = loadRateOf(environment, admitted, name);
        return rate === undefined || rehearsal ? [] : [[name, rate]];
      }),
    ),
    stores,
    references,
    differences: Object.entries(stores).flatMap(([name, { smoke }]) =>
      smoke.flatMap(({ question, target: answer, drill: copy, same }) =>
        same || copy === undefined
          ? []
          : [`${name}, "${question}": the target answers ${answer}, the restored backup ${copy}`],
      ),
    ),
    warnings: warnings.slice(0, NOTES_MAX),
    notes: notesOf(inspection).slice(0, NOTES_MAX),
    ...(end.error === undefined ? {} : { error: end.error }),
  };
}

type Sums = Record<'rehearse' | 'clear' | 'load' | 'verify' | 'finish' | 'remove', LegSum>;

async function sumSteps(environment: Environment, jobId: string, name: StoreName): Promise<Sums> {
  const sum = (phase: RestorePhase) => sumLegs(environment, jobId, name, phase);
  const [rehearse, clear, load, verify, finish, remove] = await Promise.all([
    sum('rehearse'),
    sum('clear'),
    sum('load'),
    sum('verify'),
    sum('finish'),
    sum('remove'),
  ]);
  return { rehearse, clear, load, verify, finish, remove };
}

function describeStore(
  inspection: InspectionRecord | undefined,
  name: StoreName,
  { rehearse, load, verify }: Sums,
  removed: boolean,
): DrillRecord['stores'][StoreName] {
  const found = inspection?.stores.find(({ store }) => store === name);
  if (!found) return undefined;
  return {
    kind: found.kind,
    version: found.version,
    ...(found.saved_version === undefined ? {} : { saved_version: found.saved_version }),
    in_archive: found.archive,
    loaded: load.tallies,
    read_back: verify.tallies,
    ...(rehearse.complete ? { parsed: rehearse.tallies } : {}),
    // Only the last leg of a verification runs the smoke checks and counts the references.
    verified: verify.complete && verify.differences === 0,
    differences: verify.differences,
    samples: verify.samples,
    smoke: found.smoke.map((before) => compareSmoke(before, verify.smoke)),
    removed,
  };
}

function compareSmoke(before: SmokeAnswer, copy: readonly SmokeAnswer[]) {
  const after = copy.find(({ question }) => question === before.question);
  return {
    question: before.question,
    target: before.answer,
    ...(after ? { drill: after.answer } : {}),
    same: after !== undefined && before.answered && after.answered && before.answer === after.answer,
  };
}

function archiveOf(inspection: InspectionRecord | undefined): Pick<DrillRecord, 'archive'> {
  if (!inspection) return {};
  const { bytes, entries, uncompressed_bytes, checksum, created_at, ngbak_version, system_version, only } =
    inspection.archive;
  return {
    archive: {
      bytes,
      entries,
      ...(uncompressed_bytes === undefined ? {} : { uncompressed_bytes }),
      checksum,
      created_at,
      ...(ngbak_version === undefined ? {} : { ngbak_version }),
      ...(system_version === undefined ? {} : { system_version }),
      partial: only !== undefined,
    },
  };
}

function notesOf(inspection: InspectionRecord | undefined): string[] {
  if (!inspection) return [];
  return [
    ...inspection.warnings,
    ...inspection.stores.flatMap(({ store, warnings, changes }) =>
      [...changes, ...warnings].map((text) => `${store}: ${text}`),
    ),
    ...inspection.problems,
  ];
}

/** When the phases began and ended, over all stores. */
class Times {
  readonly #spans = new Map<(typeof DRILL_PHASES)[number], { began_at: string; ended_at: string }>();

  add(
    phase: (typeof DRILL_PHASES)[number],
    { began_at, ended_at }: { began_at?: string | undefined; ended_at?: string | undefined },
  ): void {
    if (began_at === undefined || ended_at === undefined) return;
    const known = this.#spans.get(phase) ?? { began_at, ended_at };
    this.#spans.set(phase, {
      began_at: began_at < known.began_at ? began_at : known.began_at,
      ended_at: ended_at > known.ended_at ? ended_at : known.ended_at,
    });
  }

  endOf(phase: (typeof DRILL_PHASES)[number]): string | undefined {
    return this.#spans.get(phase)?.ended_at;
  }

  phases(): DrillRecord['phases'] {
    return DRILL_PHASES.flatMap((phase) => {
      const span = this.#spans.get(phase);
      return span ? [{ phase, seconds: secondsBetween(span.began_at, span.ended_at) }] : [];
    });
  }
}

function secondsBetween(from: string, to: string): number {
  return Math.max(0, Date.parse(to) - Date.parse(from)) / 1000;
}
