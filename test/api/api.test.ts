import { DescribeExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { AccessList, Authenticator, CachedAccessList, newApiKey } from '../../shared/api/access.ts';
import { type AuditLine, makeApi } from '../../shared/api/app.ts';
import { problemOf } from '../../shared/api/problem.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { freshContext } from '../operations/context.ts';
import { catalogue } from '../support/catalog.ts';

let context: Awaited<ReturnType<typeof freshContext>>;
let audit: AuditLine[];
let logged: string[];
const keys = {
  viewer: newApiKey('vera', 'viewer'),
  operator: newApiKey('otto', 'operator'),
  admin: newApiKey('ada', 'admin'),
};
type Who = keyof typeof keys;
let access: AccessList;
let call: (
  who: Who | undefined,
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<{ status: number; headers: Headers; body: Record<string, unknown> }>;

beforeEach(async () => {
  context = await freshContext({ config: true });
  audit = [];
  logged = [];
  access = AccessList.parse({ keys: Object.values(keys).map(({ entry }) => entry) });
  const api = makeApi({
    context,
    authenticator: new Authenticator(async () => access),
    allowedOrigins: ['https://example.org'],
    audit: (line) => audit.push(line),
    log: (message, fields) => logged.push(`${message} ${JSON.stringify(fields)}`),
    origin: () => ({ from: '192.0.2.1', requestId: 'request-1' }),
    timeLeft: () => 30_000,
  });
  call = async (who, method, path, body, headers = {}) => {
    const answer = await api.request(`/api/v1${path}`, {
      method,
      headers: {
        ...(who ? { authorization: `Bearer ${keys[who].key}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = (answer.headers.get('content-type') ?? '').includes('json');
    return { status: answer.status, headers: answer.headers, body: json ? JSON.parse(text) : { text } };
  };
});

describe('authorization', () => {
  test.each([
    ['nothing', undefined],
    ['another key', `Bearer ${newApiKey('x', 'admin').key}`],
    ['the hash of a key', `Bearer ngbak_${keys.admin.entry.sha256}`],
    ['another scheme', `Basic ${keys.admin.key}`],
    ['a JWT where none is configured', 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.'],
    ['a huge header', `Bearer ${'x'.repeat(100_000)}`],
  ])('with %s, every request is refused', async (_, header) => {
    const { status, headers, body } = await call(
      undefined,
      'GET',
      '/backup',
      undefined,
      header === undefined ? {} : { authorization: header },
    );
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer');
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({ status: 401, remedy: expect.stringContaining('Bearer') });
  });

  test.each<[Who, string, string, number]>([
    ['viewer', 'GET', '/backup', 200],
    ['viewer', 'GET', '/backup/b1/download', 403],
    ['viewer', 'POST', '/backup', 403],
    ['viewer', 'POST', '/restore/j/confirm', 403],
    ['viewer', 'PATCH', '/backup/b1', 403],
    ['viewer', 'GET', '/drills', 200],
    ['viewer', 'GET', '/drills/none', 404],
    ['viewer', 'POST', '/drills', 403],
    ['operator', 'POST', '/backup', 202],
    ['operator', 'POST', '/drills', 202],
    ['operator', 'DELETE', '/backup/b1', 403],
    ['operator', 'GET', '/backup/b1/download', 307],
    ['admin', 'DELETE', '/backup/b1', 200],
  ])('a key with role %s: %s %s returns %d', async (who, method, path, status) => {
    await catalogue(context.bucket, { backup_id: 'b1' }, Buffer.alloc(1));
    const body =
      method === 'GET' || method === 'DELETE' ? undefined : path.includes('confirm') ? { phrase: 'x' } : {};
    expect((await call(who, method, path, body)).status).toBe(status);
  });

  test('an operator can lengthen the retention of a backup; only an administrator can shorten it', async () => {
    const created_at = '2026-01-02T03:04:05.000Z';
    await catalogue(context.bucket, { backup_id: 'ruled', created_at });
    await catalogue(context.bucket, { backup_id: 'dated', created_at, retention: '30d' });
    await catalogue(context.bucket, { backup_id: 'forever', created_at, retention: 'permanent' });
    const change = async (who: Who, id: string, retention: string | null) =>
      (await call(who, 'PATCH', `/backup/${id}`, { retention })).status;
    for (const [id, retention] of [
      ['ruled', '1d'],
      ['ruled', '3650d'],
      ['dated', '29d'],
      ['dated', '2026-01-31'],
      ['dated', null],
      ['forever', '99999d'],
      ['forever', null],
    ] as const) {
      expect([id, retention, await change('operator', id, retention)]).toEqual([id, retention, 403]);
    }
    expect(await change('operator', 'dated', '30d')).toBe(200);
    expect(await change('operator', 'dated', '2026-02-01')).toBe(200);
    expect(await change('operator', 'dated', '90d')).toBe(200);
    expect(await change('operator', 'ruled', 'permanent')).toBe(200);
    expect(await change('operator', 'ruled', 'permanent')).toBe(200);
    expect(await change('admin', 'ruled', '1d')).toBe(200);
    expect(await change('admin', 'forever', null)).toBe(200);
    expect((await call('operator', 'PATCH', '/backup/dated', { note: 'a note' })).status).toBe(200);
  });

  test('the tag of safety backups cannot be added to another backup, or removed from a safety backup', async () => {
    await catalogue(context.bucket, { backup_id: 'plain', tags: ['a'] });
    await catalogue(context.bucket, { backup_id: 'safe', tags: ['pre-restore'] });
    const change = (id: string, body: object) => call('admin', 'PATCH', `/backup/${id}`, body);
    for (const body of [{ tags: ['pre-restore'] }, { add_tags: ['pre-restore'] }]) {
      expect((await change('plain', body)).body).toMatchObject({
        status: 400,
        detail: expect.stringContaining('marks'),
      });
    }
    expect((await change('safe', { tags: [] })).status).toBe(400);
    expect((await change('safe', { remove_tags: ['pre-restore'] })).status).toBe(400);
    expect((await change('safe', { add_tags: ['kept'] })).status).toBe(200);
    expect((await call('operator', 'POST', '/backup', { tags: ['pre-restore'] })).status).toBe(400);
    const schedule = { name: 's', expression: 'rate(1 day)', backup: { tags: ['pre-restore'] } };
    expect((await call('operator', 'POST', '/schedules', schedule)).status).toBe(400);
  });

  test('answers 503 if the list of keys cannot be read, names no secret, and does not read it for every call', async () => {
    let reads = 0;
    const logged: unknown[] = [];
    let now = 0;
    const list = new CachedAccessList(
      () => {
        reads++;
        return Promise.reject(
          new InvalidInputError('The secret of the HTTP API (Ngbak/api) is not JSON.', { remedy: 'x' }),
        );
      },
      (error) => logged.push(error),
      () => now,
    );
    const calls = await Promise.allSettled(Array.from({ length: 50 }, () => list.read()));
    expect(reads).toBe(1);
    const [first] = calls;
    if (first?.status !== 'rejected') throw new Error('It was read.');
    expect(problemOf(first.reason)).toMatchObject({
      status: 503,
      detail: expect.not.stringContaining('Ngbak/api'),
    });
    await expect(list.read()).rejects.toThrow();
    expect(reads).toBe(1);
    expect(logged).toHaveLength(1);
    now += 5_001;
    await expect(list.read()).rejects.toThrow();
    expect(reads).toBe(2);
  });

  test('only an administrator prunes for real', async () => {
    expect((await call('operator', 'POST', '/backup/prune', {})).status).toBe(200);
    expect((await call('operator', 'POST', '/backup/prune', { dry_run: false })).status).toBe(403);
    expect((await call('admin', 'POST', '/backup/prune', { dry_run: false })).status).toBe(200);
  });

  test('only an administrator sets the retention policy, always as a whole, and every change is audited', async () => {
    const policy = { keep_last: 3, keep_daily: 2, keep_weekly: 0, keep_monthly: 0, keep_yearly: 0 };
    const { body: before } = await call('viewer', 'GET', '/retention');
    expect(before).toMatchObject({ source: 'deployed', policy: { keep_last: 7 } });
    expect((await call('operator', 'PUT', '/retention', { policy })).status).toBe(403);
    expect((await call('operator', 'DELETE', '/retention')).status).toBe(403);
    for (const wrong of [{ keep_last: 3 }, { ...policy, keep_last: -1 }, { ...policy, keep_hourly: 1 }]) {
      expect((await call('admin', 'PUT', '/retention', { policy: wrong })).status).toBe(400);
    }
    audit.length = 0;
    const set = await call('admin', 'PUT', '/retention', { policy, version: before.version });
    expect(set.body).toMatchObject({ source: 'set', policy, changed_by: 'ada', deployed: { keep_last: 7 } });
    expect(audit).toMatchObject([{ who: 'ada', method: 'PUT', path: '/api/v1/retention', status: 200 }]);
    const stale = await call('admin', 'PUT', '/retention', { policy, version: before.version });
    expect([stale.status, stale.body.detail]).toEqual([409, expect.stringContaining('by ada at')]);
    expect((await call('admin', 'DELETE', '/retention?version=deployed')).status).toBe(409);
    const reset = await call('admin', 'DELETE', '/retention');
    expect(reset.body).toEqual(before);
  });

  test('keys are rotated without a gap: both are valid until the old one expires', async () => {
    const fresh = newApiKey('ada', 'admin');
    access = AccessList.parse({
      keys: [{ ...keys.admin.entry, expires_at: new Date(Date.now() + 60_000).toISOString() }, fresh.entry],
    });
    expect((await call('admin', 'GET', '/backup')).status).toBe(200);
    access = AccessList.parse({
      keys: [{ ...keys.admin.entry, expires_at: new Date(Date.now() - 1).toISOString() }, fresh.entry],
    });
    expect((await call('admin', 'GET', '/backup')).status).toBe(401);
    const header = { authorization: `Bearer ${fresh.key}` };
    expect((await call(undefined, 'GET', '/backup', undefined, header)).status).toBe(200);
  });
});

describe('JSON Web Tokens', () => {
  const jwt = {
    issuer: 'https://issuer.example',
    audience: 'ngbak',
    jwks_uri: 'https://issuer.example/jwks',
    role_claim: 'roles',
  };
  test.each([
    ['the right one', {}, 'operator'],
    ['another audience', { audience: 'other' }, undefined],
    ['another issuer', { issuer: 'https://other.example' }, undefined],
    ['one that has expired', { expires: '1 minute ago' }, undefined],
    ['no role of ngbak', { roles: ['root'] }, undefined],
    ['a signature with another key', { forged: true }, undefined],
  ])('%s is handled correctly', async (_, change: Record<string, unknown>, role) => {
    const [pair, other] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')]);
    const set = createLocalJWKSet({ keys: [{ ...(await exportJWK(pair.publicKey)), alg: 'ES256' }] });
    const authenticator = new Authenticator(async () => AccessList.parse({ jwt }), { keySet: () => set });
    const token = await new SignJWT({ roles: (change.roles as string[]) ?? ['viewer', 'operator'] })
      .setProtectedHeader({ alg: 'ES256' })
      .setSubject('otto')
      .setIssuer((change.issuer as string) ?? jwt.issuer)
      .setAudience((change.audience as string) ?? jwt.audience)
      .setExpirationTime((change.expires as string) ?? '5 minutes')
      .sign(change.forged ? other.privateKey : pair.privateKey);
    const found = authenticator.authenticate(`Bearer ${token}`);
    if (role === undefined) await expect(found).rejects.toThrow(/invalid API key/);
    else expect(await found).toEqual({ name: 'jwt:otto', role });
  });
});

describe('the API', () => {
  test('starts a backup on behalf of its caller, once for each idempotency key', async () => {
    const first = await call('operator', 'POST', '/backup', { tags: ['a'] }, { 'idempotency-key': 'k' });
    const again = await call('operator', 'POST', '/backup', { tags: ['a'] }, { 'idempotency-key': 'k' });
    expect([first.status, again.status]).toEqual([202, 202]);
    expect(again.body).toEqual({ ...first.body, replayed: true });
    const { input } = await context.sfn.send(
      new DescribeExecutionCommand({ executionArn: String(first.body.execution_arn) }),
    );
    expect(JSON.parse(input ?? '')).toMatchObject({ requested_by: 'otto', tags: ['a'] });
    const other = await call('operator', 'POST', '/backup', {}, { 'idempotency-key': 'k' });
    expect(other).toMatchObject({ status: 409, body: { title: 'Refused' } });
    const somebody = await call('admin', 'POST', '/backup', { tags: ['a'] }, { 'idempotency-key': 'k' });
    expect(somebody.body.job_id).not.toBe(first.body.job_id);
  });

  test('attaches kept relationships once for each idempotency key, which no other request may reuse', async () => {
    const upload = { file_name: 'a.ngbak' };
    const waiting = await call('operator', 'POST', '/restore', upload, { 'idempotency-key': 'u' });
    const renewed = await call('operator', 'POST', '/restore', upload, { 'idempotency-key': 'u' });
    expect(renewed.body.job_id).toBe(waiting.body.job_id);
    const attach = (key: string, body: object) =>
      call('operator', 'POST', `/restore/${waiting.body.job_id}/attach`, body, { 'idempotency-key': key });
    expect(await attach('u', {})).toMatchObject({ status: 409, body: { title: 'Refused' } });
    const first = await attach('k', {});
    expect(first).toMatchObject({ status: 202, body: { replayed: false } });
    expect((await attach('k', {})).body).toEqual({ ...first.body, replayed: true });
    expect((await attach('k', { dry_run: true })).status).toBe(409);
    expect((await attach('other', {})).body.job_id).not.toBe(first.body.job_id);
  });

  test('lists, shows, changes and deletes backups', async () => {
    await catalogue(context.bucket, { backup_id: 'b1' }, Buffer.alloc(10));
    expect((await call('viewer', 'GET', '/backup?limit=1&tag=x')).body).toMatchObject({ total: 0 });
    const changed = await call('admin', 'PATCH', '/backup/b1', { add_tags: ['x'], retention: '30d' });
    expect(changed.body).toMatchObject({ tags: ['x'], retention: '30d' });
    expect((await call('viewer', 'GET', '/backup?tag=x')).body).toMatchObject({ total: 1 });
    expect((await call('admin', 'DELETE', '/backup/b1')).body).toMatchObject({ backup_id: 'b1' });
    expect((await call('viewer', 'GET', '/backup/b1')).status).toBe(404);
  });

  test('issues a link for an hour at most, by redirect or as JSON', async () => {
    await catalogue(context.bucket, { backup_id: 'b1' }, Buffer.from('bytes'));
    const { status, headers } = await call('operator', 'GET', '/backup/b1/download');
    expect(status).toBe(307);
    expect(await (await fetch(headers.get('location') ?? '')).text()).toBe('bytes');
    const json = await call('operator', 'GET', '/backup/b1/download?redirect=false');
    expect(json.body).toMatchObject({ backup_id: 'b1', bytes: 1000 });
    expect((await call('operator', 'GET', '/backup/b1/download?expires_in=9999')).status).toBe(400);
  });

  test('prepares an upload, whose job can be viewed and cancelled', async () => {
    const upload = await call('operator', 'POST', '/restore', { file_name: 'a.ngbak', confirm: 'default' });
    expect(upload.status).toBe(201);
    const job = `/jobs/${upload.body.job_id}`;
    expect((await call('viewer', 'GET', job)).body).toMatchObject({ state: 'pending', requested_by: 'otto' });
    expect((await call('operator', 'POST', `${job}/cancel`)).body).toMatchObject({ state: 'cancelled' });
    expect((await call('viewer', 'GET', '/jobs?state=cancelled')).body).toMatchObject({ total: 1 });
    expect((await call('operator', 'POST', `${job}/cancel`)).status).toBe(409);
  });

  test.each([
    ['GET', '/backup/..%2Fjobs', undefined, 400],
    ['GET', '/backup?limit=0', undefined, 400],
    ['GET', '/backup?nonsense=1', undefined, 400],
    ['GET', '/backup/none', undefined, 404],
    ['GET', '/jobs/none', undefined, 404],
    ['GET', '/nowhere', undefined, 404],
    ['POST', '/backup', '{"tags": ', 400],
    ['POST', '/backup', { part_of: { job_id: 'x', execution_arn: 'y' } }, 400],
    ['POST', '/backup', { target: 'elsewhere' }, 400],
    ['POST', '/backup', { note: 'x'.repeat(300_000) }, 400],
    ['POST', '/restore', { backup_id: 'none' }, 404],
    ['POST', '/restore', { file_name: 'a.zip' }, 400],
    ['POST', '/restore', { file_name: 'a.ngbak', confirm: 'wrong' }, 400],
    ['POST', '/restore/none/confirm', { phrase: 'default' }, 404],
    ['PATCH', '/backup/none', { tags: ['x'], add_tags: ['y'] }, 400],
  ] as [string, string, unknown, number][])(
    '%s %s, invalid in some way (%#), returns a problem document',
    async (...wrong) => {
      const [method, path, body, status] = wrong;
      const answer = await call('admin', method, path, body);
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(answer.body).toMatchObject({
        status,
        detail: expect.any(String),
        remedy: expect.any(String),
        instance: 'request-1',
      });
      expect(logged).toEqual([]);
    },
  );

  test('logs the message of an unexpected error, and does not include it in the response', async () => {
    // No real part fails with an unexpected error, so this client always fails.
    Object.assign(context, { sfn: { send: () => Promise.reject(new Error('nonsense')) } });
    const answer = await call('operator', 'POST', '/backup', {});
    expect(answer.status).toBe(500);
    expect(JSON.stringify(answer.body)).not.toMatch(/nonsense/);
    expect(logged).toHaveLength(1);
  });

  test('writes an audit line for each call that changes something, including refused calls', async () => {
    await call('viewer', 'GET', '/backup');
    await call('operator', 'POST', '/backup', {});
    await call('operator', 'DELETE', '/backup/b1');
    expect(audit).toEqual([
      {
        who: 'otto',
        role: 'operator',
        method: 'POST',
        path: '/api/v1/backup',
        status: 202,
        from: '192.0.2.1',
        request_id: 'request-1',
      },
      expect.objectContaining({ method: 'DELETE', path: '/api/v1/backup/b1', status: 403 }),
    ]);
  });

  test('limits how many jobs a caller may start in a given time', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 25; i++) statuses.push((await call('operator', 'POST', '/backup/prune', {})).status);
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(200));
    expect(statuses.slice(20)).toContain(429);
    expect((await call('admin', 'POST', '/backup/prune', {})).status).toBe(200);
  });

  test('lets configured origins call it, and no others', async () => {
    const preflight = (origin: string) =>
      call(undefined, 'OPTIONS', '/backup', undefined, { origin, 'access-control-request-method': 'GET' });
    const good = await preflight('https://example.org');
    expect(good.headers.get('access-control-allow-origin')).toBe('https://example.org');
    const bad = await preflight('https://evil.example');
    expect(bad.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('exposes metrics of backups and jobs to Prometheus', async () => {
    await catalogue(context.bucket, { backup_id: 'b1' });
    const { body, headers } = await call('viewer', 'GET', '/metrics');
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(body.text).toContain('ngbak_backups{target="default"} 1\n');
    expect(body.text).toContain('ngbak_last_backup_duration_seconds{target="default",type="full"} 10\n');
  });

  test('reports its health', async () => {
    expect((await call('viewer', 'GET', '/health')).body).toMatchObject({ status: 'degraded' });
    const now = new Date().toISOString();
    await catalogue(context.bucket, { backup_id: 'b1', created_at: now }, Buffer.from('archive'));
    expect((await call('viewer', 'GET', '/health')).body).toMatchObject({ status: 'ok' });
  });

  test('lists the allowed methods of a path if an unsupported one is used', async () => {
    const { status, headers, body } = await call('viewer', 'PUT', '/backup/snapshot_1');
    expect([status, headers.get('allow')?.split(', ').sort()]).toEqual([405, ['DELETE', 'GET', 'PATCH']]);
    expect(body.remedy).toContain('PATCH');
    expect((await call('viewer', 'PUT', '/nothing')).status).toBe(404);
  });

  test('describes itself in OpenAPI 3.1, each route with its errors, and on an HTML page', async () => {
    const { body } = await call(undefined, 'GET', '/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    interface Operation {
      responses: object;
      description?: string;
      parameters?: { name: string }[];
    }
    const paths = body.paths as Record<string, Record<string, Operation>>;
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => {
        expect(Object.keys(responses)).toEqual(expect.arrayContaining(['400', '401', '403', '404', '500']));
        return `${method} ${path}`;
      }),
    );
    expect(routes.sort()).toEqual(
      [
        'delete /api/v1/backup/{id}',
        'get /api/v1/backup',
        'get /api/v1/backup/{id}',
        'get /api/v1/backup/{id}/contents',
        'get /api/v1/backup/{id}/download',
        'get /api/v1/backup/{id}/manifest',
        'get /api/v1/deployment',
        'get /api/v1/signing-key',
        'get /api/v1/drills',
        'get /api/v1/drills/{job}',
        'get /api/v1/health',
        'get /api/v1/jobs',
        'get /api/v1/jobs/{job}',
        'get /api/v1/keys',
        'get /api/v1/me',
        'get /api/v1/metrics',
        'get /api/v1/notifications',
        'get /api/v1/calendar',
        'patch /api/v1/backup/{id}',
        'post /api/v1/backup',
        'post /api/v1/backup/prune',
        'post /api/v1/backup/{id}/acknowledge',
        'post /api/v1/backup/{id}/diff',
        'post /api/v1/backup/{id}/thaw',
        'post /api/v1/backup/{id}/verify',
        'post /api/v1/costs',
        'post /api/v1/drills',
        'post /api/v1/jobs/{job}/cancel',
        'post /api/v1/notifications/test',
        'post /api/v1/restore',
        'get /api/v1/overview',
        'get /api/v1/recoverability',
        'delete /api/v1/retention',
        'get /api/v1/retention',
        'put /api/v1/retention',
        'get /api/v1/restore/{job}/parts',
        'post /api/v1/restore/{job}/attach',
        'post /api/v1/restore/{job}/complete',
        'post /api/v1/restore/{job}/confirm',
        'post /api/v1/restore/{job}/options',
        'post /api/v1/restore/{job}/parts',
        'post /api/v1/restore/{job}/reject',
        'delete /api/v1/schedules/{name}',
        'get /api/v1/schedules',
        'get /api/v1/schedules/{name}',
        'patch /api/v1/schedules/{name}',
        'post /api/v1/schedules',
        'post /api/v1/schedules/{name}/run',
      ].sort(),
    );
    // A caller without a response must know whether to retry.
    const starting: string[] = [];
    for (const [path, { post }] of Object.entries(paths)) {
      if (!post) continue;
      expect([path, post.description]).toEqual([path, expect.stringMatching(/again|[Rr]epeat|Idempotent/)]);
      if (!post.parameters?.some(({ name }) => name === 'idempotency-key')) continue;
      expect(post.description).toContain('Idempotency-Key');
      starting.push(path);
    }
    expect(starting.sort()).toEqual([
      '/api/v1/backup',
      '/api/v1/drills',
      '/api/v1/restore',
      '/api/v1/restore/{job}/attach',
      '/api/v1/schedules/{name}/run',
    ]);
    const page = await call(undefined, 'GET', '/docs');
    expect(page.body.text).toContain('POST /api/v1/restore/{job}/confirm');
    expect(page.body.text).not.toMatch(/<script/);
  });
});
