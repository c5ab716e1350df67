import { findTarget, type NgbakConfig } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { hasRole, type StoreName } from '../../core/store-names.ts';
import { isWanted, rolesNamed } from '../../core/subset.ts';
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
  const missing = options.stores
    ? options.stores.find((store) => !available.some((name) => name === store))
    : rolesNamed(options.only)?.find((role) => !hasRole(available, role));
  if (missing) {
    throw new InvalidInputError(`Target "${target}" has no store "${missing}" that could be restored.`, {
      remedy: `Choose from: ${available.join(', ')}.`,
    });
  }
  return available.filter((store) => isWanted(store, options));
}
