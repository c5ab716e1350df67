import { z } from 'zod';
import type { BackupRequest } from '../../catalog/request.ts';
import type { NgbakConfig } from '../../core/config.ts';
import { describeSubset } from '../../core/describe-subset.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { hasRole, type StoreName } from '../../core/store-names.ts';
import { isWanted, missingAmong, rolesNamed, type Subset } from '../../core/subset.ts';
import { resolveStore, storesOf } from '../../profiles/open.ts';
import type { Scopes } from '../../stores/scopes.ts';
import { refuseDrillTarget } from '../drill/destination.ts';

/**
 * The stores of a target that a backup saves: the requested ones, the stores of the requested subset, or all. Throws
 * InvalidInputError if the target lacks one of them, or if the request contradicts itself.
 */
export function chooseBackupStores(
  config: NgbakConfig,
  target: string,
  { type, stores, only }: Pick<BackupRequest, 'type' | 'stores' | 'only'>,
): StoreName[] {
  refuseDrillTarget(config, target);
  const isPart = stores !== undefined || only !== undefined;
  if (type !== undefined && isPart !== (type === 'partial')) {
    throw new InvalidInputError(
      `A backup of type "${type}" can't be one of ${isPart ? 'a part' : 'everything'}.`,
      {
        remedy: isPart
          ? 'Leave "stores" and "only" out.'
          : 'Name the stores or a subset of them in "stores" or "only".',
      },
    );
  }
  const roles = rolesNamed(only);
  const unsaved = stores && roles?.find((role) => !hasRole(stores, role));
  if (unsaved && only) {
    throw new InvalidInputError(
      `A subset of ${unsaved} is requested (${describeSubset(only)}), but not that store.`,
      {
        remedy: `Add "${unsaved}" to the stores, or leave that subset out.`,
      },
    );
  }
  const available = storesOf(config, target);
  const [missing] = missingAmong(available, { stores, only });
  if (missing) {
    throw new InvalidInputError(`Target "${target}" has no store "${missing}".`, {
      remedy: `Choose from: ${available.join(', ')}.`,
    });
  }
  return available.filter((store) => isWanted(store, { stores, only }));
}

/**
 * The scope of each store for a backup of a subset. Makes no network calls. Throws InvalidInputError if the target has
 * no such subset.
 */
export function chooseScopes(
  config: NgbakConfig,
  target: string,
  stores: readonly StoreName[],
  only: Subset | undefined,
): Scopes {
  const scopes: Scopes = {};
  for (const store of stores) {
    if (store === 'config') continue;
    const { adapter, scope } = resolveStore(config, target, store);
    scopes[store] = z.json().parse(only ? adapter.narrow(scope, only) : scope);
  }
  return scopes;
}
