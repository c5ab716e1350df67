import { describe, expect, test } from '@jest/globals';
import { closing, type ExecutionEnded } from '../../../shared/workflows/janitor/janitor.ts';

const ended = (detail: Partial<ExecutionEnded['detail']>) =>
  closing({ detail: { executionArn: 'arn', name: 'job', status: 'SUCCEEDED', ...detail } });

describe('a job is closed according to the end of its execution:', () => {
  test('succeeded, with the output as its result', () => {
    expect(ended({ output: '{"backup_id": "b"}' })).toMatchObject({
      state: 'completed',
      result: { backup_id: 'b' },
    });
  });

  test('failed, with name and message of the error', () => {
    expect(ended({ status: 'FAILED', error: 'IntegrityError', cause: 'lost a row' })).toMatchObject({
      state: 'failed',
      error: { name: 'IntegrityError', message: 'lost a row' },
    });
  });

  test('timed out, with what to do', () => {
    expect(ended({ status: 'TIMED_OUT' }).error?.message).toMatch(/timed out/);
  });

  test('stopped, which is a cancellation and not a failure', () => {
    expect(ended({ status: 'ABORTED', cause: 'by me' })).toMatchObject({
      state: 'cancelled',
      error: { message: 'by me' },
    });
  });

  test('rejected by the operator, which is a cancellation too', () => {
    expect(ended({ status: 'FAILED', error: 'RestoreRejected', cause: 'no' }).state).toBe('cancelled');
  });
});
