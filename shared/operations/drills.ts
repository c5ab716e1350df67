import { z } from 'zod';
import { DrillInput } from '../catalog/drill-request.ts';
import type { ScheduledRunOf } from '../catalog/request.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { NotFoundError } from '../core/refusals.ts';
import { chooseBackup } from '../workflows/drill/choose-backup.ts';
import { drillDestination } from '../workflows/drill/destination.ts';
import { DrillRecord, readDrill, readDrills } from '../workflows/drill/record.ts';
import type { OperationsContext } from './context.ts';
import { type Requester, requireThaw } from './restore.ts';
import { readCatalogued } from './show-backup.ts';
import { newJobId, type StartedJob, startJob } from './start.ts';

export const StartDrillInput = DrillInput;
export type StartDrillInput = z.infer<typeof StartDrillInput>;

export const ListDrillsInput = z.strictObject({
  target: Id.optional(),
  verdict: DrillRecord.shape.verdict.optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
});
export type ListDrillsInput = z.infer<typeof ListDrillsInput>;

export const DrillList = z.object({
  drills: z.array(DrillRecord),
  /** Number of matching drills. */
  total: z.number().int(),
  unreadable: z.array(z.object({ job_id: z.string(), problem: z.string() })),
});
export type DrillList = z.infer<typeof DrillList>;

/**
 * Starts a drill. Throws NotFoundError, InvalidInputError or RefusedError.
 *
 * @param by.schedule  the schedule of which this is a manual run
 */
export async function startDrill(
  context: OperationsContext,
  input: StartDrillInput,
  by: Requester & { readonly schedule?: ScheduledRunOf },
): Promise<StartedJob> {
  const { bucket, sfn, config, stateMachines } = context;
  // Checked here to report an error immediately; the workflow checks again.
  const named =
    input.backup_id === undefined ? undefined : (await readCatalogued(context, input.backup_id)).value;
  const chosen = config ? await chooseBackup({ bucket, config }, input) : named;
  if (config && chosen) drillDestination(config, chosen.target, input.rehearsal);
  if (chosen) await requireThaw(context, chosen, input.thaw);
  const { schedule } = by;
  const jobId = newJobId('drill', by.idempotencyKey);
  return startJob(sfn, stateMachines.restore, jobId, {
    drill: input,
    ...(schedule === undefined ? {} : { schedule }),
    requested_by: by.requestedBy,
  });
}

/** The newest drills that match, newest first. */
export async function listDrills({ bucket }: OperationsContext, input: ListDrillsInput): Promise<DrillList> {
  const drills: DrillRecord[] = [];
  const unreadable: DrillList['unreadable'] = [];
  let total = 0;
  for await (const { id, drill, problem } of readDrills(bucket)) {
    if (problem !== undefined) unreadable.push({ job_id: id, problem });
    if (!drill || (input.target !== undefined && drill.target !== input.target)) continue;
    if (input.verdict !== undefined && drill.verdict !== input.verdict) continue;
    total++;
    if (drills.length < input.limit) drills.push(drill);
  }
  return { drills, total, unreadable };
}

/** The record of one drill. Throws NotFoundError. */
export async function showDrill({ bucket }: OperationsContext, jobId: string): Promise<DrillRecord> {
  const id = parseInput(Id, jobId, 'The ID of the drill');
  const drill = await readDrill(bucket, id);
  if (drill) return drill;
  throw new NotFoundError(`There is no record of a drill "${id}".`, {
    remedy: `List the drills with \`ngbak drills\`. A drill that is still running: \`ngbak job ${id}\`.`,
  });
}
