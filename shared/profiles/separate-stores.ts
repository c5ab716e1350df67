import { loadSecret } from '../aws/secrets.ts';
import type { NgbakConfig } from '../core/config.ts';
import { roleOf, type ServedStore } from '../core/store-names.ts';
import type { Scopes } from '../stores/scopes.ts';
import { resolveStore, servedStoresOf } from './open.ts';

/**
 * Pairs of stores of a target that could hold the same record, as clauses: such a record would be saved twice, and
 * clearing one store would delete data of the other. Reads secrets, and makes no connections.
 *
 * @param scopes the parts of the servers that are used, where they differ from the configured ones
 */
export async function overlappingStores(
  config: NgbakConfig,
  target: string,
  scopes: Scopes = {},
): Promise<string[]> {
  const found: string[] = [];
  const stores = servedStoresOf(config, target);
  for (const [at, one] of stores.entries()) {
    for (const other of stores.slice(at + 1)) {
      if (await overlap(config, target, [one, other], scopes)) {
        found.push(
          `the stores ${one} and ${other} of target "${target}" overlap: a record could belong to both`,
        );
      }
    }
  }
  return found;
}

async function overlap(
  config: NgbakConfig,
  target: string,
  [one, other]: readonly [ServedStore, ServedStore],
  scopes: Scopes,
): Promise<boolean> {
  if (roleOf(one) !== roleOf(other)) return false;
  const [left, right] = [resolveStore(config, target, one), resolveStore(config, target, other)];
  const { adapter } = left;
  if (right.adapter.kind !== adapter.kind) return false;
  const placeOf = async (name: ServedStore, { secret, scope }: typeof left) => ({
    connection: await loadSecret(secret, adapter.Connection, `${target}/${name}`),
    scope: scopes[name] === undefined ? scope : adapter.Scope.parse(scopes[name]),
  });
  return adapter.overlaps(await placeOf(one, left), await placeOf(other, right));
}
