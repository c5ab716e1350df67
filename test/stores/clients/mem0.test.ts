import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { installMem0 } from '../../../local/install/python.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import { closeRestore } from '../../../shared/workflows/restore/close.ts';
import { servers } from '../../servers.ts';
import { freshEnvironment, makeSecret } from '../../support/aws.ts';
import { runBackup } from '../../workflows/backup/run-backup.ts';
import { restoreOf, runRestore } from '../../workflows/restore/run-restore.ts';
import { legContext, withStore } from '../memory-archive.ts';
import { ask } from '../qdrant/support.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

const COLLECTIONS = ['mem0', 'mem0_entities'];
/** A collection whose name has the same prefix. */
const NEIGHBOUR = 'mem0_entities_2';

describe("mem0's own class", () => {
  let client: PythonClient;
  let folder: string;

  const mem0 = async (action: 'write' | 'read') =>
    JSON.parse(
      await client([action, folder], {
        QDRANT_URL: servers.qdrant.url,
        QDRANT_API_KEY: servers.qdrant.apiKey,
        HOME: folder,
      }),
    );

  beforeAll(async () => {
    client = await pythonClient('mem0_client.py', installMem0);
    folder = await mkdtemp(join(tmpdir(), 'ngbak-mem0-'));
  });
  afterAll(async () => {
    for (const name of [...COLLECTIONS, NEIGHBOUR]) {
      await ask(servers.qdrant, 'DELETE', `/collections/${name}`);
    }
    await rm(folder, { recursive: true });
  });

  test('reads the same after memories, entities and history were saved, wiped and restored', async () => {
    const { qdrant } = servers;
    await mem0('write');
    const before = await mem0('read');
    for (const user of ['alice', 'bob']) {
      expect(before[user].memories).toHaveLength(9);
      expect(before[user].entities).toHaveLength(2);
      expect(before[user].found[0][2].data).toContain(`${user} remembers 5`);
      const histories = Object.values<{ event: string }[]>(before[user].history);
      expect(histories.flat().map(({ event }) => event)).toContain('UPDATE');
    }
    await ask(qdrant, 'PUT', `/collections/${NEIGHBOUR}`, { vectors: { size: 4, distance: 'Dot' } });

    const scopes = profileScopes('mem0', {}, 'files');
    const openVectors = () =>
      qdrantAdapter.create(
        qdrantAdapter.Connection.parse({ url: qdrant.url, api_key: qdrant.apiKey }),
        qdrantAdapter.Scope.parse(scopes.vectors),
        { target: 'test' },
      );
    const openFiles = () =>
      filesAdapter.create({ location: folder }, filesAdapter.Scope.parse(scopes.kv), { target: 'test' });
    const names = {
      vectors: await withStore(openVectors, (store) => store.names(legContext())),
      kv: await withStore(openFiles, (store) => store.names(legContext())),
    };
    expect(proposeProfile(names).profile).toBe('mem0');

    const secrets = {
      vectors: await makeSecret({ url: qdrant.url, api_key: qdrant.apiKey }),
      kv: await makeSecret({ location: folder }),
    };
    const stores = {
      vectors: { kind: 'qdrant', secret: secrets.vectors },
      kv: { kind: 'files', secret: secrets.kv },
    };
    const environment = await freshEnvironment({ default: { profile: 'mem0', stores } });
    const { record } = await runBackup(environment, {}, { start: new Date('2026-01-02T03:04:05Z') });
    expect(record).toMatchObject({
      stores: ['vectors', 'kv', 'config'],
      verification: { state: 'verified' },
      system_evidence: { since: '2.0.0' },
      statistics: { vectors: 22 },
      tallies: {
        vectors: { 'points:mem0': { count: 18 }, 'points:mem0_entities': { count: 4 } },
        kv: { files: { count: 1 } },
      },
    });

    for (const name of COLLECTIONS) await ask(qdrant, 'DELETE', `/collections/${name}`);
    await rm(join(folder, 'history.db'));
    const emptied = await mem0('read');
    expect([emptied.alice.memories, emptied.bob.history, emptied.bob.entities]).toEqual([[], {}, []]);

    const { job_id } = await runRestore(environment, restoreOf(record.backup_id));
    expect(await closeRestore(environment, job_id)).toMatchObject({ verified: true, all_of_stores: true });
    expect(await mem0('read')).toEqual(before);
    expect(await withStore(openVectors, (store) => store.names(legContext()))).toContain(NEIGHBOUR);
  });
});
