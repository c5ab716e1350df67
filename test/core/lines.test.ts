import { expect, test } from '@jest/globals';
import { type LineRules, LineSplitter, readLines } from '../../shared/core/lines.ts';
import { fc } from '../fast-check.ts';

const RULES: LineRules = { bytesMax: 10, tooLong: () => new Error('too long') };
const STRICT: LineRules = {
  ...RULES,
  notUtf8: () => new Error('not UTF-8'),
  unfinished: () => new Error('unfinished'),
};

async function linesIn(chunks: Iterable<Uint8Array>, rules = RULES): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of readLines(chunks, rules)) lines.push(line);
  return lines;
}

const cut = (text: string, at: number) => {
  const bytes = Buffer.from(text);
  return [bytes.subarray(0, at), bytes.subarray(at)];
};

test('lines are the same wherever a text is split, also within characters', async () => {
  const text = 'ä\n\nzwei\n€uro\n';
  for (let at = 0; at <= Buffer.byteLength(text); at++) {
    expect(await linesIn(cut(text, at))).toEqual(['ä', '', 'zwei', '€uro']);
    expect(await linesIn(cut(text, at), STRICT)).toEqual(['ä', '', 'zwei', '€uro']);
  }
});

test('a splitter resumes from the state of another one', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 10 }), fc.nat(), (text, random) => {
      const whole = `${text.slice(0, 3)}\nb`;
      const at = random % (Buffer.byteLength(whole) + 1);
      const [head = Buffer.alloc(0), tail = Buffer.alloc(0)] = cut(whole, at);
      const rules = { ...RULES, bytesMax: 100 };
      const first = new LineSplitter(rules);
      const before = [...first.push(head)];
      const second = new LineSplitter(rules, first.rest);
      expect([...before, ...second.push(tail), ...second.end()]).toEqual(whole.split('\n'));
    }),
  );
});

test('chunks may be overwritten once the next one is requested', async () => {
  const buffer = Buffer.alloc(3);
  function* chunks() {
    for (const text of ['ab', 'cd', 'e\n']) {
      buffer.write(text);
      yield buffer.subarray(0, text.length);
    }
  }
  expect(await linesIn(chunks())).toEqual(['abcde']);
});

test('a line beyond the limit is an error, in one chunk or several, with or without a line feed', async () => {
  const line = 'x'.repeat(11);
  await expect(linesIn([Buffer.from(`${line}\n`)])).rejects.toThrow('too long');
  await expect(linesIn(cut(`${line}\n`, 5))).rejects.toThrow('too long');
  await expect(linesIn([Buffer.from(line)])).rejects.toThrow('too long');
  expect(await linesIn([Buffer.from(`${'x'.repeat(10)}\n`)])).toEqual(['x'.repeat(10)]);
});

test('bytes that are not UTF-8, and a last line without a line feed, are errors if the rules say so', async () => {
  await expect(linesIn([Buffer.from([0xff, 10])], STRICT)).rejects.toThrow('not UTF-8');
  expect(await linesIn([Buffer.from([0xff, 10])])).toEqual(['\ufffd']);
  await expect(linesIn([Buffer.from('a\nb')], STRICT)).rejects.toThrow('unfinished');
  expect(await linesIn([Buffer.from('a\nb')])).toEqual(['a', 'b']);
});
