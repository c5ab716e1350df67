/**
 * Consistency of restores whose functions are killed, on the deployed local stack: in every state of the machine, and
 * at random instants: `node local/bootstrap.mjs bench/kill-sweep.ts [--instants 50] [--seed 1] [--instants-only]`.
 * Prints the table of docs/reliability.md; exits with 1 if a target contained anything other than the archive or its
 * previous contents.
 */
import { parseArgs } from 'node:util';
import { interruptible } from '../local/interrupt.ts';
import { startStack } from '../local/stack.ts';
import { addressesAsEnvironment, deployTestStack } from '../test/stack/deploy.ts';
import type { Kill, Outcome } from '../test/stack/kill-sweep.ts';

/** Instants at which nothing was running are drawn again, up to this many for each that is required. */
const DRAWS_MAX = 3;
/** A state that ended before its function could be killed is attempted again. */
const TRIES_MAX = 3;

const { values } = parseArgs({
  options: {
    instants: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    'instants-only': { type: 'boolean', default: false },
  },
});

interface Row {
  readonly name: string;
  kills: number;
  missed: number;
  readonly outcomes: Record<Outcome['target'], number>;
  left: number;
}

function add(row: Row, outcome: Outcome): void {
  if (outcome.hit) row.kills++;
  else row.missed++;
  row.outcomes[outcome.target]++;
  row.left += outcome.left.length;
}

const newRow = (name: string): Row => ({
  name,
  kills: 0,
  missed: 0,
  outcomes: { 'the archive': 0, 'as before': 0, BETWEEN: 0 },
  left: 0,
});

await interruptible(async (signal) => {
  const stack = await startStack({
    signal,
    onProgress: ({ service, text }) => console.error(`${service}: ${text}`),
  });
  try {
    // For clients that are created from here on.
    Object.assign(process.env, addressesAsEnvironment(stack));
    const onProgress = (text: string) => console.error(text);
    Object.assign(process.env, await deployTestStack(stack, { signal, onProgress }));
    const {
      killableStates,
      measure,
      randomNumbers,
      killDuring: strike,
    } = await import('../test/stack/kill-sweep.ts');
    const { prepareTrial } = await import('../test/stack/restore-trial.ts');
    const { trial, before, now, remove } = await prepareTrial();
    await measure(trial, before);
    const usual = await measure(trial, now);
    const random = randomNumbers(Number(values.seed));
    let sides = [now, before] as const;
    const killIn = async (row: Row, what: Kill): Promise<Outcome> => {
      signal.throwIfAborted();
      const [from, to] = sides;
      const outcome = await strike(trial, from, to, what);
      if (outcome.target === 'the archive') sides = [to, from];
      add(row, outcome);
      console.error(JSON.stringify({ ...what, ...outcome }));
      return outcome;
    };

    const rows: Row[] = [];
    const states = values['instants-only'] ? [] : await killableStates(trial);
    for (const { name, seenAs } of states) {
      const row = newRow(name);
      rows.push(row);
      for (let tries = 0; tries < TRIES_MAX && row.kills === 0; tries++) {
        const share = tries === 0 ? random() / 2 : 0;
        await killIn(row, { state: name, afterMs: share * (usual.states.get(seenAs) ?? 0) });
      }
    }
    const wanted = Number(values.instants);
    const instants = newRow(`${wanted} random instants (seed ${values.seed})`);
    rows.push(instants);
    // Adapts to a slower machine; otherwise the last states would never be hit.
    let usualMs = usual.total;
    for (let draws = 0; instants.kills < wanted && draws < DRAWS_MAX * wanted; draws++) {
      const { hit, tookMs } = await killIn(instants, {
        atMs: random() * usualMs,
        choose: (running) => running[Math.floor(random() * running.length)] ?? '',
      });
      if (!hit) usualMs = tookMs;
    }
    await remove();

    console.log('| killed in | kills | restores | the archive | as before | between | left behind |');
    console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: |');
    for (const { name, kills, missed, outcomes, left } of rows) {
      const counts = [kills, kills + missed, outcomes['the archive'], outcomes['as before']];
      console.log(`| ${name} | ${[...counts, outcomes.BETWEEN, left].join(' | ')} |`);
    }
    if (rows.some(({ outcomes, left }) => outcomes.BETWEEN + left > 0)) process.exitCode = 1;
  } finally {
    await stack.stop();
  }
});
