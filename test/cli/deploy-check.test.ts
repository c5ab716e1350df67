import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Checked } from '../../cli/deploy-check.ts';
import { freshEnvironment } from '../support/aws.ts';
import { run } from './run.ts';

let folder: string;
beforeAll(async () => {
  await freshEnvironment();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-check-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function check(config: unknown): Promise<{ code: number | null; checks: Checked[] }> {
  const file = join(folder, 'config.json');
  await writeFile(file, JSON.stringify(config));
  const ran = await run(['--json', 'deploy', '--check', '--config', file], {});
  const lines = ran.stdout.trim().split('\n');
  return { code: ran.code, checks: JSON.parse(lines[0] ?? '{}').data?.checks ?? [ran.stderr] };
}

test('the checklist shows what is missing before and after a deployment, and changes nothing', async () => {
  const stackName = `Check${randomBytes(4).toString('hex')}`;
  const filled = `filled-${stackName}`;
  const SecretString = JSON.stringify({ url: 'redis://127.0.0.1:6379', password: 'a-password' });
  await new SecretsManagerClient({}).send(new CreateSecretCommand({ Name: filled, SecretString }));
  const stores = { graph: { kind: 'neo4j' }, kv: { kind: 'redis', secret: filled } };
  const { checks } = await check({
    stackName,
    targets: { default: { profile: 'ngraf-023', parameters: { namespace: 'default' }, stores } },
  });
  const found = new Map(checks.map(({ name, ...rest }) => [name, rest]));
  expect(found.get('configuration')).toMatchObject({
    state: 'ok',
    message: expect.stringContaining(stackName),
  });
  expect(found.get('Lambda: concurrent executions')?.message).toMatch(/^\d+, of which \d+/);
  expect(found.get('stack')).toMatchObject({ state: 'warning' });
  expect(found.get('connection of default/kv')).toMatchObject({ state: 'ok' });
  expect(found.get('connection of default/graph')).toMatchObject({
    state: 'warning',
    message: expect.stringContaining(`${stackName}/default/graph`),
  });
  expect(JSON.stringify(checks)).not.toContain('a-password');
}, 60_000);

test('a wrong configuration fails the check', async () => {
  const { code, checks } = await check({ targets: { default: { stores: { graph: { kind: 'no-such' } } } } });
  expect(code).not.toBe(0);
  expect(checks[0]).toMatchObject({ name: 'configuration', state: 'failed' });
}, 60_000);
