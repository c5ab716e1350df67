import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { progressLines } from '../../local/demo/follow.ts';
import { alignColumns, formatDuration, Screen } from '../../local/demo/screen.ts';
import { Progress } from '../../shared/workflows/job/progress.ts';

/** The first character of control sequences, and its substitute below: regular expressions may not contain it. */
const ESCAPE = '\u001b';
/** A control sequence, a line feed, or text. */
const TOKEN = /␛\[(\??)(\d*)([A-Za-z])|\n|[^␛\n]+/g;

/** A terminal that supports the sequences for redrawing lines: the cursor moves up, down and left, lines are erased. */
class FakeTerminal {
  readonly isTTY: boolean;
  readonly columns = 60;
  readonly rows = 12;
  written = '';

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): boolean {
    this.written += text;
    return true;
  }

  get stream(): NodeJS.WriteStream {
    return this as unknown as NodeJS.WriteStream;
  }

  /** The visible text, and how many times the cursor moved to a line that had scrolled out of view. */
  #render(): { lines: string[]; lost: number } {
    const lines = [''];
    let [row, column, bottom, lost] = [0, 0, 0, 0];
    for (const [token, mark, count, command] of this.written.replaceAll(ESCAPE, '␛').matchAll(TOKEN)) {
      const before = (lines[row] ?? '').padEnd(column);
      if (command === undefined && token !== '\n') {
        lines[row] = before.slice(0, column) + token + before.slice(column + token.length);
        column += token.length;
      } else if (command === undefined) {
        row++;
        column = 0;
      } else if (mark === '' && command === 'A') row -= Number(count || 1);
      else if (mark === '' && command === 'B') row += Number(count || 1);
      else if (mark === '' && command === 'G') column = 0;
      else if (mark === '' && command === 'K') lines[row] = count === '2' ? '' : before.slice(0, column);
      if (row < bottom - this.rows + 1) lost++;
      bottom = Math.max(bottom, row);
      while (lines.length <= row) lines.push('');
    }
    return { lines: lines.slice(0, row + 1).map((line) => line.trimEnd()), lost };
  }

  get picture(): string[] {
    return this.#render().lines;
  }

  get lost(): number {
    return this.#render().lost;
  }
}

describe('the screen of the demo', () => {
  it('redraws the running step in place and then leaves its lines, its mark and its duration', async () => {
    const terminal = new FakeTerminal(true);
    await new Screen(terminal.stream).step('Load', async (view) => {
      view.live(['graph 1', 'kv 1']);
      view.live(['graph 2', 'kv 2']);
      view.log('only for a log');
      view.line('all loaded');
    });
    expect(terminal.picture).toEqual([
      '',
      expect.stringMatching(/^✔ {2}1\. Load +0\.\d s$/),
      '   all loaded',
      '',
    ]);
    expect(terminal.written).toContain('graph 2');
    expect(terminal.written).not.toContain('only for a log');
  });

  it('never draws more than fits while a step runs, and everything at the end', async () => {
    const terminal = new FakeTerminal(true);
    const lines = Array.from({ length: 40 }, (_, at) => `line ${at} ${'x'.repeat(80)}`);
    await new Screen(terminal.stream).step('Long', async (view) => {
      for (const line of lines) view.line(line);
      const widest = Math.max(...terminal.picture.map((line) => line.length));
      expect(widest).toBeLessThan(terminal.columns);
      expect(terminal.picture.slice(-terminal.rows)).toContainEqual(expect.stringContaining('1. Long'));
    });
    expect(terminal.lost).toBe(0);
    expect(terminal.picture.slice(2, -1)).toEqual(lines.map((line) => `   ${line}`));
  });

  it('marks a step that failed, and rethrows the error', async () => {
    const terminal = new FakeTerminal(true);
    const failing = new Screen(terminal.stream).step('Fail', () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(terminal.picture[1]).toMatch(/^✘ {2}1\. Fail/);
  });

  it('does not change when interrupted work reports later', async () => {
    const terminal = new FakeTerminal(true);
    let late: () => void = () => undefined;
    await new Screen(terminal.stream).step('Stop', async (view) => {
      late = () => view.line('too late');
    });
    const before = terminal.written;
    late();
    expect(terminal.written).toBe(before);
  });

  it('prints plain lines without a terminal', async () => {
    const terminal = new FakeTerminal(false);
    const screen = new Screen(terminal.stream);
    await screen.step('Load', async (view) => {
      view.live(['a bar']);
      view.log('neo4j: starting');
      view.line('all loaded');
    });
    expect(terminal.written).toMatch(
      /^\n1\. Load\n {3}neo4j: starting\n {3}all loaded\n {3}done after 0\.\d s\n$/,
    );
  });

  it('aligns coloured text by its visible width', () => {
    expect(
      alignColumns([
        ['a', '\x1b[31m1\x1b[39m'],
        ['long', '1,000'],
      ]).map(stripVTControlCharacters),
    ).toEqual(['a         1', 'long  1,000']);
  });

  it('shows seconds below a minute, and minutes from there', () => {
    expect([0, 59_949, 60_000, 119_700, 125_000].map(formatDuration)).toEqual([
      '0.0 s',
      '59.9 s',
      '1 min 00 s',
      '2 min 00 s',
      '2 min 05 s',
    ]);
  });
});

describe('the progress of a job', () => {
  const now = new Date().toISOString();
  const shard = (store: string, name: string, units: Progress['units'], finished: boolean) =>
    Progress.parse({
      store,
      shard: name,
      phase: 'export',
      units,
      started_at: now,
      updated_at: now,
      finished,
    });

  it('is one line for each store, across all its shards', () => {
    const lines = progressLines([
      shard('graph', 'a', { nodes: { done: 10, total: 10 } }, true),
      shard('graph', 'b', { nodes: { done: 5, total: 10 }, relationships: { done: 1, total: 20 } }, false),
      shard('kv', 'all', { keys: { done: 7 } }, false),
      shard('vectors', 'c', { 'bytes:chunks': { done: 2_500_000, total: 5_000_000 } }, false),
    ]).map(stripVTControlCharacters);
    expect(lines).toEqual([
      `graph    ${'━'.repeat(10)}${'─'.repeat(14)}  export  15 nodes, 1 relationships`,
      `vectors  ${'━'.repeat(12)}${'─'.repeat(12)}  export  2.5 MB of chunks`,
      `kv       ${'─'.repeat(24)}  export  7 keys`,
    ]);
  });

  it('is a full bar if the store has finished, regardless of the estimate', () => {
    const [line] = progressLines([shard('kv', 'all', { keys: { done: 7, total: 9 } }, true)]);
    expect(stripVTControlCharacters(line ?? '')).toContain('━'.repeat(24));
  });
});
