import { beforeAll, expect, test } from '@jest/globals';
import { AccessList, Authenticator, newApiKey } from '../../shared/api/access.ts';
import type { Api } from '../../shared/api/api.ts';
import { makeApi } from '../../shared/api/app.ts';
import { apiDocument } from '../../shared/api/document.ts';
import { Problem } from '../../shared/api/problem.ts';
import { fc } from '../fast-check.ts';
import { freshContext } from '../operations/context.ts';

/** Many callers, so that none is refused by the rate limit. */
const CALLERS = Array.from({ length: 100 }, (_, i) => newApiKey(`fuzz-${i}`, 'admin'));
let calls = 0;
let api: Api;
let logged: string[] = [];

beforeAll(async () => {
  const context = await freshContext({ config: true });
  const list = AccessList.parse({ keys: CALLERS.map(({ entry }) => entry) });
  api = makeApi({
    context,
    authenticator: new Authenticator(async () => list),
    allowedOrigins: [],
    audit: () => undefined,
    log: (message, fields) => logged.push(`${message} ${JSON.stringify(fields)}`),
    origin: () => ({ from: '192.0.2.1', requestId: 'r' }),
    timeLeft: () => 30_000,
  });
});

const NAMES = [
  'tags',
  'note',
  'target',
  'stores',
  'backup_id',
  'file_name',
  'confirm',
  'retention',
  'limit',
  'cursor',
];
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '..', '%00', '__proto__'),
);
const anyValue = fc.oneof(fc.jsonValue(), anyText, fc.constantFrom(null, -1, 1e308, [], {}));
const anyBody = fc.oneof(
  fc
    .dictionary(fc.oneof(fc.constantFrom(...NAMES), fc.string()), anyValue)
    .map((body) => JSON.stringify(body)),
  fc.jsonValue().map((body) => JSON.stringify(body)),
  fc.string(),
);

test('no request causes an unexpected error, and every refusal is a problem document', async () => {
  const routes = Object.entries(apiDocument().paths ?? {}).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => [method.toUpperCase(), path] as const),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...routes),
      anyText,
      fc.dictionary(fc.oneof(fc.constantFrom(...NAMES), fc.string()), anyText, { maxKeys: 3 }),
      anyBody,
      fc.constantFrom('application/json', 'text/plain', ''),
      async ([method, path], id, query, body, type) => {
        logged = [];
        const where = path.replaceAll(/\{\w+\}/g, encodeURIComponent(id.toWellFormed()));
        const wellFormed = Object.entries(query).map(([name, value]) => [name, value.toWellFormed()]);
        const answer = await api.request(`${where}?${new URLSearchParams(wellFormed)}`, {
          method,
          headers: {
            authorization: `Bearer ${CALLERS[calls++ % CALLERS.length]?.key}`,
            'content-type': type,
            'idempotency-key': 'x',
          },
          ...(method === 'GET' ? {} : { body: body.toWellFormed() }),
        });
        const text = await answer.text();
        expect([answer.status, logged]).toEqual([expect.any(Number), []]);
        expect(answer.status).not.toBe(429);
        expect(answer.status).toBeLessThan(500);
        if (answer.status < 400) return;
        expect(answer.headers.get('content-type')).toBe('application/problem+json');
        expect(Problem.parse(JSON.parse(text)).status).toBe(answer.status);
      },
    ),
    { numRuns: 500 },
  );
});
