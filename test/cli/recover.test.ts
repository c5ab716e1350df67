import { expect, test } from '@jest/globals';
import { apiClient } from '../../cli/api-client.ts';
import { run } from './run.ts';

test('a recovery through the HTTP API is refused with the option that uses AWS credentials', () => {
  expect(() => apiClient('https://example.com', 'key').recover([], {}, {} as never)).toThrow(
    'Recovering backups needs AWS credentials',
  );
});

test.each([
  [
    ['recover', 'vault', '--trusted-key', '/nonexistent/key.pem'],
    /public key \/nonexistent\/key\.pem cannot be read/,
  ],
  [['recover', 'x'], /The copy/],
])('%j ends with code 2 and the reason, before AWS is called', async (args, reason) => {
  const { code, stderr, stdout } = await run(args, {
    AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
    AWS_REGION: 'eu-west-1',
  });
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(reason);
});
