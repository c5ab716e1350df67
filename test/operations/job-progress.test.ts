/** Totals, rates and remaining times of jobs, from the records of their steps alone. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Moment,
  overallProgress,
  recentRate,
  type StoreProgress,
  summarizeProgress,
} from '../../shared/operations/job-progress.ts';
import { expectedUnits, Progress } from '../../shared/workflows/job/progress.ts';
import { type Units, workOf } from '../../shared/workflows/job/work.ts';

const BEGIN = Date.parse('2026-01-01T00:00:00.000Z');
const at = (second: number) => new Date(BEGIN + second * 1000).toISOString();
const moment = (second: number, ended = false): Moment => ({ now: BEGIN + second * 1000, ended });

/** A store whose units were `states` at these seconds; the last one is its current state. */
const part = (
  states: readonly (readonly [second: number, units: Units])[],
  { store = 'kv', shard = 'all', phase = 'load', finished = false }: Partial<Progress> = {},
) =>
  Progress.parse({
    store,
    shard,
    phase,
    finished,
    units: states.at(-1)?.[1],
    samples: states.slice(0, -1).map(([second, units]) => ({
      at: at(second),
      work: workOf(units)?.done ?? 0,
      units: Object.fromEntries(Object.entries(units).map(([unit, { done }]) => [unit, done])),
    })),
    started_at: at(states[0]?.[0] ?? 0),
    updated_at: at(states.at(-1)?.[0] ?? 0),
  });
const keys = (done: number, total = 1000) => ({ keys: { done, total } });
const only = (parts: readonly Progress[], when: Moment) => {
  const [store] = summarizeProgress(parts, when);
  if (!store) throw new Error('no store');
  return store;
};

describe('the rate', () => {
  const samples = (...all: [second: number, done: number][]) =>
    recentRate(all.map(([second, done]) => ({ at: at(second), done })));

  test('is an average over the last minute, not over the whole step', () => {
    expect(samples([0, 0], [600, 6000], [630, 6030], [660, 6060])).toBe(1);
  });

  test('is unknown within the first seconds, and if nothing was done', () => {
    expect(samples()).toBeUndefined();
    expect(samples([0, 0])).toBeUndefined();
    expect(samples([0, 0], [2, 500])).toBeUndefined();
    expect(samples([0, 7], [30, 7])).toBeUndefined();
    expect(samples([0, 0], [3, 300])).toBe(100);
  });

  test('ignores what was done before a leg was repeated', () => {
    expect(samples([0, 100], [10, 900], [20, 100], [30, 200])).toBe(10);
  });

  test('is never negative or infinite', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(200), fc.nat(10_000)), { maxLength: 20 }), (all) => {
        const rate = samples(...all.sort(([a], [b]) => a - b));
        expect(rate === undefined || (rate > 0 && Number.isFinite(rate))).toBe(true);
      }),
    );
  });
});

