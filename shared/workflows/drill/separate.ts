import { loadSecret } from '../../aws/secrets.ts';
import type { NgbakConfig } from '../../core/config.ts';
import { NgbakError } from '../../core/errors.ts';
import { roleOf, type ServedStore } from '../../core/store-names.ts';
import { resolveStore, storesOfRole } from '../../profiles/open.ts';
import type { DrillPlace } from './destination.ts';

/**
 * The configured targets that records created by a drill in this scope could belong to. Empty if the drill may load
 * there. If the server of a target can't be determined from its secret, it is assumed to be the same one.
 */
export async function targetsAt(
  config: NgbakConfig,
  { target, drill, scope }: { readonly target: string; readonly drill: DrillPlace; readonly scope: unknown },
  name: ServedStore,
): Promise<string[]> {
  const { adapter, secret } = resolveStore(config, target, name);
  const connection = await loadSecret(secret, adapter.Connection, `${target}/${name}`);
  const drillPlace = { connection, scope: adapter.Scope.parse(scope) };
  const found: string[] = [];
  for (const [other, { stores }] of Object.entries(config.targets)) {
    for (const otherName of storesOfRole(config, other, roleOf(name))) {
      if (stores[otherName]?.kind !== adapter.kind) continue;
      if (drill.place === 'target' && other === target && otherName === name) continue;
      const otherStore = resolveStore(config, other, otherName);
      const what = `${other}/${otherName}`;
      const place = {
        connection: await connectionOf(otherStore.secret, adapter.Connection, what, connection),
        scope: otherStore.scope,
      };
      if (adapter.overlaps(drillPlace, place)) found.push(other);
    }
  }
  return [...new Set(found)];
}

async function connectionOf<T>(
  secret: string,
  schema: Parameters<typeof loadSecret<T>>[1],
  what: string,
  otherwise: T,
): Promise<T> {
  try {
    return await loadSecret(secret, schema, what);
  } catch (error) {
    // An invalid configuration of another target does not affect this one.
    if (!(error instanceof NgbakError)) throw error;
    return otherwise;
  }
}
