/** IAM authentication of RDS: what RDS checks of a token, and that a server gets it as the password of each connection. */
import { createHash, createHmac } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { namedStores } from '../../../cli/known-stores.ts';
import { type DatabaseUser, rdsToken } from '../../../shared/aws/rds-token.ts';
import { AccessDeniedError } from '../../../shared/core/errors.ts';
import { postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import { PostgresClient } from '../../../shared/stores/postgres/client.ts';
import { missing, testUnless } from '../../conditions.ts';
import { OwnPostgres } from './own-server.ts';
import { startTlsProxy } from './tls-proxy.ts';

const CREDENTIALS = {
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  AWS_SESSION_TOKEN: 'session/token+of=the role',
};
const USER: DatabaseUser = {
  host: 'kb.c1a2b3.eu-central-1.rds.amazonaws.com',
  port: 5433,
  username: 'ngbak user',
  region: 'eu-central-1',
};
const environment = { ...process.env };

beforeEach(() => {
  Object.assign(process.env, CREDENTIALS);
});
afterEach(() => {
  jest.useRealTimers();
  for (const name of Object.keys(CREDENTIALS)) delete process.env[name];
  Object.assign(process.env, environment);
});

/** Only the clock stands still: timers and sockets work as usual. */
function stopClock(time: string): void {
  jest.useRealTimers();
  jest.useFakeTimers({
    now: new Date(time),
    doNotFake: [
      ...(['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
      ...(['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const),
    ],
  });
}

/** The signature of a presigned GET of version 4 (IAM user guide, "Create a signed AWS API request"), by its text alone. */
function signatureOf(token: string): string {
  const { host, searchParams } = new URL(`https://${token}`);
  const encode = (text: string) =>
    encodeURIComponent(text).replaceAll(
      /[!'()*]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  const query = [...searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const canonical = ['GET', '/', query, `host:${host}`, '', 'host', sha256('')].join('\n');
  const [, ...scope] = (searchParams.get('X-Amz-Credential') ?? '').split('/');
  const text = ['AWS4-HMAC-SHA256', searchParams.get('X-Amz-Date'), scope.join('/'), sha256(canonical)];
  let key: string | Buffer = `AWS4${CREDENTIALS.AWS_SECRET_ACCESS_KEY}`;
  for (const part of scope) key = createHmac('sha256', key).update(part).digest();
  return createHmac('sha256', key).update(text.join('\n')).digest('hex');
}

describe('a token', () => {
  test('is a presigned call of rds-db:connect for one user, address and region, for 15 minutes', async () => {
    stopClock('2026-01-02T03:04:05Z');
    const token = await rdsToken(USER);
    expect(token).not.toMatch(/^https?:|\s/);
    const { host, pathname, searchParams } = new URL(`https://${token}`);
    expect([host, pathname]).toEqual([`${USER.host}:5433`, '/']);
    const { 'X-Amz-Signature': signature, ...parameters } = Object.fromEntries(searchParams);
    expect(parameters).toEqual({
      Action: 'connect',
      DBUser: 'ngbak user',
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Credential': 'AKIDEXAMPLE/20260102/eu-central-1/rds-db/aws4_request',
      'X-Amz-Date': '20260102T030405Z',
      'X-Amz-Expires': '900',
      'X-Amz-Security-Token': CREDENTIALS.AWS_SESSION_TOKEN,
      'X-Amz-SignedHeaders': 'host',
    });
    expect(signature).toBe(signatureOf(token));
    expect(token).not.toContain(CREDENTIALS.AWS_SECRET_ACCESS_KEY);
  });

  test.each([
    ['host', { host: 'other.c1a2b3.eu-central-1.rds.amazonaws.com' }],
    ['port', { port: 5432 }],
    ['user', { username: 'postgres' }],
    ['region', { region: 'eu-west-1' }],
  ])('of another %s has another signature', async (_what, other) => {
    stopClock('2026-01-02T03:04:05Z');
    const signature = async (user: DatabaseUser) =>
      new URL(`https://${await rdsToken(user)}`).searchParams.get('X-Amz-Signature');
    expect(await signature({ ...USER, ...other })).not.toBe(await signature(USER));
  });
});

describe('a connection', () => {
  test.each([
    ['neither password nor IAM', {}],
    ['both', { password: 'a', iam: { region: 'eu-central-1' } }],
    ['IAM without TLS', { iam: { region: 'eu-central-1' }, tls: false }],
    ['a region that is an address', { iam: { region: 'evil.example.com/' } }],
  ])('with %s is refused', (_what, given) => {
    const connection = { url: 'postgresql://host:5432/kb', username: 'ngbak', ...given };
    expect(postgresAdapter.Connection.safeParse(connection).success).toBe(false);
  });

  test('of the environment uses IAM if a region is named', () => {
    const [store] = namedStores(
      { POSTGRES_URL: 'postgresql://ngbak@host:5432/kb', POSTGRES_IAM_REGION: 'eu-central-1' },
      undefined,
    );
    expect(store?.connection).toEqual({
      url: 'postgresql://host:5432/kb',
      username: 'ngbak',
      iam: { region: 'eu-central-1' },
    });
  });
});

describe('a server that requests the password as text, as RDS does', () => {
  let server: OwnPostgres;
  beforeAll(async () => {
    server = await OwnPostgres.start();
    const client = await server.connect();
    await client.query('CREATE ROLE ngbak LOGIN');
    const { rows } = await client.query<{ hba_file: string }>('SHOW hba_file');
    const file = rows[0]?.hba_file ?? '';
    await writeFile(file, `host all ngbak 127.0.0.1/32 password\n${await readFile(file, 'utf8')}`);
    await client.query('SELECT pg_reload_conf()');
  });
  afterAll(() => server.stop());

  testUnless(
    missing('openssl', 'version'),
    'accepts the token of this moment, and each connection brings a new one',
    async () => {
      const proxy = await startTlsProxy(server.address.url);
      const owner = await server.connect();
      const accept = async (time: string) => {
        stopClock(time);
        const address = { host: 'localhost', port: proxy.port, username: 'ngbak', region: 'eu-central-1' };
        const token = await rdsToken(address);
        await owner.query(`ALTER ROLE ngbak PASSWORD ${owner.escapeLiteral(token)}`);
        return token;
      };
      const connection = { url: proxy.url, username: 'ngbak', iam: { region: 'eu-central-1' }, ca: proxy.ca };
      const client = new PostgresClient(postgresAdapter.Connection.parse(connection), 'test');
      const whoami = async () =>
        (await client.rows<{ name: string }>('SELECT current_user AS name'))[0]?.name;
      try {
        const first = await accept('2026-01-02T03:04:05Z');
        expect(await whoami()).toBe('ngbak');
        // An open connection outlives its token.
        stopClock('2026-01-02T04:00:00Z');
        expect(await whoami()).toBe('ngbak');
        client.drop();
        const denied = await whoami().catch((error: unknown) => error);
        expect(denied).toBeInstanceOf(AccessDeniedError);
        expect(denied).toMatchObject({ remedy: expect.stringContaining('rds_iam') });
        expect(JSON.stringify([denied, String(denied)])).not.toContain('X-Amz-Signature');
        const second = await accept('2026-01-02T04:00:00Z');
        expect(second).not.toBe(first);
        expect(await whoami()).toBe('ngbak');
      } finally {
        client.drop();
        await proxy.close();
      }
    },
  );
});
