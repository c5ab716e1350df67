import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import {
  CreateSecretCommand,
  GetSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { openConfiguration } from '../../cli/configuration-file.ts';
import type { DeploymentContext } from '../../cli/deploy-check.ts';
import { fillConnections } from '../../cli/fill-connections.ts';
import { namedStores } from '../../cli/known-stores.ts';
import { hiddenFromFunctions, targetFor } from '../../cli/write-target.ts';
import { servers } from '../servers.ts';
import { freshEnvironment } from '../support/aws.ts';
import { type Ran, run } from './run.ts';

/** `ngbak doctor --write` and `ngbak deploy --connections`: from running servers to a target with its connections. */

// A database that no other test uses.
const DATABASE = 13;
let redis: Redis;
let folder: string;
let file: string;
/** What the file holds besides the target. */
const OTHERS = { app: 'tsx infra/app.ts', context: { '@aws-cdk/core:flag': true } };
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  const { url, password } = servers.redis;
  environment = { NEO4J_URI: '', QDRANT_URL: '', REDIS_URL: `${url}/${DATABASE}`, REDIS_PASSWORD: password };
  redis = new Redis(url, { password, db: DATABASE });
  folder = await mkdtemp(join(tmpdir(), 'ngbak-write-'));
});
beforeEach(async () => {
  await redis.flushdb();
  await redis.mset({
    'nano_graphrag:text_chunks:1': '{}',
    'nano_graphrag:full_docs:1': '{}',
    'other:1': 'x',
  });
  file = join(folder, `cdk-${randomBytes(4).toString('hex')}.json`);
  await writeFile(
    file,
    JSON.stringify({ ...OTHERS, context: { ...OTHERS.context, ngbak: { nodeVersion: 22 } } }),
  );
});
afterAll(async () => {
  await redis.flushdb();
  redis.disconnect();
  await rm(folder, { recursive: true });
});

const write = (...args: string[]) => run(['--json', 'doctor', '--write', file, ...args], environment);
/** The message of the error that the command ended with. */
const problemOf = (ran: Ran) => String(ran.lines().at(-1)?.data.message);
const written = async () => JSON.parse(await readFile(file, 'utf8'));

