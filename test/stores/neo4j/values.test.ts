import { describe, expect, test } from '@jest/globals';
import {
  Date as CypherDate,
  DateTime,
  Duration,
  LocalDateTime,
  LocalTime,
  Point,
  Time,
  Vector,
} from 'neo4j-driver';
import { InvalidInputError } from '../../../shared/core/errors.ts';
import { canonicalNode, parseNodeLine, parseRelationshipLine } from '../../../shared/stores/neo4j/lines.ts';
import { quote } from '../../../shared/stores/neo4j/names.ts';
import { createStatement, parseSchemaLine } from '../../../shared/stores/neo4j/schema.ts';
import { encodeProperties, type Properties } from '../../../shared/stores/neo4j/values.ts';
import { fc } from '../../fast-check.ts';

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const between = (min: number, max: number) => fc.bigInt({ min: BigInt(min), max: BigInt(max) });
const date = fc
  .tuple(between(-999_999_999, 999_999_999), between(1, 12), between(1, 28))
  .map(([year, month, day]) => new CypherDate(year, month, day));
const clock = fc.tuple(between(0, 23), between(0, 59), between(0, 59), between(0, 999_999_999));
const offset = between(-18 * 3600, 18 * 3600);
const localTime = clock.map((parts) => new LocalTime(...parts));
const time = fc.tuple(clock, offset).map(([parts, seconds]) => new Time(...parts, seconds));
const localDateTime = fc
  .tuple(date, clock)
  .map(([{ year, month, day }, parts]) => new LocalDateTime(year, month, day, ...parts));
const dateTime = fc
  .tuple(date, clock, offset)
  .map(([{ year, month, day }, parts, seconds]) => new DateTime(year, month, day, ...parts, seconds));
const duration = fc
  .tuple(
    between(-1e12, 1e12),
    between(-1e12, 1e12),
    fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
    between(0, 999_999_999),
  )
  .map((parts) => new Duration(...parts));
const float = fc.double();
const point = fc.oneof(
  fc.tuple(fc.constantFrom(7203n, 4326n), float, float).map(([srid, x, y]) => new Point(srid, x, y)),
  fc
    .tuple(fc.constantFrom(9157n, 4979n), float, float, float)
    .map(([srid, x, y, z]) => new Point(srid, x, y, z)),
);
const bytes = fc.uint8Array().map((array) => new Int8Array(array));
const text = fc.string({ unit: 'binary' });
const scalars = [
  int64,
  float,
  text,
  fc.boolean(),
  date,
  localTime,
  time,
  localDateTime,
  dateTime,
  duration,
  point,
];
const vector = fc.oneof(
  fc.array(float).map((list) => new Vector(Float64Array.from(list))),
  fc.array(float).map((list) => new Vector(Float32Array.from(list))),
  fc.array(int64).map((list) => new Vector(BigInt64Array.from(list))),
  fc.int8Array().map((list) => new Vector(list)),
);
const value = fc.oneof(
  ...scalars,
  bytes,
  vector,
  ...scalars.map((scalar) => fc.array<unknown>(scalar, { maxLength: 5 })),
);
const name = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => !text.startsWith('__ngbak_'));
const properties: fc.Arbitrary<Properties> = fc.dictionary(
  fc.oneof(name, fc.constantFrom('__proto__', 'constructor', 'toString', 'types')),
  value as fc.Arbitrary<unknown>,
  { noNullPrototype: true },
);

function lineOf(values: Properties): string {
  const { properties: json, types } = encodeProperties(values);
  return `{"type":"node","id":"7","labels":["A"],"properties":${json}${types === undefined ? '' : `,"types":${types}`}}`;
}

