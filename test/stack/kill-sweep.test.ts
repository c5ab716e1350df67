import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { NIGHTLY } from '../nightly.ts';
import { SEED } from '../seed.ts';
import {
  type Kill,
  killableStates,
  killDuring,
  measure,
  type Outcome,
  randomNumbers,
  sampleOf,
} from './kill-sweep.ts';
import { type Prepared, prepareTrial, type Side } from './restore-trial.ts';

/** Some states end within the milliseconds between two polls: those are retried, up to this number. */
const TRIES_AGAIN_MAX = 8;

/** Number of states whose function is killed, in a run by day, which the seed chooses; all of them at night. */
const SAMPLE = NIGHTLY ? Number.POSITIVE_INFINITY : 4;

/** Number of restores that are killed at a random instant. */
const RANDOM_KILLS = NIGHTLY ? 50 : 2;

let prepared: Prepared;
/** The current side and the next one: they are swapped after each restore. */
let sides: [Side, Side];
let usual: Awaited<ReturnType<typeof measure>>;

beforeAll(async () => {
  prepared = await prepareTrial();
  const { trial, before, now } = prepared;
  // The first restore starts the processes of the functions, which takes longer than in all others.
  await measure(trial, before);
  usual = await measure(trial, now);
  sides = [now, before];
});

afterAll(() => prepared.remove());

/**
 * Restores the other side, kills, and expects the target to be one of the two; the sides are swapped if the restore
 * succeeded.
 */
async function expectWhole(kill: Kill): Promise<Outcome> {
  const [from, to] = sides;
  const outcome = await killDuring(prepared.trial, from, to, kill);
  const target = outcome.job === 'completed' ? 'the archive' : 'as before';
  process.stderr.write(`${JSON.stringify({ kill, outcome })}\n`);
  expect({ kill, outcome }).toEqual({ kill, outcome: { ...outcome, target, left: [] } });
  if (target === 'the archive') sides = [to, from];
  return outcome;
}

test('a function that is killed in any state leaves either the archive or the previous contents, and no trace', async () => {
  const states = sampleOf(await killableStates(prepared.trial), SAMPLE, SEED);
  const missed: string[] = [];
  for (const { name, seenAs } of states) {
    // Once in the middle of the work; if that was too late, at its start.
    let { hit } = await expectWhole({ state: name, afterMs: (usual.states.get(seenAs) ?? 0) / 4 });
    for (let again = 0; again < TRIES_AGAIN_MAX && !hit; again++)
      ({ hit } = await expectWhole({ state: name, afterMs: 0 }));
    if (!hit) missed.push(name);
  }
  expect(missed).toEqual([]);
});

test(
  'functions that are killed at random instants leave either the archive or the previous contents, and no trace',
  async () => {
    const random = randomNumbers(SEED);
    for (let i = 0; i < RANDOM_KILLS; i++) {
      await expectWhole({
        atMs: random() * usual.total,
        choose: (running) => running[Math.floor(random() * running.length)] ?? '',
      });
    }
  },
  120_000 * RANDOM_KILLS,
);
