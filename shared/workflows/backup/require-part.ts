import { InvalidInputError } from '../../core/errors.ts';
import type { Part } from '../../core/part.ts';
import type { StoreName } from '../../core/store-names.ts';
import type { StoreProbe } from '../../stores/export-step.ts';

/**
 * Whatever a request names must be there: a name that is mistaken would make a backup of nothing, cleanly. Throws
 * InvalidInputError. Collections need not be looked at: their store knows which it has.
 */
export function requirePart(
  { label, namespaces, key_prefixes: prefixes }: Part,
  planned: readonly { store: StoreName; probe: StoreProbe }[],
): void {
  const missing: string[] = [];
  for (const { store, probe } of planned) {
    const { counts, kind } = probe;
    if (store === 'graph' && label !== undefined && !counts.nodes) missing.push(`node with label "${label}"`);
    if (store !== 'kv') continue;
    if (kind === 'files') {
      if (namespaces && counts.files !== namespaces.length) {
        missing.push(`file for one of the namespaces ${namespaces.join(', ')}`);
      }
      continue;
    }
    for (const name of namespaces ?? [])
      if (!counts[`keys:${name}`]) missing.push(`key of namespace "${name}"`);
    if (prefixes && Object.values(counts).every((count) => count === 0)) {
      missing.push(`key that starts with ${prefixes.map((prefix) => `"${prefix}"`).join(' or ')}`);
    }
  }
  if (missing.length === 0) return;
  throw new InvalidInputError(`The target holds no ${missing.join(', and no ')}.`, {
    remedy: 'Correct the name, or leave it out. Nothing was saved.',
  });
}
