import { randomBytes } from 'node:crypto';
import { type Blueprint, drawBlueprint } from '../../local/knowledge-base/blueprint.ts';
import type { Layout } from '../../local/knowledge-base/layout.ts';
import { type InstalledPackage, readInstalledPackages } from '../../local/knowledge-base/packages.ts';

/** The first packages of this checkout: a knowledge base of a few hundred records. */
export async function* firstPackages(count: number): AsyncGenerator<InstalledPackage> {
  for await (const one of readInstalledPackages()) {
    if (count-- <= 0) return;
    yield one;
  }
}

export function smallBlueprint(packages = 40): Promise<Blueprint> {
  return drawBlueprint(firstPackages(packages));
}

/** Names that no other test uses on the shared servers. */
export function ownLayout(): Layout {
  const own = `kb${randomBytes(4).toString('hex')}`;
  return {
    label: `GraphRAG_${own}`,
    collections: { entities: `${own}_entities`, chunks: `${own}_chunks` },
    keyPrefix: own,
  };
}