describe('a line of a graph archive', () => {
  test('restores every value of every type, and is then serialized to the same text', () => {
    fc.assert(
      fc.property(properties, (values) => {
        const read = parseNodeLine(lineOf(values));
        expect(lineOf(read.properties)).toBe(lineOf(values));
        expect(Object.keys(read.properties).sort()).toEqual(Object.keys(values).sort());
      }),
      { numRuns: 1000 },
    );
  });

  test('distinguishes integers from floats, −0 from 0, bytes from integers, and texts from similar values', () => {
    const distinct: unknown[] = [
      1n,
      1.5,
      1,
      0,
      -0,
      Number.NaN,
      '1',
      true,
      'true',
      'NaN',
      [1n],
      [1],
      ['1'],
      new Int8Array([1]),
      'AQ==',
      new CypherDate(2020n, 1n, 1n),
      '2020-01-01',
      [new CypherDate(2020n, 1n, 1n)],
      new Duration(0n, 0n, 1n, 0n),
      new Duration(0n, 1n, -86_399n, 0n),
      new Vector(Float32Array.from([1])),
      new Vector(Float64Array.from([1])),
      new Point(7203n, 1, 1),
      new Point(9157n, 1, 1, 0),
      2n ** 53n,
      2n ** 53n + 1n,
    ];
    const texts = distinct.map((value) => canonicalNode({ labels: [], properties: { value } }));
    expect(new Set(texts).size).toBe(distinct.length);
  });

  test('has the right meaning for any JSON reader: 64-bit integers, 1.0, ISO dates, base64', () => {
    const line = lineOf({
      a: 2n ** 63n - 1n,
      b: 1,
      c: new CypherDate(2020n, 2n, 29n),
      d: new Int8Array([-1]),
    });
    expect(line).toBe(
      '{"type":"node","id":"7","labels":["A"],"properties":{"a":9223372036854775807,"b":1.0,"c":"2020-02-29","d":"/w=="},"types":{"a":"integer","b":"float","c":"date","d":"bytes"}}',
    );
  });

  test.each([
    ['no JSON', '{'],
    ['another kind of line', '{"type":"relationship","id":"1","labels":[],"properties":{}}'],
    ['an id that is not a number', '{"type":"node","id":"x","labels":[],"properties":{}}'],
    ['labels that are not a list', '{"type":"node","id":"1","labels":"A","properties":{}}'],
    ['a label reserved for ngbak', '{"type":"node","id":"1","labels":["__ngbak_loaded_x"],"properties":{}}'],
    ['a property reserved for ngbak', '{"type":"node","id":"1","labels":[],"properties":{"__ngbak_id":"1"}}'],
    ['a nested object', '{"type":"node","id":"1","labels":[],"properties":{"a":{"b":1}}}'],
    ['a null', '{"type":"node","id":"1","labels":[],"properties":{"a":null}}'],
    ['a list of lists', '{"type":"node","id":"1","labels":[],"properties":{"a":[[1]]}}'],
    ['a mixed list', '{"type":"node","id":"1","labels":[],"properties":{"a":[1,"b"]}}'],
    ['an unknown type', '{"type":"node","id":"1","labels":[],"properties":{"a":1},"types":{"a":"money"}}'],
    ['a type without a value', '{"type":"node","id":"1","labels":[],"properties":{},"types":{"a":"float"}}'],
    [
      'an integer beyond 64 bits',
      '{"type":"node","id":"1","labels":[],"properties":{"a":9223372036854775808},"types":{"a":"integer"}}',
    ],
    [
      'an integer of an undeclared type',
      '{"type":"node","id":"1","labels":[],"properties":{"a":9007199254740993}}',
    ],
    [
      'an invalid date',
      '{"type":"node","id":"1","labels":[],"properties":{"a":"yesterday"},"types":{"a":"date"}}',
    ],
    ['invalid base64', '{"type":"node","id":"1","labels":[],"properties":{"a":"!"},"types":{"a":"bytes"}}'],
    [
      'a point without coordinates',
      '{"type":"node","id":"1","labels":[],"properties":{"a":{"crs":"cartesian"}},"types":{"a":"point"}}',
    ],
  ])('is refused if it holds %s', (_what, line) => {
    expect(() => parseNodeLine(line)).toThrow(InvalidInputError);
  });

  test('is refused if a relationship has no type or no end', () => {
    const end = '{"id":"1","labels":[],"properties":{}}';
    for (const line of [
      `{"type":"relationship","id":"1","label":"","properties":{},"start":${end},"end":${end}}`,
      `{"type":"relationship","id":"1","label":"A","properties":{},"start":${end}}`,
      `{"type":"relationship","id":"1","label":"A","properties":{},"start":${end},"end":{"id":"1","labels":[],"properties":{},"digest":"x"}}`,
    ]) {
      expect(() => parseRelationshipLine(line)).toThrow(InvalidInputError);
    }
  });
});

