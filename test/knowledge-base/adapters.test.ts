import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { damageEverything } from '../../local/demo/damage.ts';
import { loadKnowledgeBase } from '../../local/knowledge-base/load.ts';
import { compareProofs, type Proof, readEverything } from '../../local/proof/proof.ts';
import type { EntryReader } from '../../shared/archive/format/types.ts';
import { neo4jAdapter } from '../../shared/stores/neo4j/adapter.ts';
import { qdrantAdapter } from '../../shared/stores/qdrant/adapter.ts';
import { redisAdapter } from '../../shared/stores/redis/adapter.ts';
import type { LoadOptions } from '../../shared/stores/restore-leg.ts';
import type { Store, StoreAdapter } from '../../shared/stores/store.ts';
import { servers } from '../servers.ts';
import { exportAll, legContext, restoreAll, withStore } from '../stores/memory-archive.ts';
import { ownLayout, removeKnowledgeBase, smallBlueprint } from './small.ts';

const layout = ownLayout();
const { label, keyPrefix } = layout;
const collections = [layout.collections.entities, layout.collections.chunks];
const { uri, username, password } = servers.neo4j;
const connections = {
  neo4j: { uri, username, password },
  qdrant: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  redis: { url: servers.redis.url, password: servers.redis.password },
};

function open<Connection, Scope>(
  adapter: StoreAdapter<Connection, Scope>,
  connection: unknown,
  scope: unknown,
): Store {
  return adapter.create(adapter.Connection.parse(connection), adapter.Scope.parse(scope), { target: 'test' });
}

let folder: string;
const read = (name: string): Promise<Proof> =>
  readEverything(connections, { folder: join(folder, name), scope: { label, collections, keyPrefix } });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-adapters-'));
});

beforeEach(async () => {
  await removeKnowledgeBase(connections, layout);
  await loadKnowledgeBase({ ...connections, namespace: 'unused', layout, blueprint: await smallBlueprint() });
});

afterAll(async () => {
  await removeKnowledgeBase(connections, layout);
  await rm(folder, { recursive: true });
});

/** The parts of the proof that each adapter is responsible for. */
const ADAPTERS = [
  {
    kind: 'neo4j',
    store: () => open(neo4jAdapter, connections.neo4j, { label, key_property: 'id' }),
    owns: (part: string) => ['nodes', 'relationships', 'constraints', 'indexes'].includes(part),
  },
  {
    kind: 'qdrant',
    store: () => open(qdrantAdapter, connections.qdrant, { collections }),
    owns: (part: string) => part === 'collections' || part.startsWith('points '),
  },
  {
    kind: 'qdrant (portable points)',
    store: () => open(qdrantAdapter, connections.qdrant, { collections, method: 'points' }),
    owns: (part: string) => part === 'collections' || part.startsWith('points '),
  },
  {
    kind: 'redis',
    store: () => open(redisAdapter, connections.redis, { prefix: `${keyPrefix}:` }),
    owns: (part: string) => part.startsWith('keys '),
  },
];

async function admitAndRestore(create: () => Store, archive: EntryReader, options: LoadOptions) {
  expect(
    await withStore(create, (store) => store.admits({ archive, options, context: legContext() })),
  ).toEqual([]);
  expect(await restoreAll(create, archive, { options })).toMatchObject({ differences: 0, samples: [] });
}

describe('according to the independent proof', () => {
  it.each(ADAPTERS)(
    '$kind restores the knowledge base exactly, regardless of the damage',
    async ({ store: create, owns }) => {
      await loadKnowledgeBase({
        ...connections,
        namespace: 'unused',
        layout,
        blueprint: await smallBlueprint(),
      });
      const before = await read('before');
      const { archive } = await exportAll(create);
      expect(await compareProofs(before, await read('exported'))).toMatchObject({ identical: true });
      await damageEverything(connections, layout);
      expect((await compareProofs(before, await read('damaged'))).identical).toBe(false);
      await admitAndRestore(create, archive, { mode: 'replace', onConflict: 'fail' });
      const { differences } = await compareProofs(before, await read('after'), 1_000);
      expect(differences.filter(({ part }) => owns(part))).toEqual([]);
    },
  );

  // A snapshot replaces a whole collection, and cannot be merged into another.
  it.each(ADAPTERS.filter(({ kind }) => kind !== 'qdrant'))(
    '$kind, merging, restores what is missing or changed and keeps later additions, with the same result twice',
    async ({ store: create, owns }) => {
      await loadKnowledgeBase({
        ...connections,
        namespace: 'unused',
        layout,
        blueprint: await smallBlueprint(),
      });
      const before = await read('before');
      const merge = { mode: 'merge', onConflict: 'overwrite' } as const;
      const { archive } = await exportAll(create);
      await damageEverything(connections, layout);
      await admitAndRestore(create, archive, merge);
      const once = await read('once');
      const kinds = (await compareProofs(before, once, 1_000)).differences
        .filter(({ part }) => owns(part))
        .map(
          ({ thing, problem }) =>
            `${thing.toLowerCase().includes('intruder') ? 'intruder' : thing} ${problem}`,
        );
      expect(kinds).toEqual(kinds.map(() => 'intruder was not there before'));
      await admitAndRestore(create, archive, merge);
      const { differences } = await compareProofs(once, await read('twice'), 1_000);
      expect(differences.filter(({ part }) => owns(part))).toEqual([]);
    },
  );
});
