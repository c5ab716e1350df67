import { expect, test } from '@jest/globals';
import { jobProgressPrefix } from '../../shared/bucket/layout.ts';
import { ProgressWriter, readProgress, totalsOf } from '../../shared/jobs/progress.ts';
import { freshEnvironment } from '../support/aws.ts';

const PART = { store: 'graph', shard: 'graph-01', phase: 'export' } as const;

test('totals of progress come from counts by tally; keys and files are summed over their namespaces', () => {
  expect(totalsOf({ nodes: 5, 'points:chunks': 7, 'keys:a': 1, 'keys:b': 2, 'files:x': 3 })).toEqual({
    nodes: 5,
    'points:chunks': 7,
    'keys:a': 1,
    'keys:b': 2,
    'files:x': 3,
    keys: 3,
    files: 3,
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

test('another phase, and a record that cannot be read, start over', async () => {
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
