import { InvalidInputError } from '../../core/errors.ts';
import { roleOf, type StoreName } from '../../core/store-names.ts';
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
  // What several stores of a role lack: each name must exist in one of them.
  const byRole = Map.groupBy(planned, ({ store }) => roleOf(store));
  const missing = [...byRole.values()].flatMap((stores) => {
    const lacking = stores.map(({ store, probe }) =>
      findAdapter(probe.kind, store).lacks(part, probe.counts),
    );
    const [first = [], ...others] = lacking;
    return first.filter((thing) => others.every((things) => things.includes(thing)));
  });
  if (missing.length === 0) return;
  throw new InvalidInputError(`The target holds no ${missing.join(', and no ')}.`, {
    remedy: 'Correct the name, or leave it out. Nothing was saved.',
  });
}