describe('the progress of a store', () => {
  test('has a total, a percentage, a recent rate, and the time that remains at that rate', () => {
    // Slow for ten minutes, then ten times as fast.
    const states = [0, 60, 600, 630, 660].map(
      (second) => [second, keys(second <= 600 ? second / 6 : 100 + (second - 600) * 5)] as const,
    );
    expect(only([part(states)], moment(661))).toMatchObject({
      units: { keys: { done: 400, total: 1000, rate: 5, remaining_seconds: 120 } },
      work: { measure: 'records', done: 400, total: 1000, percent: 40, rate: 5, remaining_seconds: 120 },
    });
  });

  test('has no rate and no remaining time before they are known, after a minute of silence, and once it has ended', () => {
    const amount = { measure: 'records', done: 100, total: 1000, percent: 10 };
    const begun = part([
      [0, keys(0)],
      [2, keys(100)],
    ]);
    expect(only([begun], moment(2)).work).toEqual(amount);
    const steady = part([
      [0, keys(0)],
      [10, keys(100)],
    ]);
    expect(only([steady], moment(70)).work).toEqual({ ...amount, rate: 10, remaining_seconds: 90 });
    expect(only([steady], moment(71)).work).toEqual(amount);
    expect(only([steady], moment(10, true)).work).toEqual(amount);
  });

  test('reaches 100 % only when it is finished, which has the average rate of all of it', () => {
    expect(only([part([[0, keys(1000)]])], moment(0)).work?.percent).toBe(99);
    const states = [
      [0, keys(0)],
      [90, keys(10)],
      [100, keys(900)],
    ] as const;
    // Keys may expire while they are restored: what was done is everything that there was.
    expect(only([part(states, { finished: true })], moment(900)).work).toEqual({
      measure: 'records',
      done: 900,
      total: 900,
      percent: 100,
      rate: 9,
    });
  });

  test('counts units that are listed but not begun', () => {
    const units = (nodes: number) => ({
      nodes: { done: nodes, total: 100 },
      relationships: { done: 0, total: 300 },
    });
    const found = only(
      [
        part(
          [
            [0, units(0)],
            [10, units(100)],
          ],
          { store: 'graph' },
        ),
      ],
      moment(10),
    );
    expect(found.work).toMatchObject({ done: 100, total: 400, percent: 25, rate: 10, remaining_seconds: 30 });
    expect(found.units).toEqual({
      nodes: { done: 100, total: 100 },
      relationships: { done: 0, total: 300 },
    });
  });

  test('measures the points of a snapshot, and large files, by their bytes', () => {
    const snapshot = { 'points:a': { done: 0, total: 100 }, 'bytes:a': { done: 250, total: 1000 } };
    const found = only([part([[0, snapshot]], { store: 'vectors' })], moment(0));
    expect(found.work).toMatchObject({ measure: 'records', done: 25, total: 100, percent: 25 });
    // The points are listed only once they are counted.
    expect(Object.keys(found.units)).toEqual(['bytes:a']);
    const files = { files: { done: 1, total: 4 }, bytes: { done: 500, total: 1000 } };
    expect(only([part([[0, files]])], moment(0)).work).toMatchObject({ done: 2, total: 4, percent: 50 });
  });

  test('adds up shards, with the rates of those that continue', () => {
    const shard = (name: string, finished: boolean) =>
      part(
        [
          [0, keys(0, 100)],
          [10, keys(finished ? 100 : 20, 100)],
        ],
        { shard: name, phase: 'export', finished },
      );
    const found = only([shard('a', true), shard('b', false), shard('c', false)], moment(10));
    expect(found.work).toMatchObject({ done: 140, total: 300, rate: 4, remaining_seconds: 40 });
  });

  test('of an export has an estimated total, after which nothing is predicted', () => {
    const during = (done: number) =>
      only(
        [
          part(
            [
              [0, keys(0, 100)],
              [10, keys(done, 100)],
            ],
            { phase: 'export' },
          ),
        ],
        moment(10),
      ).work;
    expect(during(50)).toMatchObject({ total: 100, estimated: true, remaining_seconds: 10 });
    // More was written during the backup than there was at its start.
    const more = during(150);
    expect(more).toMatchObject({ done: 150, total: 150, estimated: true, percent: 99 });
    expect(more).not.toHaveProperty('remaining_seconds');
  });

  test('has no percentage if its total is unknown', () => {
    const found = only([part([[0, { 'deleted:a': { done: 5 } }]], { store: 'vectors' })], moment(0));
    expect(found.work).toEqual({ measure: 'records', done: 5 });
  });
});

describe('the progress of a restore', () => {
  const restored = [
    { store: 'graph', units: { nodes: 300 } },
    { store: 'kv', units: { keys: 100 } },
    { store: 'config', units: {} },
  ];
  const nodes = (done: number) => ({ nodes: { done, total: 300 } });
  const graph = (phase: Progress['phase'], states: [number, Units][], finished = false) =>
    part(states, { store: 'graph', phase, finished });
  const kv = (phase: Progress['phase'], states: [number, Units][], finished = false) =>
    part(states, { store: 'kv', phase, finished });
  const overall = (
    parts: readonly Progress[],
    when: Moment,
    stores: typeof restored | undefined = restored,
  ) => overallProgress(summarizeProgress(parts, when), stores, when);
  const inspected = part([[0, { bytes: { done: 50, total: 50 } }]], {
    store: 'archive',
    phase: 'inspect',
    finished: true,
  });

  test('is that of the inspection until a store is written to', () => {
    const parts = [part([[0, { bytes: { done: 25, total: 50 } }]], { store: 'archive', phase: 'inspect' })];
    expect(overall(parts, moment(0), undefined)).toEqual({
      stage: 'inspect',
      stage_number: 1,
      stages: 2,
      measure: 'bytes',
      done: 25,
      total: 50,
      percent: 50,
    });
  });

  test('counts a loaded record as half done, and assumes that the verification takes as long as the load', () => {
    const parts = [
      inspected,
      graph('load', [
        [0, nodes(0)],
        [10, nodes(150)],
      ]),
      kv(
        'load',
        [
          [0, keys(0, 100)],
          [5, keys(100, 100)],
        ],
        true,
      ),
    ];
    expect(overall(parts, moment(10))).toEqual({
      stage: 'restore',
      stage_number: 2,
      stages: 2,
      measure: 'records',
      done: 125,
      total: 400,
      percent: 31,
      rate: 7.5,
      // 10 seconds until the nodes are loaded, and 20 to read all of them back.
      remaining_seconds: 30,
    });
  });

  test('waits for the slowest store, and predicts nothing while one has no rate', () => {
    const slow = kv('verify', [
      [0, keys(0, 100)],
      [10, keys(10, 100)],
    ]);
    const fast = graph('verify', [
      [0, nodes(0)],
      [10, nodes(150)],
    ]);
    expect(overall([inspected, fast, slow], moment(10))).toMatchObject({
      done: 280,
      percent: 70,
      rate: 8,
      remaining_seconds: 90,
    });
    const unknown = graph('verify', [[0, nodes(0)]]);
    expect(overall([inspected, unknown, slow], moment(10))).not.toHaveProperty('remaining_seconds');
    expect(overall([inspected, fast], moment(10))).not.toHaveProperty('remaining_seconds');
  });

  test('is complete once all is verified, while a drill removes what it restored', () => {
    const parts = [inspected, graph('remove', [[0, {}]]), kv('finish', [[0, {}]], true)];
    expect(overall(parts, moment(0))).toMatchObject({ done: 400, total: 400, percent: 100 });
  });

  test('of a rehearsal is one pass over the records', () => {
    const parts = [
      inspected,
      graph('rehearse', [
        [0, nodes(0)],
        [10, nodes(150)],
      ]),
      kv('rehearse', [[0, keys(100, 100)]], true),
    ];
    expect(overall(parts, moment(10))).toMatchObject({
      done: 250,
      total: 400,
      rate: 15,
      remaining_seconds: 10,
    });
  });

  test('is unknown if the number of records to load is', () => {
    const parts = [inspected, kv('load', [[0, keys(5)]])];
    expect(overall(parts, moment(0), [{ store: 'kv', units: undefined as never }])).toBeUndefined();
    // Without an inspection, it is not mistaken for a backup.
    expect(overallProgress(summarizeProgress(parts, moment(0)), undefined, moment(0))).toBeUndefined();
  });

  test('never falls, and never exceeds its total, from the first record to the last', () => {
    let before = 0;
    for (const phase of ['clear', 'load', 'verify', 'finish'] as const) {
      for (const done of [0, 100, 200, 300]) {
        const units = phase === 'clear' || phase === 'finish' ? {} : nodes(done);
        const found = overall([inspected, graph(phase, [[0, units]])], moment(0), [
          { store: 'graph', units: { nodes: 300 } },
        ]);
        expect(found?.done).toBeGreaterThanOrEqual(before);
        expect(found?.done).toBeLessThanOrEqual(300);
        before = found?.done ?? 0;
      }
    }
    expect(before).toBe(300);
  });
});

