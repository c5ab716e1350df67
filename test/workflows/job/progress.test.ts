import { expect, jest, test } from '@jest/globals';
import { jobProgressPrefix } from '../../../shared/aws/keys.ts';
import { ProgressWriter, readProgress, totalsOf } from '../../../shared/workflows/job/progress.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { until } from '../../support/until.ts';

const TIMERS = [
  ...(['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
  ...(['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const),
];
const PART = { store: 'graph', shard: 'graph-01', phase: 'export' } as const;

test('totals of progress are derived from counts by tally; keys are summed over their namespaces', () => {
  expect(totalsOf({ nodes: 5, 'points:chunks': 7, 'keys:a': 1, 'keys:b': 2, files: 3 })).toEqual({
    nodes: 5,
    'points:chunks': 7,
    'keys:a': 1,
    'keys:b': 2,
    files: 3,
    keys: 3,
  });
});

test('a leg continues the progress of the leg before it: its units, its start and known totals', async () => {
  const { bucket } = await freshEnvironment();
  const first = await ProgressWriter.open(bucket, 'job-1', PART, { nodes: 10 });
  first.report('nodes', 10);
  await first.close(false);
  const [before] = await readProgress(bucket, 'job-1');
  const second = await ProgressWriter.open(bucket, 'job-1', PART, { nodes: 10 });
  second.report('relationships', 3, Number.NaN);
  await second.close(true);
  const [after] = await readProgress(bucket, 'job-1');
  expect(after).toMatchObject({
    units: { nodes: { done: 10, total: 10 }, relationships: { done: 3 } },
    started_at: before?.started_at,
    finished: true,
  });
});

test('a leg knows the progress of earlier legs, also if it repeats an interrupted leg', async () => {
  const { bucket } = await freshEnvironment();
  /** An interrupted leg has written its progress, but not closed it. */
  const untilWritten = (done: number) =>
    until('the progress is written', () => readProgress(bucket, 'job-1'), {
      holds: ([progress]) => progress?.units.keys?.done === done,
    });
  const legs = async (done: number, ends: boolean) => {
    const leg = await ProgressWriter.open(bucket, 'job-1', PART, { keys: 30 });
    const before = leg.doneBefore('keys');
    leg.report('keys', before + done);
    if (ends) await leg.close(false);
    else await untilWritten(before + done);
    return before;
  };
  expect(await legs(10, true)).toBe(0);
  expect(await legs(5, false)).toBe(10);
  expect(await legs(12, true)).toBe(10);
  const [{ units } = { units: {} }] = await readProgress(bucket, 'job-1');
  expect(units).toEqual({ keys: { done: 22, total: 30 } });
});

test('another phase, and an unreadable record, start over', async () => {
  const { bucket } = await freshEnvironment();
  const load = await ProgressWriter.open(bucket, 'job-1', PART);
  load.report('nodes', 10);
  await load.close(true);
  await (await ProgressWriter.open(bucket, 'job-1', { ...PART, phase: 'seal' })).close(false);
  expect(await readProgress(bucket, 'job-1')).toMatchObject([{ phase: 'seal', units: {} }]);
  await bucket.writeRecord(`${jobProgressPrefix('job-1')}graph-graph-01.json`, { nonsense: true });
  const again = await ProgressWriter.open(bucket, 'job-1', PART);
  await again.close(true);
  expect(await readProgress(bucket, 'job-1')).toMatchObject([{ phase: 'export', units: {} }]);
});

test('lists the units that a phase will report before work on them begins', async () => {
  const { bucket } = await freshEnvironment();
  const first = await ProgressWriter.open(bucket, 'job-1', PART, {}, { nodes: 10, relationships: 20 });
  first.report('nodes', 4);
  await first.close(false);
  const second = await ProgressWriter.open(bucket, 'job-1', PART, {}, { nodes: 10, relationships: 20 });
  await second.close(false);
  expect(await readProgress(bucket, 'job-1')).toMatchObject([
    { units: { nodes: { done: 4, total: 10 }, relationships: { done: 0, total: 20 } } },
  ]);
});

test('keeps a minute of samples over all legs of a phase, without units that do not change', async () => {
  const { bucket } = await freshEnvironment();
  const begin = Date.now();
  // Only the clock is replaced: the records are written to the server.
  const clock = jest.useFakeTimers({ doNotFake: [...TIMERS], now: begin });
  try {
    for (let second = 0; second < 100; second++) {
      clock.setSystemTime(begin + second * 1000);
      const leg = await ProgressWriter.open(bucket, 'job-1', PART, {}, { nodes: 10, relationships: 1000 });
      leg.report('nodes', 10);
      leg.report('relationships', second);
      await leg.close(false);
    }
  } finally {
    jest.useRealTimers();
  }
  const [{ samples } = { samples: [] }] = await readProgress(bucket, 'job-1');
  const seconds = samples.map(({ at }) => (Date.parse(at) - begin) / 1000);
  expect(seconds).toEqual(Array.from({ length: 13 }, (_, index) => 35 + index * 5));
  const { units = {}, work } = samples.at(-1) ?? {};
  expect(Object.keys(units)).toEqual(['relationships']);
  expect(work).toBe(10 + (units.relationships ?? 0));
});
