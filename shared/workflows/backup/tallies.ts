import { listSegmentRecords } from '../../archive/write/segment-store.ts';
import { segmentsPrefix } from '../../aws/keys.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import type { Environment } from '../environment.ts';
import type { BackupPlan } from './plan.ts';

/** The tallies of a backup by store: summed over all segments that were exported, or those of the carried data. */
export async function sumTallies(
  { bucket }: Pick<Environment, 'bucket'>,
  { job_id, stores }: Pick<BackupPlan, 'job_id' | 'stores'>,
): Promise<Record<string, Tallies>> {
  const tallies: Record<string, Tallies> = {};
  for (const { store, carried } of stores) if (carried) tallies[store] = carried.tallies;
  for await (const record of listSegmentRecords(bucket.s3, bucket.name, segmentsPrefix(job_id))) {
    for (const [store, counted] of Object.entries(record.tallies)) {
      tallies[store] = addTallies(tallies[store] ?? {}, counted);
    }
  }
  return tallies;
}
