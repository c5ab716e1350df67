import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { installGraphragClients, installPostgresDrivers } from '../../../local/install/python.ts';
import { type OpenedArchive, openArchive } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import { KeyValueConversion, tablesOf } from '../../../shared/profiles/forms/convert.ts';
import type { FormName } from '../../../shared/profiles/forms/form.ts';
import { jsonbText, parseExact } from '../../../shared/profiles/forms/jsonb.ts';
import { checkArchive } from '../../../shared/stores/check-archive.ts';
import type { TableDefinition } from '../../../shared/stores/postgres/definition.ts';
import { findAdapter } from '../../../shared/stores/registry.ts';
import { collect } from '../../archive/build.ts';
import { restoreAll } from '../memory-archive.ts';
import { OwnPostgres } from '../postgres/own-server.ts';
import { OwnServer } from '../redis/own-server.ts';
import { archiveOf } from './lightrag-archive.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

let client: PythonClient;
let postgres: OwnPostgres;
let redis: OwnServer;
let folder: string;

beforeAll(async () => {
  client = await pythonClient('lightrag_client.py', async (context) =>
    [await installGraphragClients(context), await installPostgresDrivers(context)].join(delimiter),
  );
  postgres = await OwnPostgres.start();
  redis = await OwnServer.start();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-lightrag-tables-'));
  await mkdir(join(folder, 'alpha'));
});
afterAll(async () => {
  await redis.stop();
  await postgres.stop();
  await rm(folder, { recursive: true });
});

/** Everything that LightRAG reads, as printed. */
function printed(action: 'write' | 'read', kind: FormName, workspace: string): Promise<string> {
  const { url, username, password } = postgres.address;
  const { hostname, port } = new URL(url);
  return client([action, kind, workspace, folder], {
    REDIS_URI: `${redis.url}/0`,
    ...{ POSTGRES_HOST: hostname, POSTGRES_PORT: port, POSTGRES_USER: username },
    ...{ POSTGRES_PASSWORD: password, POSTGRES_DATABASE: 'postgres', POSTGRES_MAX_CONNECTIONS: '5' },
  });
}

/** What LightRAG's classes for keys and statuses read, without what the classes for PostgreSQL alone add or leave out. */
async function lightrag(action: 'write' | 'read', kind: FormName, workspace: string) {
  const all: Record<string, unknown> = JSON.parse(await printed(action, kind, workspace));
  return Object.fromEntries(
    Object.entries(all)
      .filter(([name]) => /^(full_|text_|llm_|entity_|relation_|status)/.test(name))
      .map(([name, values]) => [name, (values as unknown[]).map((value) => comparable(name, value))]),
  );
}

/** A value without its key, and without fields that are null or an empty object: the classes add these. */
function comparable(namespace: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const isAdded = (name: string, field: unknown) =>
    field === null ||
    JSON.stringify(field) === '{}' ||
    ['id', '_id', 'return_value'].includes(name) ||
    // The class for PostgreSQL does not read the times of documents.
    (namespace === 'full_docs' && ['create_time', 'update_time'].includes(name));
  return Object.fromEntries(Object.entries(value).filter(([name, field]) => !isAdded(name, field)));
}

function opener(kind: FormName, scope: unknown) {
  const { url, username, password } = postgres.address;
  const connections: Readonly<Record<FormName, object>> = {
    files: { location: folder },
    redis: { url: redis.url },
    postgres: { url, username, password, tls: false },
  };
  const adapter = findAdapter(kind, 'kv');
  const connection = adapter.Connection.parse(connections[kind]);
  return () => adapter.create(connection, adapter.Scope.parse(scope), { target: 'test' });
}

/** A backup of a workspace, with the manifest of a backup. */
async function backUp(kind: FormName, workspace: string): Promise<OpenedArchive> {
  const bytes = await archiveOf(kind, workspace, (scope) => opener(kind, scope));
  return openArchive(bufferSource(kind, bytes));
}

