import { randomBytes } from 'node:crypto';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { loadSecret, redact, redactFields } from '../../shared/aws/secrets.ts';

const PASSWORD = `p"a\\s/s w+ö'rd%${randomBytes(3).toString('hex')}`;

test('a credential is masked in every form in which it may appear in a log', async () => {
  // Masking does not depend on the origin of the text: no call leaves this process.
  const client = new SecretsManagerClient({ region: 'eu-central-1' });
  const SecretString = JSON.stringify({ username: 'neo4j', password: PASSWORD });
  client.middlewareStack.add(() => async () => ({ output: { SecretString, $metadata: {} }, response: {} }), {
    step: 'initialize',
  });
  await loadSecret('any', z.unknown(), 'a test', client);
  const forms = [
    PASSWORD,
    JSON.stringify({ password: PASSWORD }),
    JSON.stringify({ cause: JSON.stringify({ password: PASSWORD }) }),
    `https://host/?p=${encodeURIComponent(PASSWORD)}`,
    `https://host/?p=${encodeURIComponent(PASSWORD).toLowerCase()}`,
    new URLSearchParams({ p: PASSWORD }).toString(),
    `Basic ${Buffer.from(PASSWORD).toString('base64')}`,
  ];
  for (const form of forms) {
    const masked = redact(form);
    expect(masked).toContain('***');
    for (const part of [PASSWORD.slice(0, 4), PASSWORD.slice(-6)]) expect(masked).not.toContain(part);
  }
  const fields = redactFields({
    text: PASSWORD,
    deep: [{ [PASSWORD]: { again: `x${PASSWORD}y` } }],
    n: 1,
    none: null,
  });
  expect(fields).toEqual({ text: '***', deep: [{ '***': { again: 'x***y' } }], n: 1, none: null });
});
