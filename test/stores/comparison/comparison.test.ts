/** The comparison itself, with records made up here: the readers of each store are tested against its real server. */
import { expect, test } from '@jest/globals';
import type { Json } from '../../../shared/core/json.ts';
import { compareStores } from '../../../shared/stores/comparison/compare-stores.ts';
import { type ComparisonLeg, compareRecords } from '../../../shared/stores/comparison/comparison.ts';
import { isSame } from '../../../shared/stores/comparison/is-same.ts';
import type { ComparedRecord, ComparisonBasis } from '../../../shared/stores/comparison/record-reader.ts';
import type { RunStore } from '../../../shared/stores/comparison/run-store.ts';
import type { RecordSource } from '../../../shared/stores/comparison/sources.ts';
import { fc } from '../../fast-check.ts';

interface Row {
  readonly kind: string;
  readonly id: string;
  readonly content: string;
}

/** Records per entry of the sources. */
const ENTRY_RECORDS = 3;
const EMPTY = { entries: () => none(), find: async () => undefined, open: () => none() };

async function* none(): AsyncGenerator<never> {
  // No entries.
}

/** A side with these records, in entries that a leg can end between. */
function sourceOf(rows: readonly Row[]): RecordSource {
  return {
    async *pieces(from) {
      const start = from === null ? 0 : Number(from);
      for (let at = start; at < rows.length; at += ENTRY_RECORDS) {
        const text = Buffer.from(JSON.stringify(rows.slice(at, at + ENTRY_RECORDS)));
        const data = (async function* () {
          yield text;
        })();
        const piece = { name: `graph/${at}`, size: text.length, offset: 0, length: text.length, data };
        yield { piece, archive: EMPTY, next: at + ENTRY_RECORDS };
      }
    },
  };
}

const reader = () => ({
  async *read({ data }: { data: AsyncIterable<Uint8Array> }): AsyncGenerator<ComparedRecord> {
    for await (const text of data) {
      for (const { kind, id, content } of JSON.parse(Buffer.from(text).toString()) as Row[]) {
        yield { kind, identity: id, content, name: () => id, keys: () => [id] };
      }
    }
  },
  save: () => null,
});

/** Keeps runs in memory, and counts them. */
class MemoryRuns implements RunStore {
  readonly runs = new Map<number, Buffer>();
  writes = 0;

  async write(number: number, run: Uint8Array) {
    this.writes++;
    this.runs.set(number, Buffer.from(run));
    return { bytes: run.length, etag: String(number) };
  }

  async read(number: number, _place: unknown, offset: number, length: number) {
    return this.runs.get(number)?.subarray(offset, offset + length) ?? Buffer.alloc(0);
  }
}

const BASIS: ComparisonBasis = { rules: null, limitations: {} };

function legOf(
  before: readonly Row[],
  after: readonly Row[],
  more: Partial<ComparisonLeg> = {},
): ComparisonLeg {
  return {
    before: sourceOf(before),
    after: sourceOf(after),
    basis: BASIS,
    reader,
    runs: new MemoryRuns(),
    state: null,
    timeLeft: () => 1,
    signal: new AbortController().signal,
    ...more,
  };
}

/** The comparison by maps: for each kind the number of added, changed and removed records. */
function naive(before: readonly Row[], after: readonly Row[]): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  const ids = new Set([...before, ...after].map(({ id }) => id));
  for (const id of ids) {
    const contents = (rows: readonly Row[]) =>
      rows.filter((row) => row.id === id).map(({ content }) => content);
    const [old, now] = [contents(before), contents(after)];
    for (const content of [...old]) {
      const at = now.indexOf(content);
      if (at < 0) continue;
      now.splice(at, 1);
      old.splice(old.indexOf(content), 1);
    }
    const changed = Math.min(old.length, now.length);
    const kind = id.slice(0, 1);
    const sums = found[kind] ?? [0, 0, 0];
    found[kind] = sums;
    for (const [at, count] of [now.length - changed, changed, old.length - changed].entries()) {
      sums[at] = (sums[at] ?? 0) + count;
    }
  }
  return found;
}

const row = fc
  .record({
    kind: fc.constantFrom('a', 'b'),
    id: fc.integer({ min: 0, max: 30 }),
    content: fc.constantFrom('1', '2', '3'),
  })
  // An identity has one kind.
  .map(({ kind, id, content }) => ({ kind, id: `${kind}${id}`, content }));
const rows = fc.array(row, { maxLength: 80 });