/** Converts without asking, and verifies the result as the command does. */
async function convert(source: OpenedArchive, form: FormName, tables?: TableDefinition[]) {
  const conversion = new KeyValueConversion(source, form, { now: Date.now(), tables });
  const plan = await conversion.survey();
  const archive = bufferSource(form, (await collect(conversion.write(plan, {}))).bytes);
  const { problems } = await checkArchive(archive, {
    ...{ cursor: null, state: null },
    timeLeft: () => Number.POSITIVE_INFINITY,
  });
  expect(problems).toEqual([]);
  const converted = await openArchive(archive);
  await conversion.compare(converted, plan);
  return { ...plan, converted };
}

/** Restores as a job does: within the subset of the archive, into the scope that it states. */
async function restore(archive: OpenedArchive, kind: FormName): Promise<void> {
  const adapter = findAdapter(kind, 'kv');
  const { scope } = archive.manifest;
  const saved = adapter.Scope.parse(scope.scopes?.kv);
  const route = await adapter.route(archive, saved, saved, {
    only: scope.only ?? {},
    rename: {},
    sameProfile: true,
    origin: undefined,
  });
  const { differences, samples } = await restoreAll(opener(kind, route.scope), adapter.view(archive, route));
  expect({ differences, samples }).toEqual({ differences: 0, samples: [] });
}

test('LightRAG reads the same from files and from Redis after its tables of PostgreSQL were converted, and after they came back', async () => {
  await lightrag('write', 'postgres', 'beta');
  await lightrag('write', 'postgres', 'alpha');
  const before = await lightrag('read', 'postgres', 'alpha');
  const everything = await printed('read', 'postgres', 'alpha');
  const other = await printed('read', 'postgres', 'beta');
  expect([before.full_docs?.length, before.statuses?.length]).toEqual([25, 10]);
  const source = await backUp('postgres', 'alpha');
  const tables = await tablesOf(source);
  for (const form of ['files', 'redis'] as const) {
    const { losses, converted } = await convert(source, form);
    // The workspace has vectors and a graph in tables, which other classes of LightRAG read.
    expect(losses.map(({ code }) => code)).toEqual(['other-tables']);
    expect(losses[0]?.samples).toContain('lightrag_graph_nodes');
    await restore(converted, form);
    expect([form, await lightrag('read', form, 'alpha')]).toEqual([form, before]);

    const connection = await postgres.connect();
    await connection.query("DELETE FROM lightrag_doc_full WHERE workspace = 'alpha'");
    await connection.query("INSERT INTO lightrag_entity_chunks (workspace, id) VALUES ('alpha', 'new')");
    const back = await convert(await backUp(form, 'alpha'), 'postgres', tables);
    expect(back.losses).toEqual([]);
    await restore(back.converted, 'postgres');
    // Vectors and the graph, in other tables of the same scope, were left alone.
    expect(await printed('read', 'postgres', 'alpha')).toBe(everything);
    expect(await printed('read', 'postgres', 'beta')).toBe(other);
    await connection.end();
  }
});

test('values are written as PostgreSQL prints them', async () => {
  const connection = await postgres.connect();
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.tuple(fc.bigInt(), fc.nat(), fc.integer({ min: -30, max: 30 })).map(([a, b, c]) => `${a}.${b}e${c}`),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom('null', 'true', 'false', '-0', '-0.00', '1.50', '1e2', '0.1e-7'),
      number,
      fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)),
      fc.array(tie('value')).map((inner) => `[${inner.join(',')}]`),
      fc
        .array(fc.tuple(fc.string({ unit: 'grapheme' }), tie('value')))
        .map((inner) => `{${inner.map(([name, one]) => `${JSON.stringify(name)}: ${one}`).join(' , ')}}`),
    ),
  }));
  await fc.assert(
    fc.asyncProperty(value, async (json) => {
      const text = jsonbText(parseExact(String(json)));
      if (String(json).includes('\\u0000')) return;
      const { rows } = await connection.query('SELECT $1::jsonb::text AS text', [json]);
      expect(text).toBe(rows[0].text);
    }),
    { numRuns: 300 },
  );
  await connection.end();
});
