/** All steps of a backup of PostgreSQL, and of a drill of it, in this process. */
import { randomBytes } from 'node:crypto';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { readDrill } from '../../../shared/workflows/drill/record.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { OwnPostgres } from '../../stores/postgres/own-server.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { runDrill } from '../restore/run-restore.ts';
import { LEG, runBackup } from './run-backup.ts';

let server: OwnPostgres;
let client: Client;
let environment: Environment;

beforeAll(async () => {
  server = await OwnPostgres.start();
  client = await server.connect();
  await client.query(
    `CREATE EXTENSION vector; CREATE TABLE docs (id text PRIMARY KEY, v vector(3));
     INSERT INTO docs SELECT 'd' || n, ARRAY[n, 0.1, -n]::vector FROM generate_series(1, 200) n;
     CREATE INDEX ON docs USING hnsw (v vector_l2_ops)`,
  );
  const secret = `postgres-${randomBytes(6).toString('hex')}`;
  const { url, username, password } = server.address;
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({
      Name: secret,
      SecretString: JSON.stringify({ url, username, password, tls: false }),
    }),
  );
  environment = await freshEnvironment({ default: { stores: { kv: { kind: 'postgres', secret } } } });
});

afterAll(() => server.stop());

test('a backup is consistent, verified and catalogued; a drill proves that it can be restored, and leaves nothing', async () => {
  const before = await server.dump('public');
  const start = new Date('2026-01-02T03:04:05Z');
  const { record, archive } = await runBackup(environment, {}, { start });
  expect(record).toMatchObject({
    consistency: { grade: 'unchanged' },
    tallies: { kv: { tables: { count: 1 }, 'rows:docs': { count: 200 } } },
  });
  expect(record.warnings ?? []).toEqual([]);
  expect(archive.manifest.storage_backends.kv).toMatchObject({ kind: 'postgres', version: '18.6' });

  const job_id = await runDrill(environment, { ...LEG, timeLeft: () => 0 });
  expect(await readDrill(environment.bucket, job_id)).toMatchObject({
    verdict: 'passed',
    backup_id: record.backup_id,
    stores: { kv: { verified: true, removed: true, read_back: { 'rows:docs': { count: 200 } } } },
  });
  const { rows } = await client.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ngbak%'");
  expect(rows).toEqual([]);
  expect(await server.dump('public')).toBe(before);
});

test('tables that did not change are carried into the next backup, and read again after a change', async () => {
  const readingOf = async (start: string) => {
    const { record } = await runBackup(environment, {}, { start: new Date(start) });
    expect(record).toMatchObject({ tallies: { kv: { 'rows:docs': { count: 200 } } } });
    return record.readings?.kv;
  };
  expect(await readingOf('2026-01-03T03:00:00Z')).toMatchObject({ carried: 0 });
  const carried = await readingOf('2026-01-03T04:00:00Z');
  expect(carried).toMatchObject({ carried: 1, from: 'snapshot_2026-01-03T03-00-00Z' });
  await client.query("UPDATE docs SET v = v WHERE id = 'd1'");
  const read = await readingOf('2026-01-03T05:00:00Z');
  expect(read).toMatchObject({ carried: 0, reason: expect.stringContaining('next_transaction') });
});
