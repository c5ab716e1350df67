import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Bucket } from '../../shared/aws/bucket.ts';
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
  return {
    read: await readRunningConfiguration(config, 'default', context, { isNeeded: () => isNeeded }),
    warnings,
  };
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

test('settings are read from keys outside of the scope, masked; a key without settings is a warning', async () => {
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

test('settings are read from the files that the profile knows, if they exist, and from no other folder', async () => {
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

describe('a separate folder next to a key-value store in Redis', () => {
  const bucket = `settings-${id}`;
  const s3 = new S3Client({});
  const put = (Key: string, Body: string) => s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
  const target = (location: string, more: object = {}, folderMore: object = {}) => ({
    profile: 'ngraf-023',
    parameters: { namespace: id },
    stores: { kv: { kind: 'redis', secret: `settings-kv-${id}` } },
    configuration_folder: { location, ...folderMore },
    ...more,
  });
  const files: Record<string, string> = {
    'settings.yaml': 'models:\n  chat:\n    model: gpt-x\n    api_key: hunter2\nchunks: 1200\n',
    '.env': 'OPENAI_API_KEY=hunter2\nTOP_K=60\n',
    'prompts.json': '{"limit": 3}',
    'other.json': '{"never": "read"}',
  };
  const EXPECTED = {
    'settings.yaml': { models: { chat: { model: 'gpt-x', api_key: '***' } }, chunks: 1200 },
    '.env': { OPENAI_API_KEY: '***', TOP_K: '60' },
    'prompts.json': { limit: 3 },
  };

  beforeAll(async () => {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
    for (const [name, text] of Object.entries(files)) {
      await put(`kb/${name}`, text);
      await writeFile(join(folder, name), text);
    }
    await put('kb/settings.yml.bak', 'not: this');
  });
  afterAll(async () => {
    await new Bucket(bucket, s3).removeAll('');
    await s3.send(new DeleteBucketCommand({ Bucket: bucket }));
    s3.destroy();
  });

  test.each([
    ['a prefix in S3', () => `s3://${bucket}/kb`],
    ['a mounted folder', () => folder],
  ])('in %s: the files that the profile knows and those that are named, masked', async (_, location) => {
    const found = await read(target(location(), {}, { files: ['prompts.json', 'absent.json'] }));
    expect(found.read).toEqual(EXPECTED);
    expect(found.warnings).toEqual([
      expect.objectContaining({ code: 'configuration-left-out', count: 1, samples: ['absent.json'] }),
    ]);
  });

  test.each([
    ['an empty prefix', () => `s3://${bucket}/nothing`, /has no files of settings/],
    ['a bucket that does not exist', () => `s3://none-${id}/kb`, /cannot be read: .*NoSuchBucket/],
    ['a folder that does not exist', () => join(folder, 'none'), /cannot be read: .*ENOENT/],
  ])('%s is a warning, and does not fail the job', async (_, location, text) => {
    const found = await read(target(location()));
    expect(found.read).toEqual({});
    // Warnings with the same text are merged by the collector.
    expect([...new Set(found.warnings.map((warning) => warning.text))]).toEqual([
      expect.stringMatching(text),
    ]);
    expect(found.warnings.flatMap(({ samples }) => samples)).toEqual([
      'settings.yaml',
      'settings.yml',
      '.env',
    ]);
  });

  test('keys of Redis are read as well, all within limits', async () => {
    const [text = ''] = FROM;
    await redis.set(text, '{"model": "a"}');
    await put('kb/large.json', JSON.stringify({ text: 'x'.repeat(70_000) }));
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      await put(`kb/${name}.json`, JSON.stringify({ text: 'y'.repeat(60_000) }));
    const named = ['large.json', 'a.json', 'b.json', 'c.json', 'd.json', 'e.json'];
    const found = await read(target(`s3://${bucket}/kb`, { configuration_from: [text] }, { files: named }));
    expect(Object.keys(found.read)).toEqual([text, 'a.json', 'b.json', 'c.json', 'd.json']);
    expect(found.warnings.map(({ samples }) => samples)).toEqual([['large.json'], ['e.json']]);
  });
});

test('an unreachable store fails only a job that needs it anyway', async () => {
  const kv = {
    kind: 'redis',
    secret: await secret('settings-closed', { url: 'redis://127.0.0.1:1' }),
    scope: { prefix: 'x:' },
  };
  const target = { stores: { kv }, configuration_from: ['settings'] };
  expect(await read(target, false)).toMatchObject({ read: {}, warnings: [{ samples: ['settings'] }] });
  await expect(read(target, true)).rejects.toMatchObject({ name: 'UnavailableError' });
});
