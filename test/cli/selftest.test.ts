import { createServer } from 'node:http';
import { expect, test } from '@jest/globals';
import type { CliClient } from '../../cli/client.ts';
import { selfTest } from '../../cli/selftest.ts';
import { UnavailableError } from '../../shared/core/errors.ts';
import { NotFoundError } from '../../shared/core/refusals.ts';

test('a self-test whose upload starts no restore reports it within its limit, cancels the job, and leaves nothing', async () => {
  const s3 = createServer((request, response) => {
    request.resume().on('end', () => response.end());
  });
  await new Promise<void>((resolve) => s3.listen(0, '127.0.0.1', resolve));
  const address = s3.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/part`;
  let state = 'pending';
  let bytes = 0;
  // A deployment whose bucket sends no events: that of the emulator always does.
  const client = {
    requestUpload: (input: { bytes: number }) => {
      bytes = input.bytes;
      return Promise.resolve({ job_id: 'a-job', multipart: { bytes, part_bytes: bytes, part_count: 1 } });
    },
    presignParts: () => Promise.resolve({ expires_at: '', parts: [{ number: 1, bytes, url, headers: {} }] }),
    completeUpload: () => Promise.resolve({}),
    showJob: (id: string) =>
      id === 'a-job'
        ? Promise.resolve({ job_id: id, kind: 'restore', state })
        : Promise.reject(new NotFoundError(`There is no job "${id}".`, { remedy: '' })),
    cancelJob: () => {
      state = 'cancelled';
      return Promise.resolve({});
    },
  } as unknown as CliClient;
  const ended: string[] = [];
  try {
    const result = await selfTest({
      client,
      signal: new AbortController().signal,
      beginTimeoutMs: 0,
      begin: () => undefined,
      end: ({ name, ok }) => ended.push(`${name} ${ok}`),
      progress: () => undefined,
    });
    expect(result.error).toBeInstanceOf(UnavailableError);
    expect(String(result.error)).toContain('has not begun, although its archive is uploaded');
    expect([state, result.clean, ended]).toEqual([
      'cancelled',
      true,
      ['Restore an uploaded archive false', 'Clean up true'],
    ]);
  } finally {
    s3.close();
  }
});
