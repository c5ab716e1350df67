import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterEach, expect, test } from '@jest/globals';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { pauseWriters, resumeWriters, sign } from '../../../shared/workflows/job/hooks.ts';
import { createJob, readJob } from '../../../shared/workflows/job/record.ts';
import { freshEnvironment } from '../../support/aws.ts';

const key = 'a signing key of the test';
const calls: { headers: IncomingMessage['headers']; body: string }[] = [];
const closers: (() => void)[] = [];
afterEach(() => {
  calls.length = 0;
  for (const close of closers.splice(0)) close();
});

/** A webhook on loopback that returns these statuses, one after the other, then always the last. */
async function webhook(...statuses: number[]): Promise<Environment> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      calls.push({ headers: request.headers, body });
      response.statusCode = statuses[Math.min(calls.length, statuses.length) - 1] ?? 500;
      response.end('some answer');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const secret = `hook-${Math.random().toString(36).slice(2)}`;
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({ Name: secret, SecretString: JSON.stringify({ signing_key: key }) }),
  );
  const environment = await freshEnvironment();
  // The schema accepts https only; the test's server has no certificate, so the target is set after validation.
  environment.config.targets.default = {
    profile: 'custom',
    parameters: {},
    stores: {},
    shrink_warning_percent: 50,
    full_reading: { every_backups: 24, every_days: 7 },
    configuration: {},
    hooks: { pause: { url, secret }, resume: { url, secret }, timeout_seconds: 60 },
  };
  const now = new Date().toISOString();
  await createJob(environment.bucket, {
    job_id: 'job',
    kind: 'backup',
    target: 'default',
    state: 'processing',
    created_at: now,
    updated_at: now,
  });
  return environment;
}

test('writers are paused once and resumed once, by calls whose signature the receiver can verify', async () => {
  const environment = await webhook(200);
  expect(await pauseWriters(environment, 'default', 'job')).toBe(true);
  await resumeWriters(environment, 'default', 'job');
  await resumeWriters(environment, 'default', 'job');
  expect(calls.map(({ body }) => JSON.parse(body).action)).toEqual(['pause', 'resume']);
  for (const { headers, body } of calls) {
    expect(headers['x-ngbak-signature']).toBe(sign(key, String(headers['x-ngbak-timestamp']), body));
  }
});

test('a hook that fails once is called again', async () => {
  const environment = await webhook(503, 200);
  await pauseWriters(environment, 'default', 'job');
  expect(calls).toHaveLength(2);
});

test('a hook that keeps failing is an error that names it, and the writers are still resumed later', async () => {
  const environment = await webhook(500);
  await expect(pauseWriters(environment, 'default', 'job')).rejects.toThrow(
    /could not be paused.*127\.0\.0\.1/,
  );
  expect((await readJob(environment.bucket, 'job'))?.writers).toBe('paused');
});

test('without hooks, nothing is called and nothing is claimed', async () => {
  const environment = await freshEnvironment();
  expect(await pauseWriters(environment, 'default', 'job')).toBe(false);
});
