import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { ProgressPrinter } from '../../cli/follow.ts';
import { inspectionText, jobText } from '../../cli/job-text.ts';
import { fields } from '../../cli/output.ts';
import { progressLine, progressText } from '../../cli/progress-text.ts';
import { JobView } from '../../shared/operations/show-job.ts';
import { Inspection } from '../../shared/workflows/restore/inspection.ts';

const AT = '2026-01-02T03:04:05.000Z';
const MB = 1000 ** 2;

const progress = (units: object, finished = false, work?: object) =>
  JobView.shape.progress.element.parse({
    store: 'vectors',
    phase: 'export',
    finished,
    units,
    work,
    started_at: AT,
    updated_at: AT,
  });
const inspection = (changes: object = {}) =>
  Inspection.parse({
    job_id: 'job-1',
    target: 'staging',
    inspected_at: AT,
    archive: {
      backup_id: 'snapshot_1',
      created_at: AT,
      bytes: 6 * MB,
      entries: 9,
      checksum: 'abc',
      origin: 'default',
      normalized: false,
      lacks: [],
    },
    stores: [],
    warnings: [],
    problems: [],
    ...changes,
  });
const store = (name: string, archive: Record<string, number>, target: Record<string, number>) => ({
  store: name,
  kind: 'x',
  version: '1',
  archive,
  target,
  warnings: [],
  problems: [],
});
const job = (changes: object = {}) =>
  JobView.parse({
    job_id: 'job-1',
    kind: 'restore',
    target: 'staging',
    state: 'completed',
    created_at: AT,
    updated_at: AT,
    finished_at: '2026-01-02T03:06:34.000Z',
    progress: [],
    log: [],
    ...changes,
  });
/** 200 collections, by the number of each. */
const many = <T>(value: (number: number) => T): Record<string, T> =>
  Object.fromEntries(Array.from({ length: 200 }, (_, number) => [`points:c${number}`, value(number)]));
const widest = (text: string) => Math.max(...text.split('\n').map((line) => line.length));

describe('the progress of a store', () => {
  test('shows the progress of each unit, the rate and the remaining time', () => {
    expect(
      progressText(progress({ nodes: { done: 1200, total: 5000, rate: 300, remaining_seconds: 13 } })),
    ).toBe('1,200 of 5,000 nodes, 300/s, 13 s left');
  });

  test('of several units shows one rate and one remaining time, and the percentage if there is no bar', () => {
    const work = {
      measure: 'records',
      done: 1200,
      total: 9000,
      percent: 13,
      rate: 300,
      remaining_seconds: 26,
    };
    const shown = progress(
      {
        nodes: { done: 1200, total: 5000, estimated: true, rate: 300, remaining_seconds: 13 },
        relationships: { done: 0, total: 4000 },
      },
      false,
      work,
    );
    const text = '1,200 of about 5,000 nodes · 0 of 4,000 relationships · 300/s, 26 s left';
    expect(progressText(shown)).toBe(text);
    expect(progressLine(shown)).toBe(`13%: ${text}`);
  });

  test('shows no total once everything is done', () => {
    const units = { nodes: { done: 1819, total: 1819 }, relationships: { done: 3940, total: 3940, rate: 9 } };
    expect(progressText(progress(units, true))).toBe('1,819 nodes · 3,940 relationships');
  });

  test('lists a few collections, and counts many', () => {
    const few = {
      'bytes:chunks': { done: 9.4 * MB, total: 9.4 * MB },
      'points:entities': { done: 7, total: 9 },
    };
    expect(progressText(progress(few))).toBe('chunks 9.4 MB · entities 7 of 9 points');
    const units = many((number) => (number < 198 ? { done: 10, total: 10 } : { done: 5, total: 10 }));
    expect(progressText(progress(units))).toBe('200 collections, 198 done, 1,990 of 2,000 points');
    expect(progressText(progress(units), true)).toContain('c199 5 of 10 points');
  });

  test('of a store without units is one word', () => {
    expect([progressText(progress({})), progressText(progress({}, true))]).toEqual(['started', 'done']);
  });
});

