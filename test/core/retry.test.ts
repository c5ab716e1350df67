import { expect, test } from '@jest/globals';
import { backoff, retry, sleep } from '../../shared/core/retry.ts';

const waits = { firstMs: 100, isTransient: (error: unknown) => error === 'busy' };

test('doubles the wait up to the maximum, with jitter of at most half', () => {
  const longest = [1, 2, 3, 20].map((failed) => backoff(failed, { firstMs: 100, longestMs: 1000 }, () => 1));
  expect(longest).toEqual([100, 200, 400, 1000]);
  expect(backoff(3, { firstMs: 100 }, () => 0)).toBe(200);
  expect(backoff(3, { firstMs: 100, factor: 4 }, () => 1)).toBe(1600);
});

test('a call is repeated until it succeeds', async () => {
  const waited: number[] = [];
  const result = await retry(async (attempt) => (attempt < 3 ? Promise.reject('busy') : attempt), {
    ...waits,
    attempts: 5,
    wait: async (ms) => void waited.push(ms),
  });
  expect(result).toBe(3);
  expect(waited).toHaveLength(2);
});

test('a permanent error is thrown at once, and the last error after too many attempts', async () => {
  let calls = 0;
  const fail = (error: string) => async () => {
    calls++;
    throw error;
  };
  const options = { ...waits, attempts: 4, wait: async () => undefined };
  await expect(retry(fail('wrong'), options)).rejects.toBe('wrong');
  expect(calls).toBe(1);
  await expect(retry(fail('busy'), options)).rejects.toBe('busy');
  expect(calls).toBe(5);
});

test('an aborted signal ends the wait, and its reason is thrown', async () => {
  const controller = new AbortController();
  const waiting = retry(() => Promise.reject('busy'), {
    ...waits,
    firstMs: 60_000,
    attempts: 2,
    signal: controller.signal,
    beforeWait: () => queueMicrotask(() => controller.abort('stopped')),
  });
  await expect(waiting).rejects.toBe('stopped');
  await expect(sleep(60_000, controller.signal)).rejects.toBe('stopped');
});
