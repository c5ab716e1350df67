import { loadSecret } from '../../aws/secrets.ts';
import type { NgbakConfig } from '../../core/config.ts';
import { NgbakError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import { resolveStore } from '../../profiles/open.ts';
import type { DrillPlace } from './destination.ts';

/**
 * The configured targets to which records could belong that a drill creates in this scope; none if it may load there. A target
 * whose server can't be told from its secret is taken to be on the same one.
 */
export async function targetsAt(
  config: NgbakConfig,
  { target, drill, scope }: { readonly target: string; readonly drill: DrillPlace; readonly scope: unknown },
  name: Exclude<StoreName, 'config'>,
): Promise<string[]> {
  const { adapter, secret } = resolveStore(config, target, name);
  const connection = await loadSecret(secret, adapter.Connection, `${target}/${name}`);
  const here = { connection, scope: adapter.Scope.parse(scope) };
  const found: string[] = [];
  for (const [other, { stores }] of Object.entries(config.targets)) {
    if (stores[name]?.kind !== adapter.kind || (drill.place === 'target' && other === target)) continue;
    const theirs = resolveStore(config, other, name);
    const place = {
      connection: await connectionOf(theirs.secret, adapter.Connection, `${other}/${name}`, connection),
      scope: theirs.scope,
    };
    if (adapter.overlaps(here, place)) found.push(other);
  }
  return found;
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
    // Another target may be broken without any harm to this one.
    if (!(error instanceof NgbakError)) throw error;
    return otherwise;
  }
}
