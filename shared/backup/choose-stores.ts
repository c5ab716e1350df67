import type { NgbakConfig } from '../config.ts';
import { InvalidInputError } from '../errors.ts';
import { storesOf } from '../stores/open.ts';
import type { StoreName } from '../stores/port.ts';

/**
 * The stores of a target that a backup saves: those that were wanted, or all. Throws InvalidInputError where the target
 * has not all of them.
 */
export function chooseBackupStores(
  config: NgbakConfig,
  target: string,
  wanted: readonly StoreName[] | undefined,
): StoreName[] {
  const available = storesOf(config, target);
  const missing = wanted?.find((store) => !available.includes(store));
  if (missing) {
    throw new InvalidInputError(`Target "${target}" has no store "${missing}".`, {
      remedy: `Choose from: ${available.join(', ')}.`,
    });
  }
  return available.filter((store) => wanted?.includes(store) ?? true);
}
