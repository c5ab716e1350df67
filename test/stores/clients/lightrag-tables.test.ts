import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { installGraphragClients, installPostgresDrivers } from '../../../local/install/python.ts';
import { type OpenedArchive, openArchive } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import { KeyValueConversion } from '../../../shared/profiles/forms/convert.ts';
import type { FormName } from '../../../shared/profiles/forms/form.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import { findAdapter } from '../../../shared/stores/registry.ts';
import { buildArchive, collect, DRAFT } from '../../archive/build.ts';
import { exportAll, restoreAll } from '../memory-archive.ts';
import { OwnPostgres } from '../postgres/own-server.ts';
import { OwnServer } from '../redis/own-server.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

const parameters = { workspace: 'alpha' };

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

/** What LightRAG's classes for keys and statuses read, without what the classes for PostgreSQL alone add or leave out. */
async function lightrag(action: 'write' | 'read', kind: FormName | 'postgres', workspace: string) {
  const { url, username, password } = postgres.address;
  const { hostname, port } = new URL(url);
  const read = await client([action, kind, workspace, folder], {
    REDIS_URI: `${redis.url}/0`,
    ...{ POSTGRES_HOST: hostname, POSTGRES_PORT: port, POSTGRES_USER: username },
    ...{ POSTGRES_PASSWORD: password, POSTGRES_DATABASE: 'postgres', POSTGRES_MAX_CONNECTIONS: '5' },
  });
  const all: Record<string, unknown> = JSON.parse(read);
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

/** A backup of the workspace, with the manifest of a backup. */
async function backUp(): Promise<OpenedArchive> {
  const { url, username, password } = postgres.address;
  const scope = postgresAdapter.Scope.parse(profileScopes('lightrag', parameters, 'postgres').kv);
  const connection = postgresAdapter.Connection.parse({ url, username, password, tls: false });
  const open = () => postgresAdapter.create(connection, scope, { target: 'test' });
  const { archive, tallies } = await exportAll(open);
  const contents = archive
    .names()
    .map((name) => ({ name, data: archive.files.get(name) ?? Buffer.alloc(0) }));
  const bytes = await buildArchive(contents, {
    draft: {
      ...DRAFT,
      storage_backends: { kv: { kind: 'postgres' } },
      tallies: { kv: tallies },
      scope: {
        ...{ type: 'full', stores: ['kv'], target: 'default', profile: 'lightrag', parameters },
        scopes: { kv: JSON.parse(JSON.stringify(scope)) },
      },
    },
  });
  return openArchive(bufferSource('tables', bytes));
}

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
  const connection = adapter.Connection.parse(kind === 'redis' ? { url: redis.url } : { location: folder });
  const open = () => adapter.create(connection, route.scope, { target: 'test' });
  const { differences, samples } = await restoreAll(open, adapter.view(archive, route));
  expect({ differences, samples }).toEqual({ differences: 0, samples: [] });
}

test('LightRAG reads the same from files and from Redis after its tables of PostgreSQL were converted', async () => {
  await lightrag('write', 'postgres', 'beta');
  await lightrag('write', 'postgres', 'alpha');
  const before = await lightrag('read', 'postgres', 'alpha');
  expect([before.full_docs?.length, before.statuses?.length]).toEqual([25, 10]);
  const source = await backUp();
  for (const form of ['files', 'redis'] as const) {
    const conversion = new KeyValueConversion(source, form, { now: Date.now() });
    const plan = await conversion.survey();
    // The workspace has vectors and a graph in tables, which other classes of LightRAG read.
    expect(plan.losses.map(({ code }) => code)).toEqual(['other-tables']);
    expect(plan.losses[0]?.samples).toContain('lightrag_graph_nodes');
    const { bytes } = await collect(conversion.write(plan, {}));
    const converted = await openArchive(bufferSource(form, bytes));
    await conversion.compare(converted, plan);
    await restore(converted, form);
    expect([form, await lightrag('read', form, 'alpha')]).toEqual([form, before]);
  }
});
