import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, expect, test } from '@jest/globals';
import { backupPlanKey, consistencyKey, sealedKey } from '../../../shared/aws/keys.ts';
import { IntegrityError, NgbakError } from '../../../shared/core/errors.ts';
import { readBack, VerifyState } from '../../../shared/workflows/backup/verify.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { readCheckResult } from '../../../shared/workflows/job/check-leg.ts';
import { buildArchive, DRAFT } from '../../archive/build.ts';
import { freshEnvironment } from '../../support/aws.ts';

const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
let environment: Environment;

beforeAll(async () => {
  environment = await freshEnvironment();
});

/** Puts an archive into the bucket as a running backup has sealed it, and verifies it. */
async function readBackOf(jobId: string, nodes: readonly object[], schema: readonly object[]) {
  const { bucket } = environment;
  const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  const bytes = await buildArchive(
    [
      { name: 'graph/nodes-00001.jsonl', data: Buffer.from(lines(nodes)) },
      { name: 'graph/schema.jsonl', data: Buffer.from(lines(schema)) },
    ],
    {
      draft: {
        ...DRAFT,
        storage_backends: { graph: { kind: 'neo4j', version: '5.26.30', edition: 'community' } },
        scope: { ...DRAFT.scope, stores: ['graph'], scopes: { graph: { label: 'E', key_property: 'id' } } },
        tallies: {},
      },
    },
  );
  const key = `backups/${jobId}.ngbak`;
  await bucket.s3.send(new PutObjectCommand({ Bucket: bucket.name, Key: key, Body: bytes }));
  await bucket.writeRecord(sealedKey(jobId), {
    ...{ key, bytes: bytes.length, crc32: 'AAAAAA==', checksum: 'x', entries: 2, uncompressed_bytes: 1 },
    ...{ statistics: {}, tallies: {} },
  });
  await bucket.writeRecord(consistencyKey(jobId), { grade: 'drifted', changes: {} });
  await bucket.writeRecord(backupPlanKey(jobId), {
    ...{ job_id: jobId, backup_id: jobId, target: 'default', execution_arn: 'arn', type: 'full' },
    ...{ created_at: new Date().toISOString(), request: {}, quiesced: false, scopes: {}, stores: [] },
  });
  return readBack(environment, VerifyState.parse({ job_id: jobId }), leg);
}

const node = (id: string, key: string) => ({ type: 'node', id, labels: ['E'], properties: { id: key } });
const unique = {
  ...{ type: 'constraint', name: 'entity_id', kind: 'UNIQUENESS', entity: 'NODE' },
  ...{ tokens: ['E'], properties: ['id'], config: {} },
};

test('a backup with a node twice, which a constraint forbids, fails with a remedy and without a false alarm', async () => {
  const error = await readBackOf('twice', [node('1', 'a'), node('9', 'a')], [unique]).catch(
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(NgbakError);
  // The alarm for damaged data counts these.
  expect(error).not.toBeInstanceOf(IntegrityError);
  expect(error.message).toMatch(
    /graph: .* the constraint "entity_id" allows only once, because they changed .* \(1: 9\)/,
  );
  expect(error.remedy).toMatch(/Start it again.*hook that pauses the writers/);
});

test('a backup of a damaged store fails, and says how it can be restored nevertheless', async () => {
  const error = await readBackOf('damaged', [{ ...node('1', 'a'), labels: 'E' }], []).catch(
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(IntegrityError);
  expect(error.remedy).toContain('without a safety backup ("safety_backup": false');
});

test('a backup whose records satisfy its constraints passes, with its references counted in the same leg', async () => {
  const state = await readBackOf('once', [node('1', 'a'), node('9', 'b')], [unique]);
  expect(state).toMatchObject({ cursor: null, done: true });
  expect(await readCheckResult(environment.bucket, 'once')).toEqual({
    ...{ warnings: [], references: [], unread: [] },
    regions: { graph: expect.objectContaining({ backup_id: 'once', entries: 2 }) },
  });
});
