import { listSegmentRecords } from '../../archive/write/segment-store.ts';
import { segmentsPrefix } from '../../aws/keys.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import type { Environment } from '../environment.ts';

/** The tallies of everything that the exports of a job wrote, summed over all segments, by store. */
export async function sumSegments(
  { bucket }: Pick<Environment, 'bucket'>,
  jobId: string,
): Promise<Record<string, Tallies>> {
  const tallies: Record<string, Tallies> = {};
  for await (const record of listSegmentRecords(bucket.s3, bucket.name, segmentsPrefix(jobId))) {
    for (const [store, counted] of Object.entries(record.tallies)) {
      tallies[store] = addTallies(tallies[store] ?? {}, counted);
    }
  }
  return tallies;
}
