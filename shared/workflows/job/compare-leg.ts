import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { comparisonStateKey } from '../../aws/keys.ts';
import type { Json } from '../../core/json.ts';
import {
  compareStores,
  type StoresComparison,
  type StoresLeg,
} from '../../stores/comparison/compare-stores.ts';
import type { ComparedStore } from '../../stores/comparison/result.ts';

/** Maximum size of the state of a comparison in bytes: 500 kinds with samples, and 512 runs. */
const STATE_BYTES_MAX = 16 * 1024 ** 2;

/** `staging/<id>/compare/state-<leg>.json` */
const SavedState = z.object({ state: z.custom<Json>() });

/**
 * One leg of {@link compareStores}, whose state is stored in the bucket for the next leg. A repeated leg starts from the
 * same state and writes the same objects.
 *
 * @param id the job, or the id under which an operation stages its intermediate results
 * @param number number of this leg, from 0
 */
export async function compareLeg(
  bucket: Bucket,
  id: string,
  number: number,
  comparison: StoresComparison,
  leg: Omit<StoresLeg, 'state'>,
): Promise<{ readonly done: boolean; readonly stores: readonly ComparedStore[] }> {
  const key = (of: number) => comparisonStateKey(id, of);
  const saved =
    number === 0
      ? { state: null }
      : await bucket.requireRecord(key(number), SavedState, 'Start it again.', STATE_BYTES_MAX);
  const { state, stores } = await compareStores(comparison, { ...leg, state: saved.state });
  if (state === null) return { done: true, stores };
  await bucket.writeRecord(key(number + 1), { state });
  return { done: false, stores };
}
