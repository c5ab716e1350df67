import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../shared/core/json.ts';
import { configAdapter } from '../../../shared/stores/config/adapter.ts';
import { isSecretName, MASK, maskSecrets, maskText } from '../../../shared/stores/config/mask.ts';

/** Concatenated, so that no scanner takes them for real ones. */
const OPENAI_KEY = `sk-${'proj-Ab3'.repeat(5)}`;
const AWS_KEY = `AKIA${'Q'.repeat(16)}`;
const JWT = `eyJ${'hbGciOi'.repeat(3)}.eyJ${'zdWIiOi'.repeat(3)}.${'c2ln'.repeat(4)}`;

async function exported(effective: unknown): Promise<string> {
  const store = configAdapter.create({}, { target: 'demo', effective }, { target: 'demo' });
  const context = {
    jobId: 'test',
    timeLeft: () => 1000,
    signal: new AbortController().signal,
    progress: () => undefined,
    warn: () => undefined,
    log: () => undefined,
  };
  const [shard] = await store.plan(context, await store.probe(context));
  if (!shard) throw new Error('no shard');
  const texts: string[] = [];
  for await (const { piece } of store.export(shard, null, context)) {
    expect(piece.name).toBe('config/effective.json');
    for await (const chunk of piece.data) texts.push(Buffer.from(chunk).toString('utf8'));
  }
  return texts.join('');
}

describe('the saved configuration', () => {
  test('contains every setting except secrets, in a fixed order', async () => {
    const one = await exported({ b: 1, a: { chunk_token_size: 1200, model: 'gpt-4o-mini', on: true } });
    const two = await exported({ a: { on: true, model: 'gpt-4o-mini', chunk_token_size: 1200 }, b: 1 });
    expect(one).toBe(two);
    expect(JSON.parse(one)).toEqual({
      target: 'demo',
      effective: { a: { chunk_token_size: 1200, model: 'gpt-4o-mini', on: true }, b: 1 },
    });
  });

  test('holds no secret, wherever it occurs', async () => {
    const secrets = ['hunter2hunter2', OPENAI_KEY, AWS_KEY, JWT, 'p4ss', 'x9-signature'];
    const text = await exported({
      OPENAI_API_KEY: OPENAI_KEY,
      redis: { password: 'hunter2hunter2', nested: { tokens: ['hunter2hunter2'] } },
      note: `the key is ${OPENAI_KEY}, the id ${AWS_KEY}`,
      neo4j: 'bolt://neo4j:p4ss@db.example:7687',
      presigned: 'https://b.s3.amazonaws.com/k?X-Amz-Signature=x9-signature&X-Amz-Expires=60',
      environment: [
        { name: 'JWT_SECRET', value: 'hunter2hunter2' },
        { name: 'HEADER', value: `Bearer ${JWT}` },
      ],
      embedded: JSON.stringify({ api_key: 'hunter2hunter2', region: 'eu-central-1' }),
      [`odd ${OPENAI_KEY}`]: 1,
    });
    for (const secret of secrets) expect(text).not.toContain(secret);
    expect(text).toContain('db.example:7687');
    expect(text).toContain('eu-central-1');
    expect(text).toContain('X-Amz-Expires=60');
  });

  test('a changed secret does not change the digest, a changed setting does', async () => {
    const fence = async (effective: Json) => {
      const store = configAdapter.create({}, { target: 'demo', effective }, { target: 'demo' });
      return (await store.probe({} as never)).fence;
    };
    expect(await fence({ password: 'a', n: 1 })).toEqual(await fence({ password: 'b', n: 1 }));
    expect(await fence({ password: 'a', n: 1 })).not.toEqual(await fence({ password: 'a', n: 2 }));
  });
});

describe('names of secrets', () => {
  test.each([
    'password',
    'DB_PASSWORD',
    'openaiApiKey',
    'api-key-2',
    'AWS_SECRET_ACCESS_KEY',
    'authToken',
    'client_secret',
    'Authorization',
    'private_key',
    'credentials',
    'slack_webhook_url',
  ])('%s is recognized', (name) => expect(isSecretName(name)).toBe(true));
  test.each([
    'max_tokens',
    'MAX_TOKENS',
    'chunk_token_size',
    'tokens',
    'secret_arn',
    'keyspace',
    'monkey',
    'author',
    'model_name',
    'passage_limit',
    'key_property',
    'llm_max_output_tokens',
  ])('%s is not recognized', (name) => expect(isSecretName(name)).toBe(false));

  test('with a missing value stay visible, and the argument is not modified', () => {
    const value = { password: null, api_key: '', token: 'abc', secrets: { a: 'b' } };
    expect(maskSecrets(value)).toEqual({ password: null, api_key: '', token: MASK, secrets: { a: MASK } });
    expect(value.token).toBe('abc');
  });

  test('logins in addresses are removed from texts, and nothing else', () => {
    expect(maskText('redis://user:pw@host:6379/0 and https://host/path')).toBe(
      'redis://***@host:6379/0 and https://host/path',
    );
  });
});
