import { randomBytes } from 'node:crypto';
import {
  CreateSecretCommand,
  GetSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { beforeEach, expect, test } from '@jest/globals';
import { AccessList, Authenticator } from '../../shared/api/access.ts';
import { SavedAccessList } from '../../shared/api/saved-access-list.ts';
import { freshContext } from '../operations/context.ts';
import { run } from './run.ts';

const client = () => new SecretsManagerClient({});
let secret: string;
const list = async () => {
  const { SecretString = '' } = await client().send(new GetSecretValueCommand({ SecretId: secret }));
  return AccessList.parse(JSON.parse(SecretString));
};
const key = async (...args: string[]) => {
  const ran = await run(['--json', '--yes', 'key', ...args, '--secret', secret], {});
  return { code: ran.code, data: ran.code === 0 ? JSON.parse(ran.stdout).data : ran.stderr + ran.stdout };
};
const roleOf = async (presented: string) =>
  (await new Authenticator(list).authenticate(`Bearer ${presented}`)).role;

beforeEach(async () => {
  await freshContext();
  secret = `api-${randomBytes(5).toString('hex')}`;
  const jwt = { issuer: 'https://i.example', audience: 'ngbak', jwks_uri: 'https://i.example/keys' };
  await client().send(
    new CreateSecretCommand({ Name: secret, SecretString: JSON.stringify({ keys: [], jwt }) }),
  );
});

test('keys are created, listed, rotated and revoked in the secret, which holds hashes only', async () => {
  const made = await key('create', 'ada', 'admin', '--save');
  expect(await roleOf(made.data.key)).toBe('admin');
  expect(JSON.stringify(await list())).not.toContain(made.data.key);
  const short = await key('bot', 'viewer', '--save', '--days', '90');
  expect(Date.parse(short.data.expires_at)).toBeGreaterThan(Date.now() + 89 * 86_400_000);

  const rotated = await key('rotate', 'ada', '--grace-hours', '1');
  expect(await roleOf(rotated.data.key)).toBe('admin');
  expect(await roleOf(made.data.key)).toBe('admin');
  const { keys } = (await key('list')).data;
  expect(keys).toMatchObject([
    { name: 'ada', role: 'admin', expires_at: expect.any(String) },
    { name: 'bot', role: 'viewer' },
    { name: 'ada', role: 'admin' },
  ]);
  expect(keys[2].expires_at).toBeUndefined();

  expect((await key('revoke', keys[0].fingerprint)).data).toMatchObject({ revoked: 1 });
  await expect(roleOf(made.data.key)).rejects.toThrow();
  expect(await roleOf(rotated.data.key)).toBe('admin');
  expect((await key('revoke', 'ada')).data).toMatchObject({ revoked: 1 });
  await expect(roleOf(rotated.data.key)).rejects.toThrow();
  const none = await key('revoke', 'nobody');
  expect([none.code === 0, none.data]).toEqual([false, expect.stringContaining('no key')]);
  // Other contents of the secret are retained.
  expect((await list()).jwt?.issuer).toBe('https://i.example');
});

test('keys that several people add at the same moment are all saved', async () => {
  const saved = new SavedAccessList(secret);
  await Promise.all(['a', 'b', 'c'].map((name) => saved.add(name, 'viewer')));
  expect((await list()).keys.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
});
