import { expect, test } from '@jest/globals';
import { BusyModel } from './stack/busy-model.ts';
import { until } from './support/until.ts';

const isOdd = (step: number) => step % 2 === 1;

test('the model of possible reads rejects impossible ones', async () => {
  const small = new BusyModel();
  const stored = new Map<string, number>();
  await small.start('stays', 1, async (step) => stored.set('stays', step));
  await small.start(
    'goes',
    1,
    async (step) => (isOdd(step) ? stored.delete('goes') : stored.set('goes', step)),
    {
      isAbsent: isOdd,
    },
  );
  const later = async (steps: number) => {
    const last = small.steps + steps;
    await until(`${steps} more steps`, () => small.steps >= last, { pauseMs: 1 });
  };
  await later(10);
  const early = new Map(stored);
  await later(10);
  const from = Date.now();
  await later(10);
  const current = new Map(stored);
  await later(10);
  const to = Date.now();
  await later(10);
  await small.stop();
  const problems = (found: Map<string, number | null>) => small.problems(found, from, to).join();
  expect(problems(current)).toBe('');
  expect(problems(new Map<string, number | null>(early).set('goes', null))).toMatch(
    /stays: step \d+ was over.*|goes: its content never/,
  );
  expect(problems(stored)).toContain('stays: step');
  expect(problems(new Map([...current, ['other', 1]]))).toBe('other: nobody has made it');
  const without = new Map(current);
  without.delete('stays');
  expect(problems(without)).toBe('stays: it is absent, and was there all the time');
  expect(problems(new Map<string, number | null>(current).set('stays', null))).toBe(
    'stays: its content never was like this',
  );
  expect(problems(new Map<string, number | null>(current).set('goes', 7))).toMatch(
    /goes: it is there as of step 7, which deleted it/,
  );
});
