import type { Client } from 'pg';

/** Every type of the layouts that are saved, with values at their limits. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  smallint: ['-32768', '32767'],
  integer: ['-2147483648', '0'],
  bigint: ['-9223372036854775808', '9223372036854775807'],
  'numeric(40,10)': ['123456789012345678901234567890.0123456789', '-0.0000000001'],
  numeric: ["'NaN'", "'-Infinity'", '1e-300', '1.50', '1.5000'],
  real: ["'1.1754944e-38'", "'3.4028235e38'", "'-0'", "'NaN'", '0.1'],
  'double precision': [
    "'5e-324'",
    "'1.7976931348623157e308'",
    "'-0'",
    "'Infinity'",
    '0.1',
    '0.30000000000000004',
  ],
  boolean: ['true', 'false'],
  text: [
    "''",
    "E'\\\\N'",
    "E'tab\\there\\nline\\rback\\\\slash\\b\\f\\v'",
    "'ä 漢 \u{1f600} \u2028 \ufeff \u0085'",
    "E'\\\\.'",
  ],
  'character varying(10)': ["'ab  '", "'%_'"],
  'character(5)': ["'a'"],
  bytea: ["'\\x00ff5c0a'", "''"],
  date: ["'infinity'", "'4713-01-01 BC'", "'5874897-12-31'"],
  'time(3) without time zone': ["'23:59:59.999'"],
  'time with time zone': ["'12:00:00.000001+05:30'"],
  'timestamp(0) without time zone': ["'2026-01-02 03:04:05.6'", "'-infinity'"],
  'timestamp with time zone': ["'2026-03-29 02:30:00.123456+02'", "'0044-03-15 12:00 BC'"],
  interval: ["'-1 year 2 days -03:04:05.000006'"],
  uuid: ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
  json: [`'{"b": 1,  "a": 1e2, "b": 2}'`],
  jsonb: [`'{"b": 1, "a": 100000000000000000000.10, "é": "\\u00e9\\n"}'`, "'null'"],
  inet: ["'192.168.0.1/24'", "'::1'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  'bit(5)': ["B'10101'"],
  'bit varying': ["B'1'", "B''"],
  int4range: ["'[1,5)'", "'empty'"],
  tstzmultirange: ["'{[2026-01-01 00:00+00,2026-02-01 00:00+00)}'"],
  point: ["'(1.5,-0)'"],
  tsvector: ["'''a b'':1A fat:2'"],
  'integer[]': ["'{{1,NULL},{3,4}}'", "'{}'", "'[0:1]={1,2}'"],
  'text[]': [`'{"a,b","c\\"d",NULL,"NULL",""}'`],
  'vector(3)': ["'[1e-38,3.4028235e38,-0]'", "'[0.1,0.2,0.30000001]'"],
  'halfvec(3)': ["'[6e-8,65504,-0]'", "'[0.1,0.3333,-1e-7]'"],
  'sparsevec(5)': ["'{1:0.1,5:-2}/5'", "'{}/5'"],
};

const NAMED_TYPES = Object.keys(VALUES).map((type, at) => ({
  type,
  column: `c${at}`,
  values: VALUES[type] ?? [],
}));

/** Everything that a table can have, in a schema of its own. `reader` is a role. */
export function tablesOf(schema: string, reader: string): string[] {
  const columns = NAMED_TYPES.map(({ type, column }) => `${column} ${type}`);
  const deep = Math.max(...NAMED_TYPES.map(({ values }) => values.length));
  const rows = Array.from({ length: deep + 1 }, (_, row) =>
    [String(row), ...NAMED_TYPES.map(({ values }) => values[row] ?? 'NULL')].join(', '),
  );
  return [
    `SET search_path = ${schema}, public`,
    `CREATE TABLE types (id integer PRIMARY KEY, ${columns.join(', ')})`,
    ...rows.map((row) => `INSERT INTO types VALUES (${row})`),
    `CREATE TABLE docs (workspace varchar(255), id varchar(255) COLLATE "C", content text,
       meta jsonb DEFAULT '{"a": [1, 2]}'::jsonb NOT NULL, tags varchar[], created timestamp(0) DEFAULT CURRENT_TIMESTAMP,
       CONSTRAINT docs_pk PRIMARY KEY (workspace, id), CONSTRAINT docs_short CHECK (length(content) < 100000 OR content LIKE 'a%'))`,
    `INSERT INTO docs SELECT CASE WHEN n % 3 = 0 THEN '' ELSE 'main' END, 'doc-' || n || repeat(chr(200 + n % 50), n % 4),
       repeat(E'line\\t' || n || E'\\n', n % 9), jsonb_build_object('n', n), ARRAY['x', NULL, n::text],
       '2026-01-01 00:00:00'::timestamp + n * interval '1 second' FROM generate_series(1, 150) n`,
    'CREATE INDEX docs_meta ON docs USING gin (meta jsonb_path_ops)',
    "CREATE INDEX docs_lower ON docs (lower(content) varchar_pattern_ops, workspace DESC NULLS LAST) WHERE workspace <> ''",
    'CREATE UNIQUE INDEX docs_created ON docs (created, id) INCLUDE (tags) WITH (fillfactor=70)',
    'CREATE INDEX docs_trigrams ON docs USING gin (content gin_trgm_ops)',
    `CREATE TABLE chunks (workspace varchar(255), id varchar(255), doc varchar(255) COLLATE "C", position integer GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5),
       dense vector(8), half halfvec(8), length integer GENERATED ALWAYS AS (char_length((id)::text)) STORED,
       twice integer GENERATED ALWAYS AS (char_length((id)::text) * 2) VIRTUAL, UNIQUE NULLS NOT DISTINCT (workspace, doc, position),
       PRIMARY KEY (workspace, id), CONSTRAINT of_doc FOREIGN KEY (workspace, doc) REFERENCES docs ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)`,
    `INSERT INTO chunks (workspace, id, doc, dense, half) SELECT workspace, 'chunk-' || id, id, v::vector, v::halfvec
       FROM docs, LATERAL (SELECT array_agg(round((sin(length(content) + s * 0.7) + ascii(right(id, 1)) / 97.0)::numeric, 6)::real) v FROM generate_series(1, 8) s) x`,
    'SET CONSTRAINTS ALL IMMEDIATE',
    'CREATE INDEX chunks_hnsw ON chunks USING hnsw (dense vector_cosine_ops) WITH (m = 8, ef_construction = 32)',
    'CREATE INDEX chunks_ivfflat ON chunks USING ivfflat (half halfvec_l2_ops) WITH (lists = 4)',
    'CREATE INDEX chunks_bits ON chunks USING hnsw ((binary_quantize(dense)::bit(8)) bit_hamming_ops)',
    `CREATE UNLOGGED TABLE "Odd ""Näme" (workspace text, "Key.1" bigserial, "select" text DEFAULT 'it''s \\', PRIMARY KEY ("Key.1", workspace))`,
    `INSERT INTO "Odd ""Näme" (workspace, "select") VALUES ('main', 'x'), ('', NULL), ('main', DEFAULT)`,
    'CREATE TABLE empty (workspace text, id uuid DEFAULT gen_random_uuid() PRIMARY KEY, up_to int CHECK (up_to > 0))',
    `GRANT SELECT ON docs TO ${reader}`,
    `GRANT INSERT, UPDATE ON "Odd ""Näme" TO ${reader} WITH GRANT OPTION`,
    `GRANT USAGE ON SEQUENCE "Odd ""Näme_Key.1_seq" TO ${reader}`,
    'RESET search_path',
  ];
}

/** Creates a schema with these tables. */
export async function plant(client: Client, schema: string, reader: string): Promise<void> {
  await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE; CREATE SCHEMA ${schema}`);
  await client.query(tablesOf(schema, reader).join(';\n'));
}

/** Removes all tables of a schema. */
export async function removeTables(client: Client, schema: string): Promise<void> {
  await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE; CREATE SCHEMA ${schema}`);
}
