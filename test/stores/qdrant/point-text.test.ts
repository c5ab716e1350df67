import { describe, expect, test } from '@jest/globals';
import { readPointBytes } from '../../../shared/stores/qdrant/point-bytes.ts';
import { CompactJson, compareIds, parsePointLine } from '../../../shared/stores/qdrant/point-text.ts';
import { fc } from '../../fast-check.ts';

/** JSON with keys sorted at every depth, by another method: parsed and serialized again. */
function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, inner]) => [JSON.stringify(key), sortedJson(inner)] as const,
  );
  return `{${members
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map((member) => member.join(':'))
    .join(',')}}`;
}

test('the canonical text of any JSON is the same JSON with sorted keys', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value);
      const json = new CompactJson(text);
      expect(json.value()).toBe(sortedJson(JSON.parse(text)));
      json.end();
    }),
  );
});

test('numbers keep every digit', () => {
  const line =
    '{"id":18446744073709551615,"payload":{"b":1.0,"a":-9223372036854775808,"c":1e300},"vector":[0.1,-0.0,3e-45]}';
  const point = parsePointLine(line);
  expect(point.id).toBe('18446744073709551615');
  expect(point.raw).toBe(line);
  expect(point.canonical).toBe(
    line.replace('"b":1.0,"a":-9223372036854775808', '"a":-9223372036854775808,"b":1.0'),
  );
});

describe('rejects what is not a point:', () => {
  test.each([
    '',
    '{}',
    '{"id":-1}',
    '{"id":1.5}',
    '{"id":"no-uuid"}',
    '{"id":1',
    '{"id":1}}',
    '{"id":1},{"id":2}',
    '{"id":1,"id":2}',
    '{ "id":1}',
    '{"id":1,"vector":[1,2}',
    '{"id":1,"payload":{"a":"open}}',
    '{"id":1,"other":1}',
    `{"id":1,"payload":${'['.repeat(200)}${']'.repeat(200)}}`,
  ])('%s', (line) => {
    expect(() => parsePointLine(line)).toThrow(expect.objectContaining({ name: 'IntegrityError' }));
  });

  test('random damage is never parsed as a point with unbalanced brackets', () => {
    const line = '{"id":7,"payload":{"a":"x\\"]},{","b":[1,[2,"y"]]},"vector":{"v":[1.5,2],"w":[[1],[2]]}}';
    fc.assert(
      fc.property(
        fc.nat(line.length - 1),
        fc.constantFrom('"', '{', '}', '[', ']', ',', ':', '\\', 'x', ''),
        (at, by) => {
          const damaged = line.slice(0, at) + by + line.slice(at + 1);
          let point: ReturnType<typeof parsePointLine>;
          try {
            point = parsePointLine(damaged);
          } catch (error) {
            expect(error).toMatchObject({ name: 'IntegrityError' });
            return;
          }
          // An accepted text is a single value, also between others.
          let parsed: unknown;
          try {
            parsed = JSON.parse(`[0,${point.raw},0]`);
          } catch {
            // Not JSON: the server refuses the request as a whole.
            return;
          }
          expect(parsed).toHaveLength(3);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

test('ids are ordered as the server scrolls them', () => {
  const ordered = [
    '0',
    '9',
    '10',
    '9007199254740993',
    '18446744073709551615',
    '"00000000-0000-0000-0000-000000000001"',
    '"6ba7b810-9dad-11d1-80b4-00c04fd430c8"',
  ];
  expect([...ordered].reverse().sort(compareIds)).toEqual(ordered);
});

describe('points that are digested and not retained', () => {
  const answerOf = (...points: string[]) =>
    Buffer.from(
      `{"result":{"points":[${points.join(',')}],"next_page_offset":"0a"},"status":"ok","time":0.001}`,
    );

  test('have the canonical bytes of their canonical text, regardless of their contents', () => {
    const vector = fc.oneof(
      fc.array(fc.double({ noNaN: true, noDefaultInfinity: true })),
      fc.array(fc.array(fc.integer())),
      fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 })),
    );
    const payload = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 5 }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), payload, vector)),
        (points) => {
          const lines = points.map(
            ([id, held, numbers]) =>
              `{"id":${id},"payload":${JSON.stringify(held)},"vector":${JSON.stringify(numbers)}}`,
          );
          const page = readPointBytes(answerOf(...lines));
          expect(page.points.map((bytes) => Buffer.from(bytes).toString('utf8'))).toEqual(
            lines.map((line) => parsePointLine(line).canonical),
          );
          expect(page.next).toBe('"0a"');
        },
      ),
    );
  });

  test('named vectors and payloads in any order are the same point', () => {
    const [one, other] = [
      '{"id":1,"payload":{"b":[{"y":1,"x":"]"}],"a":"\\\\"},"vector":{"sparse":{"values":[0.5],"indices":[3]},"dense":[1,2]}}',
      '{"id":1,"payload":{"a":"\\\\","b":[{"x":"]","y":1}]},"vector":{"dense":[1,2],"sparse":{"indices":[3],"values":[0.5]}}}',
    ].map((point) => Buffer.from(readPointBytes(answerOf(point)).points[0] ?? []).toString());
    expect(one).toBe(other);
  });

  test.each([
    ['a field that a newer server has', '{"id":1,"shard":2}'],
    ['no id', '{"payload":{}}'],
    ['another id', '{"id":-1}'],
    ['a key twice', '{"id":1,"payload":{"a":1,"a":2}}'],
    ['an end in the middle', '{"id":1,"vector":[1,2'],
    ['too much depth', `{"id":1,"payload":{"a":${'['.repeat(200)}${']'.repeat(200)}}}`],
  ])('are refused with %s', (_, point) => {
    const answer = point.endsWith('2') ? Buffer.from(`{"result":{"points":[${point}`) : answerOf(point);
    expect(() => readPointBytes(answer)).toThrow(expect.objectContaining({ name: 'IntegrityError' }));
  });
});
