import type { EntryReader } from '../../archive/types.ts';
import type { LegContext, RestoreOptions } from '../port.ts';
import type { QdrantClient } from './client.ts';
import {
  type ConfigView,
  comparableText,
  listAliases,
  listCollections,
  readCollection,
  vectorLayout,
  vectorSizes,
} from './collections.ts';
import { type ArchivedCollection, readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { countPoints } from './points.ts';
import { countPeers, readVersion } from './probe.ts';
import { describeScope } from './scope.ts';
import { readSnapshotConfig } from './snapshot-file.ts';

/** What stands against loading the archive here: versions, scope, layouts, names. Reads only. */
export async function admitQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  archive: EntryReader,
  options: RestoreOptions,
  context: LegContext,
): Promise<string[]> {
  const { signal } = context;
  const collections = await readCollections(archive);
  const [version, peers, present, aliases] = await Promise.all([
    readVersion(client, signal),
    countPeers(client, signal),
    listCollections(client, signal),
    listAliases(client, signal),
  ]);
  const problems = scopeProblems(scope, collections);
  for (const collection of collections) {
    const { name, config, snapshot } = collection;
    if (snapshot) problems.push(...snapshotProblems(collection, version, peers));
    if (snapshot && options.mode === 'merge' && present.includes(name)) {
      problems.push(
        `collection "${name}" exists, and the archive holds it as a snapshot, which can't be merged into it: restore with mode replace, or make a backup with "method": "points"`,
      );
    }
    const alias = aliases.find((entry) => entry.alias === name);
    if (alias) {
      problems.push(
        `"${name}" is a collection in the archive, but an alias of "${alias.collection}" on the server: remove the alias first`,
      );
    }
    for (const wanted of config?.aliases ?? []) {
      if (present.includes(wanted)) {
        problems.push(
          `"${wanted}" is an alias of "${name}" in the archive, but a collection on the server: remove or rename it first`,
        );
      }
    }
    const existing = present.includes(name) ? await readCollection(client, name, signal) : undefined;
    const saved = existing && (await savedConfig(archive, collection, context));
    if (!existing || !saved) continue;
    const inPlace = scope.filter !== undefined || options.mode === 'merge';
    const layoutOf = inPlace ? vectorLayout : vectorSizes;
    if (layoutOf(existing.view) === layoutOf(saved)) continue;
    const differ = `the vectors of collection "${name}" are ${layoutOf(saved)} in the archive, but ${layoutOf(existing.view)} on the server`;
    if (inPlace) problems.push(differ);
    // Whoever searches there now would fail from then on. Where nothing is stored, nobody does.
    else if ((await countPoints(client, name, undefined, signal)) > 0) {
      problems.push(
        `${differ}, where clients with another embedding model use them: delete the collection first if the model goes back as well`,
      );
    }
  }
  return problems;
}

/** What the archive says of a collection, or where others wrote it, what the bare snapshot says of itself. */
async function savedConfig(
  archive: EntryReader,
  { name, config, snapshot }: ArchivedCollection,
  context: LegContext,
): Promise<ConfigView | undefined> {
  if (config) return config.view;
  return snapshot && (await readSnapshotConfig(archive, snapshot, name, context));
}

function scopeProblems(scope: QdrantScope, collections: readonly ArchivedCollection[]): string[] {
  const problems: string[] = [];
  const known = new Set(scope.collections);
  for (const { name, config } of collections) {
    const names = [name, ...(config?.aliases ?? [])];
    if (scope.collections && !names.some((entry) => known.has(entry))) {
      problems.push(
        `collection "${name}" of the archive is not in the target's scope (${describeScope(scope)})`,
      );
    }
    const saved = config?.filter ?? null;
    if (comparableText(saved) !== comparableText(scope.filter ?? null)) {
      problems.push(
        `collection "${name}" was saved ${saved ? `where ${saved.key} is ${JSON.stringify(saved.value)}` : 'as a whole'}, but the target's scope is ${describeScope(scope)}`,
      );
    }
  }
  return problems;
}

/** Qdrant loads a snapshot with the version that wrote it or the next minor one (Qdrant documentation, "Snapshots"). */
function snapshotProblems({ name, config }: ArchivedCollection, version: string, peers: number): string[] {
  const problems: string[] = [];
  if (peers > 1) {
    problems.push(
      `collection "${name}" is a snapshot of one server, and the target is a cluster of ${peers}: make a backup with "method": "points"`,
    );
  }
  if (!config) return problems;
  const [major = 0, minor = 0] = config.server_version.split('.').map(Number);
  const [targetMajor = 0, targetMinor = 0] = version.split('.').map(Number);
  if (major !== targetMajor || targetMinor < minor || targetMinor > minor + 1) {
    problems.push(
      `the snapshot of collection "${name}" is of Qdrant ${config.server_version}, which loads into ${major}.${minor} or ${major}.${minor + 1}, but the server is ${version}: make a backup with "method": "points"`,
    );
  }
  return problems;
}