describe('the progress of a backup', () => {
  const parts = (kvDone: number, finished = false) => [
    part(
      [
        [0, { nodes: { done: 0, total: 300 } }],
        [10, { nodes: { done: 100, total: 300 } }],
      ],
      { store: 'graph', phase: 'export' },
    ),
    part(
      [
        [0, keys(0, 100)],
        [10, keys(kvDone, 100)],
      ],
      { store: 'kv', phase: 'export', finished },
    ),
    part([[0, {}]], { store: 'config', phase: 'export', finished: true }),
  ];
  const overall = (all: readonly Progress[], when = moment(10)) =>
    overallProgress(summarizeProgress(all, when), undefined, when);

  test('adds up the stores, which are exported at the same time', () => {
    expect(overall(parts(20))).toEqual({
      stage: 'export',
      stage_number: 1,
      stages: 3,
      measure: 'records',
      done: 120,
      total: 400,
      estimated: true,
      percent: 30,
      rate: 12,
      remaining_seconds: 40,
    });
    expect(overall(parts(100, true))).toMatchObject({
      done: 200,
      percent: 50,
      rate: 10,
      remaining_seconds: 20,
    });
  });

  test('is that of the archive once all is exported', () => {
    const done = (phase: Progress['phase']): StoreProgress[] =>
      summarizeProgress(
        [...parts(100, true), part([[0, { bytes: { done: 5, total: 9 } }]], { store: 'archive', phase })],
        moment(0),
      );
    expect(overallProgress(done('seal'), undefined, moment(0))).toMatchObject({
      stage: 'seal',
      stage_number: 2,
      done: 5,
      total: 9,
    });
    expect(overallProgress(done('read-back'), undefined, moment(0))).toMatchObject({
      stage: 'read-back',
      stage_number: 3,
    });
  });
});

describe('the units that a step will report', () => {
  test('are the records that its backend counts', () => {
    expect(expectedUnits('neo4j', { nodes: 5, relationships: 0, schema: 3, dangling: 2 })).toEqual({
      nodes: 5,
    });
    expect(expectedUnits('redis', { 'keys:a': 1, 'keys:b': 2 })).toEqual({ keys: 3 });
    expect(expectedUnits('qdrant', { 'points:a': 1, 'points:b': 2 })).toEqual({
      'points:a': 1,
      'points:b': 2,
    });
    // The keys in JSON files are counted for statistics only.
    expect(expectedUnits('files', { files: 3, 'keys:a': 7 })).toEqual({ files: 3 });
    expect(expectedUnits('unknown', { files: 3 })).toEqual({});
  });

  test('include each pass over the records of a verification', () => {
    expect(expectedUnits('neo4j', { nodes: 5 }, 'replace')).toEqual({ nodes: 5, 'archived nodes': 5 });
    expect(expectedUnits('neo4j', { nodes: 5 }, 'merge')).toEqual({ 'compare nodes': 5 });
    expect(expectedUnits('redis', { 'keys:a': 5 }, 'merge')).toEqual({ keys: 5 });
  });
});