describe('the progress of a whole job', () => {
  const overall = {
    stage: 'restore',
    stage_number: 2,
    stages: 2,
    measure: 'records',
    done: 11_900,
    total: 22_000,
    percent: 54,
    rate: 600,
    remaining_seconds: 17,
  };
  const line = 'oad and verification (2 of 2): 54%: 11,900 of 22,000 records, 600/s, 17 s left';

  test('has a stage, a total, a percentage, a rate and a remaining time', () => {
    const text = jobText(job({ state: 'processing', finished_at: undefined, overall }));
    expect(text.replaceAll(/ +/g, ' ')).toContain(`L${line}`);
  });

  test('is not shown once the job has ended', () => {
    expect(jobText(job({ state: 'failed', overall }))).not.toContain('22,000');
  });

  test('of an inspection is in bytes', () => {
    const inspecting = {
      ...overall,
      stage: 'inspect',
      stage_number: 1,
      measure: 'bytes',
      done: MB,
      total: 2 * MB,
    };
    const text = jobText(job({ state: 'processing', overall: { ...inspecting, rate: MB, percent: 50 } }));
    expect(text).toContain('50%: 1 MB of 2 MB, 1 MB/s');
  });
});

describe('an inspection', () => {
  test('shows archive, source target, destination, integrity, and what changes', () => {
    const text = inspectionText(
      inspection({ stores: [store('graph', { nodes: 1819 }, { nodes: 1800 })], problems: ['graph: no'] }),
    );
    expect(text.split('\n').map((line) => line.replaceAll(/ +/g, ' '))).toEqual([
      expect.stringMatching(/^Archive: snapshot_1, .*, 6 MB$/),
      'Source target: default',
      'Restore into: staging',
      'Integrity: all bytes verified',
      '',
      ' in archive in staging now change',
      'graph nodes 1,819 1,800 +19',
      'Problem: graph: no',
    ]);
  });

  test('shows how much space the restore needs, and how much is free if a server reports it', () => {
    const needs = (name: string, of: string, room: object) => ({
      ...store(name, { nodes: 1 }, { nodes: 1 }),
      room: { of, needed_bytes: 2 * MB, ...room },
    });
    const text = inspectionText(
      inspection({
        stores: [
          needs('graph', 'disk', {}),
          needs('vectors', 'disk', { total_bytes: 9 * MB }),
          needs('kv', 'memory', { free_bytes: 3 * MB }),
        ],
      }),
    );
    expect(text.split('\n').slice(-3)).toEqual([
      'Room: graph needs about 2 MB of disk; the server does not report how much is free',
      'Room: vectors needs about 2 MB of disk; the server does not report how much is free (it has 9 MB in all)',
      'Room: kv needs about 2 MB of memory, 3 MB are free',
    ]);
  });

  test('counts dangling references', () => {
    const reference = {
      reference: 'kv a.b → graph nodes.id',
      total: 2633,
      checked: 2633,
      dangling: 0,
      against: 'archive',
      complete: true,
      samples: [],
    };
    expect(inspectionText(inspection({ references: [reference] }))).toContain(
      'References kv a.b → graph nodes.id: 2,633 (dangling: 0 in archive)',
    );
  });

  test('of 200 collections is one row, with the changed ones below it; --verbose lists all', () => {
    const stores = [
      store(
        'vectors',
        many(() => 10),
        many((number) => (number < 12 ? 9 : 10)),
      ),
    ];
    const text = inspectionText(
      inspection({ stores, warnings: Array.from({ length: 30 }, (_, n) => `w${n}`) }),
    );
    expect(text).toMatch(/vectors points \(200 collections, 12 changed\) +2,000 +1,988 +\+12/);
    expect(text).toMatch(/ {2}vectors points:c0 +10 +9 +\+1/);
    expect(text).toContain('… 2 more: see --verbose');
    expect(text).toContain('… 20 more: see --verbose');
    expect(text.split('\n').length).toBeLessThan(40);
    expect(widest(text)).toBeLessThan(120);
    const full = inspectionText(inspection({ stores }), true);
    expect(full.match(/vectors points:c/g)).toHaveLength(200);
  });
});

