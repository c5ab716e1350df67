import type { EntryPiece } from '../../archive/format/types.ts';
import { SegmentCarry } from '../../archive/write/segment.ts';
import { uploadSegment } from '../../archive/write/segment-store.ts';
import { backupPlanKey, segmentsPrefix, stagingPrefix } from '../../aws/keys.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import { NgbakError } from '../../core/errors.ts';
import { roleOf, type StoreRole } from '../../core/store-names.ts';
import { withUsedStore } from '../../profiles/open.ts';
import type { Cursor, LegContext } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import { WarningCollector } from '../../stores/warning.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { legContext } from '../job/leg-context.ts';
import { expectedUnits, ProgressWriter, totalsOf } from '../job/progress.ts';
import { segmentOrder } from './carry.ts';
import { BackupPlan, ExportState, readBackupPlan, storeScopes } from './plan.ts';
import { writeExportWarnings } from './warnings.ts';

/**
 * A leg ends its segment after this many uncompressed bytes. This is far below the limit of 10,000 parts of an upload,
 * and small enough that repeating a leg does not cost an hour.
 */
const SEGMENT_BYTES_MAX = 16 * 1024 ** 3;

/** Input and output of an exporter that is restricted to the stores of one role. */
export function exportStateOf(role: StoreRole) {
  return ExportState.refine(
    ({ store }) => roleOf(store) === role,
    `is not for a store of the role "${role}"`,
  );
}

/**
 * One leg of an export: streams the shard from the cursor into one segment under `staging/<job>/segments/`, until the
 * shard ends, time runs out or the segment is full. A repeated leg overwrites its own segment, so nothing is counted
 * twice. Returns the state for the next leg, with `done` set if the shard is finished.
 */
export async function exportLeg(
  environment: Environment,
  state: ExportState,
  leg: LegLimits,
): Promise<ExportState> {
  const plan = await readBackupPlan(environment, state.job_id);
  const planned = plan.stores.find(({ store }) => store === state.store);
  const shard = planned?.shards.find(({ id }) => id === state.shard);
  if (!shard) {
    throw new NgbakError(`The plan of job ${state.job_id} has no shard ${state.store}/${state.shard}.`, {
      remedy: 'Start a new backup.',
    });
  }
  // The counts of a store are those of its only shard.
  const counts = shard.counts ?? (planned?.shards.length === 1 ? planned.probe.counts : {});
  const progress = await ProgressWriter.open(
    environment.bucket,
    state.job_id,
    { store: state.store, shard: state.shard, phase: 'export' },
    totalsOf(counts),
    expectedUnits(planned?.probe.kind ?? '', counts),
  );
  const warnings = new WarningCollector();
  const context = legContext(environment, leg, state.job_id, { progress, warnings });
  const next = await withUsedStore(
    environment.config,
    plan.target,
    state.store,
    async (store) => {
      let cursor: Cursor | null = state.cursor?.store ?? null;
      let tallies: Tallies = {};
      async function* pieces(): AsyncGenerator<EntryPiece> {
        let bytes = 0;
        let ended = true;
        for await (const exported of store.export(shard as NonNullable<typeof shard>, cursor, context)) {
          const entries = [exported.piece, ...(exported.companions ?? [])];
          yield* entries;
          tallies = addTallies(tallies, exported.tallies);
          cursor = exported.next;
          for (const { length } of entries) bytes += length;
          if (cursor !== null && (leg.timeLeft() <= 0 || bytes >= SEGMENT_BYTES_MAX)) {
            ended = false;
            break;
          }
        }
        if (ended) cursor = null;
      }
      const record = await uploadSegment({
        s3: environment.bucket.s3,
        bucket: environment.bucket.name,
        prefix: segmentsPrefix(state.job_id),
        name: segmentName(state),
        pieces: pieces(),
        carry: state.cursor === null ? null : SegmentCarry.nullable().parse(state.cursor.archive),
        codec: plan.request.codec,
        ...(plan.request.level === undefined ? {} : { level: plan.request.level }),
        signal: leg.signal,
        tallies: () => ({ [state.store]: tallies }),
      }).finally(() => cleanUpIfEnded(environment, state.job_id, store, context));
      return { store: cursor, archive: record.carry };
    },
    storeScopes(plan),
  );
  await writeExportWarnings(environment.bucket, state.job_id, segmentName(state), {
    store: state.store,
    warnings: warnings.all(),
  });
  const done = next.store === null;
  await progress.close(done);
  return { ...state, leg: state.leg + 1, cursor: done ? null : next, done };
}

/**
 * Stopping an execution does not stop its functions. The janitor removes the plan with the job's other staged objects.
 * A leg that no longer finds the plan therefore removes whatever it has created since, in the bucket and on the server,
 * and throws NgbakError.
 */
async function cleanUpIfEnded(
  { bucket }: Environment,
  jobId: string,
  store: Store,
  context: LegContext,
): Promise<void> {
  if (await bucket.readRecord(backupPlanKey(jobId), BackupPlan)) return;
  await store.cleanup(context);
  await bucket.removeAll(stagingPrefix(jobId));
  throw new NgbakError(`Backup ${jobId} has ended while this leg was running.`, {
    remedy: 'Start a new backup.',
  });
}

/** Names sort segments in archive order: by shard, then by leg. */
function segmentName({ order, store, shard, leg }: ExportState): string {
  return `${segmentOrder(order)}-${store}-${shard}-${String(leg).padStart(6, '0')}`;
}
