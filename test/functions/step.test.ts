import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { step } from '../../functions/step.ts';
import { TRANSIENT_ERRORS } from '../../infra/workflows/errors.ts';
import { IntegrityError, NgbakError } from '../../shared/core/errors.ts';
import { FileChangedError } from '../../shared/stores/files/errors.ts';
import type { LegLimits } from '../../shared/workflows/environment.ts';

/** A step stops ten seconds before the platform would kill it: here, at once. */
const ALMOST_OVER = { functionName: 'Ngbak-test', awsRequestId: '1', getRemainingTimeInMillis: () => 10_020 };

const before = { ...process.env };
beforeAll(() => {
  Object.assign(process.env, {
    NGBAK_BUCKET: 'archive',
    NGBAK_CONFIG: '{"targets":{}}',
    AWS_REGION: 'eu-central-1',
  });
});
afterAll(() => {
  process.env = before;
});

/** Runs work that never ends until it is aborted; `report` maps the abort to the error that the work throws. */
async function errorAfterAbort(report: (signal: AbortSignal) => unknown): Promise<Error> {
  const wait = ({ signal }: LegLimits) =>
    new Promise((_, reject) =>
      signal.addEventListener('abort', () => reject(report(signal)), { once: true }),
    );
  const handler = step(z.object({}), (_environment, _input, leg) => wait(leg));
  return handler({}, ALMOST_OVER).then(
    () => new Error('The step did not fail.'),
    (error: Error) => error,
  );
}

test.each<[string, (signal: AbortSignal) => unknown]>([
  ['the reason of the abort', (signal) => signal.reason],
  ['an error of a driver', () => new DOMException('The operation was aborted', 'AbortError')],
  [
    'an error of ours with the reason as its cause',
    (signal) => new NgbakError('Stopped.', { remedy: 'Start it again.', cause: signal.reason }),
  ],
  [
    'an error of ours with a driver’s error as its cause',
    () =>
      new NgbakError('Could not read.', {
        remedy: 'Check the server.',
        cause: new Error('query failed', { cause: new DOMException('aborted', 'AbortError') }),
      }),
  ],
  ['any other error', () => new TypeError('terminated')],
])('a step that ran out of time is retried if its work ended with %s', async (_, report) => {
  const error = await errorAfterAbort(report);
  expect(TRANSIENT_ERRORS).toContain(error.name);
  expect(error.message).toMatch(/^Ngbak-test ran out of time\. ngbak retries automatically\./);
});

test('a step that fails for a transient cause is retried, regardless of the name of the error', async () => {
  const handler = step(z.object({}), () => Promise.reject(new FileChangedError('Folder /kb', 'a.json')));
  const error = await handler({}, ALMOST_OVER).then(
    () => new Error('The step did not fail.'),
    (thrown: Error) => thrown,
  );
  expect(error.message).toContain('a.json');
  expect(TRANSIENT_ERRORS).toContain(error.name);
});

test('a step that finds damaged data as it runs out of time reports that, and is not retried', async () => {
  const error = await errorAfterAbort(
    () => new IntegrityError('Entry 3 was changed.', { remedy: 'Use another copy.' }),
  );
  expect(error.name).toBe('IntegrityError');
  expect(TRANSIENT_ERRORS).not.toContain(error.name);
});