describe('a line of graph/schema.jsonl', () => {
  const row = {
    type: 'index',
    name: 'i',
    kind: 'RANGE',
    entity: 'NODE',
    tokens: ['A'],
    properties: ['p'],
    config: {},
  };

  test('becomes a statement in which names are quoted and settings are literals', () => {
    const statement = createStatement(
      parseSchemaLine(
        JSON.stringify({
          ...row,
          name: 'a` FOR (n) //',
          tokens: ['\\u0060) DELETE //'],
          statement: 'DROP DATABASE neo4j',
        }),
      ),
    );
    expect(statement).toBe('CREATE INDEX `a`` FOR (n) //` FOR (n:`\\u005Cu0060) DELETE //`) ON (n.`p`)');
  });

  test.each([
    ['an unknown kind', { kind: 'MAGIC' }],
    ['no label', { tokens: [] }],
    ['a name of ours', { name: '__ngbak_x' }],
    [
      'a property type that is Cypher',
      { type: 'constraint', kind: 'NODE_PROPERTY_TYPE', property_type: 'STRING; DROP' },
    ],
  ])('is refused if it has %s', (_what, change) => {
    expect(() => parseSchemaLine(JSON.stringify({ ...row, ...change }))).toThrow(InvalidInputError);
  });

  test('is refused as a statement if a setting is not a plain value', () => {
    const line = { ...row, kind: 'FULLTEXT', config: { 'fulltext.analyzer': "x'} RETURN 1 //" } };
    expect(() => createStatement(parseSchemaLine(JSON.stringify(line)))).toThrow(InvalidInputError);
  });
});

test('a quoted name cannot escape from its back-ticks', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const quoted = quote(`${text}\`\\u0060`);
      expect(quoted.startsWith('`') && quoted.endsWith('`')).toBe(true);
      expect(quoted.slice(1, -1).replaceAll('``', '')).not.toContain('`');
      expect(quoted.replaceAll('\\u005C', '')).not.toContain('\\');
    }),
  );
});

describe('a date-time with a zone', () => {
  const node = (datetime: string) =>
    `{"type":"node","id":"1","labels":["E"],"properties":{"t":"${datetime}"},"types":{"t":"datetime"}}`;
  const read = (datetime: string) => canonicalNode(parseNodeLine(node(datetime)));

  test('is the same instant in the same zone, even if the local time was computed with other time-zone tables', () => {
    // Kazakhstan moved from +06:00 to +05:00 in 2024; older tables continue with +06:00.
    const [now, other] = ['2030-07-01T11:00:00+05:00[Asia/Almaty]', '2030-07-01T12:00:00+06:00[Asia/Almaty]'];
    expect(read(now)).toBe(read(other));
    expect(read(now)).not.toBe(read('2030-07-01T12:00:00+05:00[Asia/Almaty]'));
    // Across the end of a year, before the epoch, with nanoseconds.
    expect(read('1949-12-31T23:30:00.000000001-01:00[Europe/Berlin]')).toBe(
      read('1950-01-01T01:30:00.000000001+01:00[Europe/Berlin]'),
    );
  });

  test.each([
    '2020-10-25T02:30:00.123456789+01:00[Europe/Berlin]',
    '2020-10-25T02:30:00.123456789+02:00[Europe/Berlin]',
    '1890-01-01T00:00:00+00:53:28[Europe/Berlin]',
    '-000044-03-15T12:00:00+00:53:28[Europe/Berlin]',
    '+300000-01-01T00:00:00Z[Europe/London]',
  ])('keeps its written form if the tables agree, or do not cover it: %s', (datetime) => {
    expect(read(datetime)).toContain(`"${datetime}"`);
  });

  test('in an unknown zone is refused, and the property is named', () => {
    expect(() => read('2024-01-01T00:00:00+02:00[Nowhere/Unknown]')).toThrow(/property "t" has a value/);
  });
});