describe('ngbak doctor --write', () => {
  test('writes the target of the stores that it finds, and nothing else; the password is nowhere', async () => {
    const ran = await write('--parameter', 'namespace=demo');
    expect(ran.code).toBe(0);
    const settings = {
      profile: 'ngraf-023',
      parameters: { root: 'nano_graphrag', namespace: 'demo' },
      stores: { kv: { kind: 'redis' } },
    };
    expect(await written()).toEqual({
      ...OTHERS,
      context: { ...OTHERS.context, ngbak: { nodeVersion: 22, targets: { default: settings } } },
    });
    expect(ran.lines().find(({ type }) => type === 'target-written')?.data).toMatchObject({
      target: 'default',
      settings,
      covered: [
        {
          store: 'kv',
          kind: 'redis',
          saved: { 'keys:full_docs': 1, 'keys:text_chunks': 1 },
          all: { 'keys:_other': 3 },
        },
      ],
      warnings: [expect.stringContaining('functions in AWS cannot reach 127.0.0.1')],
      next: [`ngbak deploy --config ${file} --connections`, 'ngbak backup --wait'],
    });
    expect(ran.stdout + ran.stderr + (await readFile(file, 'utf8'))).not.toContain(servers.redis.password);
  });

  test('writes a second target next to the first, and replaces one only if that is confirmed', async () => {
    await write('--parameter', 'namespace=demo');
    expect((await write('--profile', 'custom', '--target', 'all')).code).toBe(0);
    const both = (await written()).context.ngbak.targets;
    expect(Object.keys(both)).toEqual(['default', 'all']);
    expect(both.all).toEqual({ profile: 'custom', stores: { kv: { kind: 'redis' } } });
    // The same once more needs no confirmation.
    expect((await write('--parameter', 'namespace=demo')).code).toBe(0);
    const refused = await write('--profile', 'custom');
    expect(refused.code).toBe(2);
    expect(refused.stdout).toContain('Replace it?');
    expect((await written()).context.ngbak.targets).toEqual(both);
    expect((await write('--profile', 'custom', '--yes')).code).toBe(0);
    expect((await written()).context.ngbak.targets.default.profile).toBe('custom');
  });

  test.each<[string, string[], RegExp]>([
    ['a missing parameter', [], /namespace/],
    ['an unknown profile', ['--profile', 'none'], /There is no profile "none"/],
    ['an unknown parameter', ['--parameter', 'colour=red'], /colour/],
    ['a parameter without a value', ['--parameter', 'namespace'], /NAME=VALUE/],
    ['a name that is not an ID', ['--target', '../x', '--parameter', 'namespace=demo'], /name of the target/],
    [
      'a target that would save nothing',
      ['--parameter', 'namespace=demo', '--parameter', 'root=elsewhere'],
      /saves nothing of the kv store/,
    ],
  ])('refuses %s and leaves the file as it was', async (_what, args, problem) => {
    const before = await readFile(file, 'utf8');
    const ran = await write(...args);
    expect(ran.code).toBe(2);
    expect(problemOf(ran)).toMatch(problem);
    expect(await readFile(file, 'utf8')).toBe(before);
  });

  test('asks which of several knowledge bases, and names them', async () => {
    await redis.mset({ 'second:text_chunks:1': '{}' });
    const ran = await write('--parameter', 'namespace=demo');
    expect(ran.code).toBe(2);
    expect(problemOf(ran)).toContain('needs a root, one of nano_graphrag, second.');
    expect((await write('--parameter', 'namespace=demo', '--parameter', 'root=second')).code).toBe(0);
    expect((await written()).context.ngbak.targets.default.parameters.root).toBe('second');
  });

  test('adds the context of a cdk.json that has none', async () => {
    await writeFile(file, JSON.stringify({ app: OTHERS.app }));
    expect((await write('--parameter', 'namespace=demo')).code).toBe(0);
    const found = await written();
    expect(Object.keys(found)).toEqual(['app', 'context']);
    expect(Object.keys(found.context.ngbak.targets)).toEqual(['default']);
    // The same file can be deployed.
    expect(Object.keys((await openConfiguration(file)).ngbak)).toEqual(['targets']);
    await expect(openConfiguration(join(folder, 'missing.json'))).rejects.toThrow(/cannot be read/);
  });

  test('counts everything in a folder, beside what the target saves of it', async () => {
    const place = await mkdtemp(join(folder, 'rag-'));
    await mkdir(join(place, 'below'));
    await writeFile(join(place, 'below', 'a.txt'), 'a');
    await writeFile(join(place, '.env'), 'KEY=1');
    const files = ['--files', place, '--profile', 'custom'];
    const none = await run(['--json', 'doctor', '--write', file, ...files], {
      ...environment,
      REDIS_URL: '',
    });
    expect(problemOf(none)).toContain('saves nothing of the kv store, which is not empty');
    await writeFile(join(place, 'b.txt'), 'b');
    const ran = await run(['--json', 'doctor', '--write', file, ...files], { ...environment, REDIS_URL: '' });
    expect(ran.lines().find(({ type }) => type === 'target-written')?.data).toMatchObject({
      covered: [{ store: 'kv', saved: { files: 1 }, all: { files: 3 } }],
    });
  });

  test('writes a file of its own, and the buckets of files in S3', async () => {
    const { bucket } = await freshEnvironment();
    await new S3Client({}).send(
      new PutObjectCommand({ Bucket: bucket.name, Key: 'rag/kv_store_doc_status.json', Body: '{}' }),
    );
    file = join(folder, 'ngbak.json');
    environment = { ...environment, REDIS_URL: '' };
    const ran = await write('--files', `s3://${bucket.name}/rag`);
    expect(ran.stderr).toBe('');
    expect(await written()).toEqual({
      targets: {
        default: { profile: 'lightrag', stores: { kv: { kind: 'files', buckets: [bucket.name] } } },
      },
    });
    const folderOnly = await run(
      ['doctor', '--write', file, '--files', folder, '--profile', 'custom', '--yes'],
      {
        ...environment,
      },
    );
    expect(folderOnly.stderr).toContain('functions in AWS cannot read the folder');
  });
});

test.each([
  ['redis://localhost:6379', false, 'cannot reach localhost'],
  ['redis://[::1]:6379', false, 'cannot reach ::1'],
  ['redis://10.1.2.3:6379', false, 'private address'],
  ['redis://10.1.2.3:6379', true, undefined],
  ['redis://[fd00::1]:6379', false, 'private address'],
  ['rediss://redis.example.org:6379', false, undefined],
  ['redis://8.8.8.8', false, undefined],
])('functions in AWS and %s, with a VPC: %p', (url, hasNetwork, problem) => {
  const [store] = namedStores({ REDIS_URL: url }, undefined);
  if (!store) throw new Error('no store');
  const found = hiddenFromFunctions(store, hasNetwork);
  expect(found).toEqual(problem === undefined ? [] : [expect.stringContaining(problem)]);
});