describe('a job', () => {
  test('that restored shows what was verified, references and smoke checks', () => {
    const result = {
      stores: {
        graph: { read_back: { nodes: { count: 1819 }, schema: { count: 1 } } },
        kv: { smoke: [{ question: '["ANY"]', before: 'key found', after: 'key found' }] },
      },
      references: [{ reference: 'kv a.b → graph nodes.id', total: 2633, before: 0, after: 0 }],
    };
    const text = jobText(job({ result, requested_by: 'cli:ada' }));
    expect(text).toMatch(/^Requested by: +cli:ada$/m);
    expect(text).toMatch(/^Duration: +2 min 29 s$/m);
    expect(text).toMatch(/^State: +completed$/m);
    expect(text).toContain('Graph restore:  1,819 nodes, 1 schema item: verified, no differences');
    expect(text).toContain('References kv a.b → graph nodes.id: 2,633 (dangling: 0 in archive, 0 in target)');
    expect(text).toContain('Smoke check kv ["ANY"]: key found before, key found after');
  });

  test('that restored shows the warnings of its steps', () => {
    const warnings = [
      {
        store: 'graph',
        code: 'graph-schema-left-out',
        text: 'Indexes are missing.',
        count: 1,
        samples: ['by_name'],
      },
    ];
    const text = jobText(job({ result: { stores: {}, warnings } }));
    expect(text).toMatch(/Warning:.* graph: Indexes are missing\..*by_name/);
  });

  test('with 400 smoke checks shows those whose results differ, and counts the others', () => {
    const smoke = Array.from({ length: 400 }, (_, number) => ({
      question: `q${number}`,
      before: 'count 1',
      after: number === 7 ? 'count 2' : 'count 1',
    }));
    const result = {
      stores: {
        vectors: { read_back: Object.fromEntries(Object.entries(many(() => ({ count: 5 })))), smoke },
      },
    };
    const text = jobText(job({ result }));
    expect(text).toContain('1,000 points in 200 collections: verified, no differences');
    expect(text).toContain('Smoke checks: 399 with the same answer before and after');
    expect(text).toContain('Smoke check vectors q7: count 1 before, count 2 after');
    expect(text.split('\n').length).toBeLessThan(20);
    expect(jobText(job({ result }), true).match(/^Smoke check /gm)).toHaveLength(400);
  });

  test('that failed shows the error, and control characters in it are escaped', () => {
    const text = jobText(job({ state: 'failed', error: { name: 'IntegrityError', message: 'a\u001b[2Jb' } }));
    expect(text).toContain('IntegrityError: a�[2Jb');
  });
});

describe('following a job without a terminal', () => {
  const printed: string[] = [];
  const printer = (verbose = false) =>
    new ProgressPrinter({
      output: {
        interactive: false,
        json: false,
        quiet: false,
        verbose,
        note: (text: string) => printed.push(text),
        event: () => undefined,
        result: () => undefined,
        warn: () => undefined,
      },
    });
  afterEach(() => {
    printed.length = 0;
    jest.restoreAllMocks();
  });
  const line = (second: number, text: string) => ({ at: `2026-01-02T03:04:0${second}.000Z`, text });

  test('prints each step once, regardless of its number of legs, and the end state last', () => {
    const watch = printer();
    const log = [line(1, 'Inspect archive'), line(2, 'Inspect archive')];
    watch.print(job({ state: 'processing', log }));
    watch.print(job({ state: 'processing', log: [...log, line(3, 'Inspect archive')] }));
    watch.print(job({ log: [...log, line(4, 'Restore complete')] }));
    expect(printed).toEqual([
      'State: processing',
      '  Inspect archive',
      '  Restore complete',
      expect.stringContaining('completed'),
    ]);
  });

  test('prints every leg with --verbose', () => {
    const watch = printer(true);
    watch.print(job({ state: 'processing', log: [line(1, 'Inspect archive'), line(2, 'Inspect archive')] }));
    expect(printed.filter((text) => text.includes('Inspect archive'))).toHaveLength(2);
  });

  test('prints progress at most every ten seconds, never one line of thousands of characters', () => {
    const watch = printer();
    const running = job({
      state: 'processing',
      progress: [progress(many(() => ({ done: 1, total: 2 })))],
    });
    watch.print(running);
    watch.print(running);
    expect(printed.filter((text) => text.includes('collections'))).toEqual([
      '  vectors export: 200 collections, 0 done, 200 of 400 points',
    ]);
    jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 11_000);
    watch.print(running);
    expect(printed.filter((text) => text.includes('collections'))).toHaveLength(2);
  });
});

test('labels and values are aligned, and empty values are omitted', () => {
  expect(
    fields([
      ['target', 'default'],
      ['note', ''],
      ['requested by', undefined],
      ['job', 'x'],
      ['', 'y'],
    ]),
  ).toBe('Target:  default\nJob:     x\n         y');
});
