import { InvalidInputError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import type { Subset } from '../../core/subset.ts';
import type { StoreProbe } from '../../stores/export-step.ts';
import { findAdapter } from '../../stores/registry.ts';

/**
 * Everything that a request names must exist: a misspelled name would otherwise produce an empty backup that looks
 * successful. Throws InvalidInputError.
 */
export function requireSubset(
  part: Subset,
  planned: readonly { store: StoreName; probe: Pick<StoreProbe, 'kind' | 'counts'> }[],
): void {
  const missing = planned.flatMap(({ store, probe }) =>
    findAdapter(probe.kind, store).lacks(part, probe.counts),
  );
  if (missing.length === 0) return;
  throw new InvalidInputError(`The target holds no ${missing.join(', and no ')}.`, {
    remedy: 'Correct the name, or leave it out. Nothing was saved.',
  });
}