test('further stores of key-value data are named, and written only if the profile has several', () => {
  const environment = { REDIS_URL: 'redis://redis', POSTGRES_URL: 'postgresql://user@host/db' };
  const stores = namedStores(environment, 'kv_files=s3://rag/data');
  expect(stores.map(({ adapter: { name, kind } }) => [name, kind])).toEqual([
    ['kv', 'redis'],
    ['kv_postgres', 'postgres'],
    ['kv_files', 'files'],
  ]);
  expect(namedStores(environment, 's3://rag/data').map(({ adapter }) => adapter.name)).toEqual(['kv']);
  const proposal = { profile: 'lightrag', parameters: {}, choices: {}, reasons: [] };
  expect(targetFor(stores, proposal, { parameters: {} }).stores).toEqual({
    kv: { kind: 'redis' },
    kv_postgres: { kind: 'postgres' },
    kv_files: { kind: 'files', buckets: ['rag'] },
  });
  expect(() => targetFor(stores, { ...proposal, profile: 'mem0' }, { parameters: {} })).toThrow(
    'A system of profile "mem0" has one store of the role "kv", and "kv_postgres" would be another.',
  );
});

describe('ngbak deploy --connections', () => {
  const stackName = `Fill${randomBytes(4).toString('hex')}`;
  const secrets = new SecretsManagerClient({});
  const deployment = (stores: object) =>
    ({ stackName, targets: { default: { stores } } }) as unknown as DeploymentContext;
  const secretValue = async (store: string) =>
    JSON.parse(
      (await secrets.send(new GetSecretValueCommand({ SecretId: `${stackName}/default/${store}` })))
        .SecretString ?? '',
    );
  const named = () =>
    namedStores({ REDIS_URL: 'redis://redis:6379', REDIS_PASSWORD: 'hush-hush' }, undefined);
  const never = () => Promise.resolve(false);

  beforeAll(async () => {
    for (const store of ['graph', 'kv']) {
      const SecretString = JSON.stringify({ ngbak: 'Put the connection of this store here' });
      await secrets.send(new CreateSecretCommand({ Name: `${stackName}/default/${store}`, SecretString }));
    }
  });

  test('fills the secrets of the named stores, says which are missing, and replaces none unasked', async () => {
    const both = deployment({ graph: { kind: 'neo4j' }, kv: { kind: 'redis' } });
    const graph = { store: 'graph', secret: `${stackName}/default/graph`, state: 'missing' };
    const kv = { store: 'kv', secret: `${stackName}/default/kv` };
    expect(await fillConnections(both, 'default', named(), never)).toEqual([
      graph,
      { ...kv, state: 'filled' },
    ]);
    expect(await secretValue('kv')).toEqual({ url: 'redis://redis:6379', password: 'hush-hush' });
    expect(await fillConnections(both, 'default', named(), never)).toEqual([
      graph,
      { ...kv, state: 'unchanged' },
    ]);
    const other = namedStores({ REDIS_URL: 'redis://other:6379' }, undefined);
    expect((await fillConnections(both, 'default', other, never))[1]).toEqual({ ...kv, state: 'kept' });
    expect((await secretValue('kv')).url).toBe('redis://redis:6379');
    const asked: string[] = [];
    await fillConnections(both, 'default', other, async (secret) => asked.push(secret) > 0);
    expect(asked).toEqual([kv.secret]);
    expect(await secretValue('kv')).toEqual({ url: 'redis://other:6379' });
    expect(await secretValue('graph')).toHaveProperty('ngbak');
  });

  test('writes nothing if the target has other stores, and names a secret that does not exist', async () => {
    const before = await secretValue('kv');
    await expect(
      fillConnections(deployment({ kv: { kind: 'files' } }), 'default', named(), never),
    ).rejects.toThrow(/of the kind "files", not "redis"/);
    await expect(
      fillConnections(deployment({ graph: { kind: 'neo4j' } }), 'default', named(), never),
    ).rejects.toThrow(/no store "kv"/);
    await expect(fillConnections(deployment({}), 'other', named(), never)).rejects.toThrow(
      /no target "other"/,
    );
    expect(await secretValue('kv')).toEqual(before);
    const missing = deployment({ kv: { kind: 'redis', secret: 'no-such-secret' } });
    await expect(fillConnections(missing, 'default', named(), never)).rejects.toThrow(/secret/i);
  });
});