test('finds the same differences as a comparison by maps, with any number of runs, stopped anywhere', async () => {
  const budgets = fc.record({
    runBytes: fc.integer({ min: 200, max: 2000 }),
    /** How often the time is looked at before a leg ends. */
    looks: fc.integer({ min: 0, max: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(rows, rows, budgets, async (before, after, { runBytes, looks }) => {
      const runs = new MemoryRuns();
      let state: Json = null;
      for (;;) {
        let left = looks;
        const leg = legOf(before, after, {
          runs,
          state,
          limits: { runBytes, runsMax: 10_000, lookEvery: 2 },
          timeLeft: () => left--,
        });
        const result = await compareRecords(leg);
        // A leg that is killed at its end is repeated from the same state.
        left = looks;
        const again = await compareRecords({ ...leg, timeLeft: () => left-- });
        expect(again).toEqual(result);
        state = JSON.parse(JSON.stringify(result.state)) as Json;
        if (state !== null) continue;
        const found = Object.fromEntries(
          result.kinds.map(({ kind, added, changed, removed }) => [
            kind,
            [added.count, changed.count, removed.count],
          ]),
        );
        expect(found).toEqual(naive(before, after));
        for (const { kind, before: old, after: now } of result.kinds) {
          expect([old, now]).toEqual(
            [before, after].map((side) => side.filter((one) => one.kind === kind).length),
          );
        }
        return;
      }
    }),
    { numRuns: 150 },
  );
});

test('names changed, added and removed records, at most 20 of each', async () => {
  const many = (prefix: string, content: string) =>
    Array.from({ length: 30 }, (_, number) => ({ kind: 'a', id: `${prefix}${number}`, content }));
  const { kinds } = await compareRecords(
    legOf([...many('old-', '1'), ...many('same-', '1')], [...many('new-', '1'), ...many('same-', '2')]),
  );
  expect(kinds).toHaveLength(1);
  for (const [change, prefix] of [
    ['added', 'new-'],
    ['changed', 'same-'],
    ['removed', 'old-'],
  ] as const) {
    expect(kinds[0]?.[change].count).toBe(30);
    expect(kinds[0]?.[change].samples).toHaveLength(20);
    expect(kinds[0]?.[change].samples.every((name) => name.startsWith(prefix))).toBe(true);
  }
});

test('truncates hostile names, and removes what would change how they are shown', async () => {
  const id = `\u202e\u0007${'ü'.repeat(5000)}`;
  const { kinds } = await compareRecords(legOf([], [{ kind: 'a', id, content: '1' }]));
  const [name = ''] = kinds[0]?.added.samples ?? [];
  expect(name.startsWith('\ufffd\ufffdüü')).toBe(true);
  expect(name.length).toBeLessThanOrEqual(100);
});

test('counts the records of too many kinds together', async () => {
  const after = Array.from({ length: 600 }, (_, number) => ({
    kind: `k${number}`,
    id: `i${number}`,
    content: '1',
  }));
  const { kinds } = await compareRecords(legOf([], after));
  expect(kinds).toHaveLength(501);
  expect(kinds.find(({ kind }) => kind === 'others')?.added.count).toBe(100);
});

test('refuses more records than its intermediate files may hold', async () => {
  const after = Array.from({ length: 100 }, (_, number) => ({ kind: 'a', id: `i${number}`, content: '1' }));
  const leg = legOf([], after, { limits: { runBytes: 300, runsMax: 3 } });
  await expect(compareRecords(leg)).rejects.toMatchObject({ name: 'ComparisonLimitError' });
});

test('compares a kind by identities or not at all, as its limitation says', async () => {
  const before = [
    { kind: 'a', id: 'a1', content: '1' },
    { kind: 'b', id: 'b1', content: '1' },
  ];
  const after = [
    { kind: 'a', id: 'a1', content: '2' },
    { kind: 'a', id: 'a2', content: '1' },
  ];
  const basis: ComparisonBasis = {
    rules: null,
    limitations: { a: { by: 'identities', reason: 'one' }, b: { by: 'counts', reason: 'another' } },
  };
  const { kinds } = await compareRecords(legOf(before, after, { basis }));
  expect(kinds).toEqual([
    {
      kind: 'a',
      before: 1,
      after: 2,
      added: { count: 1, samples: ['a2'] },
      changed: { count: 0, samples: [] },
      removed: { count: 0, samples: [] },
      limited: { by: 'identities', reason: 'one' },
    },
  ]);
});

test('a store that is not compared within the time limit is compared by its counts, which the result says', async () => {
  const rows = [{ kind: 'a', id: 'a1', content: '1' }];
  const comparison = {
    stores: ['graph', 'kv'] as const,
    counts: () => ({ before: { a: 3 }, after: { b: 4 } }),
    open: async () => ({ ...legOf(rows, []), setup: null, close: async () => undefined }),
    runs: () => new MemoryRuns(),
    secondsMax: 0,
  };
  const { stores, state } = await compareStores(comparison, {
    state: null,
    timeLeft: () => 1,
    signal: new AbortController().signal,
  });
  const none = { count: 0, samples: [] };
  const kind = { added: none, changed: none, removed: none };
  const kinds = [
    { kind: 'a', before: 3, after: 0, ...kind },
    { kind: 'b', before: 0, after: 4, ...kind },
  ];
  const not_compared = 'the comparison did not finish within its time limit of 0 seconds';
  expect(state).toBeNull();
  expect(stores).toEqual([
    { store: 'graph', kinds, not_compared },
    { store: 'kv', kinds, not_compared },
  ]);
  expect(stores.some(isSame)).toBe(false);
});
