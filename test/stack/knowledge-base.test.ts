import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { recordText } from '../../cli/commands/show.ts';
import { damageEverything } from '../../local/demo/damage.ts';
import { type Layout, ngraf023Layout } from '../../local/knowledge-base/layout.ts';
import { loadKnowledgeBase } from '../../local/knowledge-base/load.ts';
import { compareProofs, type Proof, readEverything } from '../../local/proof/proof.ts';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { ownLayout, removeKnowledgeBase, smallBlueprint } from '../knowledge-base/small.ts';
import { servers } from '../servers.ts';
import { deployedStack } from './harness.ts';

/** The data of target `default` of the test deployment, and another knowledge base on the same servers. */
const layout = ngraf023Layout('default');
const neighbour = ownLayout();
const { uri, username, password } = servers.neo4j;
const connections = {
  neo4j: { uri, username, password },
  qdrant: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  redis: { url: servers.redis.url, password: servers.redis.password },
};

let folder: string;

function read(name: string, { label, collections, keyPrefix }: Layout): Promise<Proof> {
  return readEverything(connections, {
    folder: join(folder, name),
    scope: { label, collections: Object.values(collections), keyPrefix: `${keyPrefix}:` },
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-stack-'));
  await removeKnowledgeBase(connections, layout);
  await loadKnowledgeBase({
    ...connections,
    namespace: 'unused',
    layout: neighbour,
    blueprint: await smallBlueprint(6),
  });
  await loadKnowledgeBase({ ...connections, namespace: 'default', blueprint: await smallBlueprint(60) });
});

afterAll(async () => {
  await removeKnowledgeBase(connections, layout);
  await removeKnowledgeBase(connections, neighbour);
  await rm(folder, { recursive: true });
});

describe('a real knowledge base, through the deployed stack', () => {
  it('is restored exactly after it was damaged, and its neighbours on the same servers are not touched', async () => {
    const stack = deployedStack();
    const before = await read('before', layout);
    const neighbourBefore = await read('neighbour-before', neighbour);

    const { status, output, cause } = await stack.run('Backup', { target: 'default' });
    expect({ status, cause }).toEqual({ status: 'SUCCEEDED', cause: undefined });
    const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
    expect(await compareProofs(before, await read('backed-up', layout))).toMatchObject({ differences: [] });
    // By the default method: its vectors are snapshots, whose references were counted nevertheless.
    const archive = await openArchive(bufferSource('backup.ngbak', await stack.download(backup_id)));
    expect(await archive.find('vectors/entities.snapshot')).toBeDefined();
    const context = { bucket: stack.bucket } as OperationsContext;
    const record = await showBackup(context, backup_id);
    const entities = record.references?.find(({ reference }) =>
      reference.startsWith('vectors entities.entity_name → graph nodes.id'),
    );
    const points = record.tallies.vectors?.['points:entities']?.count;
    expect(points).toBeGreaterThan(0);
    expect(entities).toMatchObject({ total: points, checked: points, dangling: 0, complete: true });
    expect(recordText(record)).toContain(
      `References vectors entities.entity_name → graph nodes.id: ${points} (dangling: 0)`,
    );

    await damageEverything(connections, layout);
    expect((await compareProofs(before, await read('damaged', layout))).total).toBeGreaterThan(100);

    const job = await stack.restoreByUpload('default', await stack.download(backup_id));
    expect({ state: job.state, error: job.error }).toEqual({ state: 'completed', error: undefined });
    const after = await read('after', layout);
    expect(await compareProofs(before, after)).toMatchObject({ identical: true, total: 0, differences: [] });
    expect(after.parts).toEqual(before.parts);
    expect((await read('neighbour-after', neighbour)).parts).toEqual(neighbourBefore.parts);
  });
});
