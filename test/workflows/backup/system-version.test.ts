/** What the data reveals about the version of the GraphRAG system: in the record, in the manifest, and at a restore. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { readInspection } from '../../../shared/workflows/restore/inspection.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { inspectRestore } from '../restore/run-restore.ts';
import { runBackup } from './run-backup.ts';

let folder: string;
let secret: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-system-version-'));
  secret = `files-${randomBytes(6).toString('hex')}`;
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({ Name: secret, SecretString: JSON.stringify({ location: folder }) }),
  );
  await mkdir(join(folder, 'output'));
  await writeFile(join(folder, 'output/create_final_entities.parquet'), 'PAR1 PAR1');
});
afterAll(() => rm(folder, { recursive: true }));

function environmentOf(settings: object): Promise<Environment> {
  return freshEnvironment({
    default: { profile: 'ms-graphrag', stores: { kv: { kind: 'files', secret } }, ...settings },
  });
}

/** The warnings of the inspection of a restore. */
async function inspect(environment: Environment, backup_id: string) {
  const { job_id } = await inspectRestore(environment, { backup_id, confirm: 'default', dry_run: true });
  return readInspection(environment.bucket, job_id);
}

test('is recorded, and named when a restore would put an old layout under a newer system', async () => {
  const environment = await environmentOf({});
  const { record, archive } = await runBackup(environment, {}, { start: new Date('2026-01-02T03:04:05Z') });
  const evidence = {
    before: '2.0.0',
    marks: [{ store: 'kv', kind: 'file', name: 'output/create_final_entities.parquet' }],
  };
  expect(record.system_evidence).toEqual(evidence);
  expect(archive.manifest.system_evidence).toEqual(evidence);
  expect((await inspect(environment, record.backup_id)).warnings).toEqual([]);

  await rename(join(folder, 'output/create_final_entities.parquet'), join(folder, 'output/entities.parquet'));
  const inspection = await inspect(environment, record.backup_id);
  expect(inspection.archive.system_evidence).toEqual(evidence);
  expect(inspection.warnings).toEqual([
    expect.stringMatching(/of a version before 2.0.0, and the target has 2.0.0 or later: .* index again/),
  ]);
});

test('differs from the configured one: the backup has a warning', async () => {
  const environment = await environmentOf({ system_version: '1.2.4' });
  const { record } = await runBackup(environment, {}, { start: new Date('2026-01-02T03:04:06Z') });
  expect(record).toMatchObject({ system_version: '1.2.4', system_evidence: { since: '2.0.0' } });
  expect(record.warnings).toEqual(
    expect.arrayContaining([expect.objectContaining({ store: 'kv', code: 'system-version-differs' })]),
  );
});
