import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ngraf023Layout } from '../../local/knowledge-base/layout.ts';
import { loadKnowledgeBase } from '../../local/knowledge-base/load.ts';
import { removeKnowledgeBase, smallBlueprint } from '../knowledge-base/small.ts';
import { servers } from '../servers.ts';
import { deployedStack } from './harness.ts';
import {
  type Blow,
  killableStates,
  measure,
  type Outcome,
  randomNumbers,
  type Side,
  type Sweep,
  strike,
  takeSide,
} from './kill-sweep.ts';

const layout = ngraf023Layout('default');
const { uri, username, password } = servers.neo4j;
const connections = {
  neo4j: { uri, username, password },
  qdrant: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  redis: { url: servers.redis.url, password: servers.redis.password },
};
let sweep: Sweep;
/** What is there, and what comes next: after each restore, they change places. */
let sides: [Side, Side];
let usual: Awaited<ReturnType<typeof measure>>;

beforeAll(async () => {
  sweep = {
    stack: deployedStack(),
    target: 'default',
    connections,
    layout,
    folder: await mkdtemp(join(tmpdir(), 'ngbak-kill-')),
  };
  const made: Side[] = [];
  for (const [name, packages] of [
    ['large', 24],
    ['small', 8],
  ] as const) {
    await removeKnowledgeBase(connections, layout);
    await loadKnowledgeBase({
      ...connections,
      namespace: 'default',
      blueprint: await smallBlueprint(packages),
    });
    made.push(await takeSide(sweep, name));
  }
  const [large, small] = made;
  if (!large || !small) throw new Error('Two sides were to be made.');
  // The first restore starts the functions' processes, which takes them longer than all others.
  await measure(sweep, large);
  usual = await measure(sweep, small);
  sides = [small, large];
}, 300_000);

afterAll(async () => {
  await removeKnowledgeBase(connections, layout);
  await rm(sweep.folder, { recursive: true, force: true });
});

/** Restores the other side, strikes, and expects the target to be one of the two; the sides change places if it came. */
async function expectWhole(blow: Blow): Promise<Outcome> {
  const [from, to] = sides;
  const outcome = await strike(sweep, from, to, blow);
  const target = outcome.job === 'completed' ? 'the archive' : 'as before';
  expect({ blow, outcome }).toEqual({ blow, outcome: { ...outcome, target, left: [] } });
  if (target === 'the archive') sides = [to, from];
  return outcome;
}

test('a function that is killed in any state leaves the archive or what was there before, and no trace', async () => {
  const missed: string[] = [];
  for (const state of (await killableStates(sweep)).keys()) {
    const { hit } = await expectWhole({ state, afterMs: (usual.states.get(state) ?? 0) / 4 });
    if (!hit) missed.push(state);
  }
  expect(missed).toEqual([]);
}, 900_000);

test('functions that are killed at random instants leave the archive or what was there before, and no trace', async () => {
  const seed = Date.now() % 1_000_000;
  console.log(`seed of the instants: ${seed}`);
  const random = randomNumbers(seed);
  for (let i = 0; i < 5; i++) {
    await expectWhole({
      atMs: random() * usual.total,
      choose: (running) => running[Math.floor(random() * running.length)] ?? '',
    });
  }
}, 300_000);
