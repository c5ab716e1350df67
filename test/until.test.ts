import { expect, test } from '@jest/globals';
import { until } from './support/until.ts';

test('a wait returns the first result that is neither false nor undefined', async () => {
  const results = [undefined, false, 0, 1];
  expect(await until('a result', () => results.shift(), { pauseMs: 1 })).toBe(0);
  expect(results).toEqual([1]);
});

test('a wait returns the first result that fulfils its condition', async () => {
  let looks = 0;
  const look = async () => ({ looks: ++looks });
  expect(await until('three looks', look, { holds: (found) => found.looks === 3 })).toEqual({ looks: 3 });
});

test('a wait that fails states the condition and what was there, after a look past its deadline', async () => {
  let looks = 0;
  const holds = () => false;
  await expect(until('the job ends', () => ({ state: ++looks }), { holds, deadlineMs: -1 })).rejects.toThrow(
    'the job ends. Last seen: { state: 1 }',
  );
  await expect(until('nothing', () => Promise.reject(new Error('broke')))).rejects.toThrow('broke');
});
