import { findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import { isWanted, missingAmong } from '../../core/subset.ts';
import { servedStoresOf } from '../../profiles/open.ts';
import type { RestoreOptions } from './request.ts';

/**
 * The stores of a target that a restore with these options covers. Throws InvalidInputError if the target, or a
 * requested store, does not exist.
 */
export function chooseStores(config: NgbakConfig, target: string, options: RestoreOptions): StoreName[] {
  findTarget(config, target);
  // The configuration in an archive is for human readers. It is never loaded.
  const available = servedStoresOf(config, target);
  const [missing] = missingAmong(available, options);
  if (missing) {
    throw new InvalidInputError(`Target "${target}" has no store "${missing}" that could be restored.`, {
      remedy: `Choose from: ${available.join(', ')}.`,
    });
  }
  return available.filter((store) => isWanted(store, options));
}
