import type { ServedStore } from '../../shared/core/store-names.ts';
import { QdrantStore, qdrantAdapter } from '../../shared/stores/qdrant/adapter.ts';
import { type Conformance, conformsToPort, underName } from './conformance.ts';
import { OwnServer } from './qdrant/own-server.ts';
import { ask, contentOf, result, SMALL, seedEverything, seedPlain, wipe } from './qdrant/support.ts';

/** A separate server for each method. The scope is the whole server. */
function conforms(
  kind: string,
  scope: object,
  own: Partial<Conformance>,
  name: ServedStore = 'vectors',
): void {
  conformsToPort(kind, async (): Promise<Conformance> => {
    const server = await OwnServer.start();
    const open = (connection: object = {}, other: unknown = scope) =>
      new QdrantStore(
        qdrantAdapter.Connection.parse({ url: server.url, api_key: server.apiKey, ...connection }),
        qdrantAdapter.Scope.parse(other),
        { target: 'test' },
        SMALL,
      );
    const site: Conformance = {
      open,
      wrongPassword: 'not-the-key',
      openWithWrongPassword: () => open({ api_key: 'not-the-key' }),
      openUnreachable: () => open({ url: 'http://127.0.0.1:1' }),
      seed: async () => {
        await wipe(server, '');
        await seedEverything(server, 'everything');
        await seedPlain(server, 'plain', 600, { dimensions: 16, tenant: () => 'ours' });
        await seedPlain(server, 'Empty one', 0);
      },
      empty: () => wipe(server, ''),
      change: async () => {
        await ask(server, 'PUT', '/collections/plain/points?wait=true', {
          points: [{ id: 77_777, vector: Array(16).fill(1), payload: { tenant: 'ours' } }],
        });
        await ask(server, 'POST', '/collections/plain/points/delete?wait=true', { points: [5] });
        await ask(server, 'POST', '/collections/plain/points/payload?wait=true', {
          payload: { n: 'x' },
          points: [6],
        });
      },
      loseRecord: async () => {
        await ask(server, 'POST', '/collections/plain/points/delete?wait=true', { points: [31] });
      },
      changeRecord: async () => {
        await ask(server, 'POST', '/collections/plain/points/payload?wait=true', {
          payload: { n: 1.5 },
          points: [31],
        });
      },
      addRecord: async () => {
        await ask(server, 'PUT', '/collections/plain/points?wait=true', {
          points: [{ id: 9_999, vector: Array(16).fill(1), payload: { tenant: 'ours' } }],
        });
      },
      leftovers: async () => {
        const { aliases } = await result<{ aliases: { alias_name: string }[] }>(server, 'GET', '/aliases');
        const { collections } = await result<{ collections: { name: string }[] }>(
          server,
          'GET',
          '/collections',
        );
        return [
          ...aliases.map(({ alias_name }) => alias_name).filter((name) => name.startsWith('ngbak-')),
          ...collections.map(({ name }) => name).filter((name) => name.startsWith('ngbak-')),
          ...(await server.strayFiles()),
        ];
      },
      content: async () => {
        const { collections } = await result<{ collections: { name: string }[] }>(
          server,
          'GET',
          '/collections',
        );
        const present = collections.map(({ name }) => name).sort();
        return (
          await Promise.all(present.map(async (name) => `${name} ${await contentOf(server, name)}`))
        ).join('\n');
      },
      merges: true,
      compared: {
        scope: qdrantAdapter.Scope.parse(scope),
        open: (other) => open({}, other),
        changes: { 'points:plain': [1, 1, 1] },
        countsOnly: kind.includes('snapshots'),
      },
      close: () => server.stop(),
      ...own,
    };
    return name === 'vectors' ? site : underName(site, qdrantAdapter, name);
  });
}

conforms('qdrant (points)', { method: 'points' }, {});
const ofSnapshots = { stepsRepeat: false, merges: false };
conforms('qdrant (snapshots)', { method: 'snapshot' }, ofSnapshots);
conforms('qdrant (snapshots of a further store)', { method: 'snapshot' }, ofSnapshots, 'vectors_more');
