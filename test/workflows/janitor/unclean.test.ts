import { randomBytes } from 'node:crypto';
import {
  CreateSecretCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeEach, expect, test } from '@jest/globals';
import { UNCLEAN, uncleanKey } from '../../../shared/aws/keys.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { reconcile } from '../../../shared/workflows/janitor/reconcile.ts';
import { cleanServers } from '../../../shared/workflows/janitor/unclean.ts';
import { ask, result, sharedServer } from '../../stores/qdrant/support.ts';
import { freshEnvironment } from '../../support/aws.ts';

const server = sharedServer();
const secrets = new SecretsManagerClient({});
const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
const NOW = { reconcile: { grace_seconds: 0 } };
const made: string[] = [];

let environment: Environment;
let secret: string;

/** Sets the password in the target's secret to the current one of the server, or to the one before a rotation. */
async function putSecret(isRight: boolean): Promise<void> {
  const api_key = isRight ? server.apiKey : 'of-yesterday';
  const SecretString = JSON.stringify({ url: server.url, api_key });
  await secrets.send(new PutSecretValueCommand({ SecretId: secret, SecretString }));
}

/** A collection as an interrupted restore leaves it. */
async function leave(): Promise<{ job_id: string; collection: string }> {
  const job_id = `restore_${randomBytes(6).toString('hex')}`;
  const collection = `ngbak-restore.${job_id}.x`;
  await ask(server, 'PUT', `/collections/${collection}`, { vectors: { size: 2, distance: 'Dot' } });
  made.push(collection);
  return { job_id, collection };
}

const exists = async (collection: string) =>
  (await result<{ exists: boolean }>(server, 'GET', `/collections/${collection}/exists`)).exists;

const recorded = async () => {
  const keys: string[] = [];
  for await (const { key } of environment.bucket.keys(UNCLEAN)) keys.push(key);
  return keys;
};

beforeEach(async () => {
  secret = `unclean-${randomBytes(4).toString('hex')}`;
  await secrets.send(new CreateSecretCommand({ Name: secret, SecretString: '{}' }));
  environment = await freshEnvironment({ default: { stores: { vectors: { kind: 'qdrant', secret } } } });
});
afterAll(async () => {
  for (const collection of made) await ask(server, 'DELETE', `/collections/${collection}`);
});

test('a server whose password is being rotated when a job ends is cleaned up by the next run of the janitor', async () => {
  const { job_id, collection } = await leave();
  const job = { job_id, target: 'default' };
  await putSecret(false);
  await cleanServers(environment, job, ['vectors'], leg);
  // Repeated as long as the server does not respond.
  expect(await reconcile(environment, NOW, leg)).toMatchObject({ jobs: [], redriven: 0 });
  expect([await exists(collection), await recorded()]).toEqual([true, [uncleanKey(job_id)]]);

  await putSecret(true);
  expect(await reconcile(environment, NOW, leg)).toMatchObject({ jobs: [job_id], redriven: 0 });
  expect([await exists(collection), await recorded()]).toEqual([false, []]);
  await cleanServers(environment, job, ['vectors'], leg);
  expect(await recorded()).toEqual([]);
});

test('the cleanup of a server that fails for two weeks is given up, and the log names the job', async () => {
  const { job_id } = await leave();
  await putSecret(false);
  await cleanServers(environment, { job_id, target: 'default' }, ['vectors'], leg);
  const since = new Date(Date.now() - 15 * 24 * 3600 * 1000).toISOString();
  const record = { job_id, target: 'default', stores: ['vectors'], since };
  await environment.bucket.writeRecord(uncleanKey(job_id), record);
  const logged: string[] = [];
  const log = (message: string, fields = {}) => void logged.push(`${message} ${JSON.stringify(fields)}`);
  expect(await reconcile({ ...environment, log }, NOW, leg)).toMatchObject({ jobs: [job_id], redriven: 0 });
  expect(logged.join()).toMatch(new RegExp(`removed manually.*${job_id}`));
  expect(await recorded()).toEqual([]);
});
