import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { NgbakConfig } from '../../shared/core/config.ts';
import { readRunningConfiguration } from '../../shared/profiles/running-configuration.ts';
import type { StoreWarning } from '../../shared/stores/warning.ts';
import { servers } from '../servers.ts';
import { legContext } from '../stores/memory-archive.ts';

const id = randomBytes(6).toString('hex');
const FROM = ['text', 'hash', 'list', 'large', 'words', 'absent'].map((name) => `settings-${id}:${name}`);
let redis: Redis;
let folder: string;

async function read(target: object, isNeeded = true) {
  const config = NgbakConfig.parse({ targets: { default: target } });
  const warnings: StoreWarning[] = [];
  const context = legContext({ warn: (warning) => void warnings.push(warning) });
  return { read: await readRunningConfiguration(config, 'default', context, { isNeeded }), warnings };
}

async function secret(name: string, connection: object): Promise<string> {
  const Name = `${name}-${id}`;
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({ Name, SecretString: JSON.stringify(connection) }),
  );
  return Name;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-settings-'));
  redis = new Redis(servers.redis.url, { password: servers.redis.password });
});
afterAll(async () => {
  await redis.del(FROM);
  redis.disconnect();
  await rm(folder, { recursive: true });
});

test('settings are read from keys outside of the scope, masked; what holds no settings is a warning', async () => {
  const [text = '', hash = '', list = '', large = '', words = ''] = FROM;
  await redis.set(text, JSON.stringify({ model: 'a', api_key: 'hunter2hunter2' }));
  await redis.hset(hash, {
    chunk_size: '1200',
    OPENAI_API_KEY: 'hunter2hunter2',
    nested: '{"password": "p"}',
  });
  await redis.rpush(list, 'a');
  await redis.set(large, 'x'.repeat(70_000));
  await redis.set(words, 'hunter2hunter2');
  const kv = {
    kind: 'redis',
    secret: await secret('settings-kv', { url: servers.redis.url, password: servers.redis.password }),
    scope: { prefix: `other-${id}:` },
  };
  const found = await read({ stores: { kv }, configuration_from: FROM });
  expect(found.read).toEqual({
    [text]: { model: 'a', api_key: '***' },
    [hash]: { chunk_size: '1200', OPENAI_API_KEY: '***', nested: '{"password":"***"}' },
  });
  expect(found.warnings.map(({ code, samples }) => [code, samples])).toEqual(
    FROM.slice(2).map((name) => ['configuration-left-out', [name]]),
  );
  expect(JSON.stringify(found)).not.toContain('hunter2');
});

test('settings are read from the files that the profile knows, where they exist, and from no other folder', async () => {
  await writeFile(join(folder, '.env'), 'LLM_BINDING_API_KEY=hunter2\nTOP_K=60\n');
  await writeFile(join(folder, 'config.ini'), '[neo4j]\nuri = neo4j://x\npassword = hunter2\n');
  const kv = { kind: 'files', secret: await secret('settings-files', { location: folder }) };
  const found = await read({
    profile: 'lightrag',
    parameters: { workspace: '' },
    stores: { kv },
    configuration_from: ['../secrets.env'],
  });
  expect(found.read).toEqual({
    '.env': { LLM_BINDING_API_KEY: '***', TOP_K: '60' },
    'config.ini': { neo4j: { uri: 'neo4j://x', password: '***' } },
  });
  expect(found.warnings).toMatchObject([{ code: 'configuration-left-out', samples: ['../secrets.env'] }]);
});

test('a store that cannot be reached fails only a job that needs it in any case', async () => {
  const kv = {
    kind: 'redis',
    secret: await secret('settings-closed', { url: 'redis://127.0.0.1:1' }),
    scope: { prefix: 'x:' },
  };
  const target = { stores: { kv }, configuration_from: ['settings'] };
  expect(await read(target, false)).toMatchObject({ read: {}, warnings: [{ samples: ['settings'] }] });
  await expect(read(target, true)).rejects.toMatchObject({ name: 'UnavailableError' });
}, 60_000);
