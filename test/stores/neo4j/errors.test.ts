import { expect, test } from '@jest/globals';
import neo4j from 'neo4j-driver';
import { IntegrityError, NgbakError, UnavailableError } from '../../../shared/core/errors.ts';
import { toNgbakError, tooLong } from '../../../shared/stores/neo4j/errors.ts';

const ofDriver = (code: string, message: string) =>
  toNgbakError(new neo4j.Neo4jError(message, code, '50N42', '', undefined), 'tests', 'reading nodes');

test.each([
  [neo4j.error.SERVICE_UNAVAILABLE, 'Connection was closed by server'],
  [neo4j.error.SESSION_EXPIRED, 'Server at 127.0.0.1:7687 is no longer available'],
  // A server that is killed while the driver resets the connection to it.
  [neo4j.error.PROTOCOL_ERROR, 'Failed to connect to server. Caused by: read ECONNRESET'],
  [
    neo4j.error.PROTOCOL_ERROR,
    'Received FAILURE as a response for RESET: Neo4jError: Connection was closed by server',
  ],
  ['N/A', 'Cannot commit this transaction, because it has been rolled back either because of an error'],
  ['N/A', 'Connection acquisition timed out in 30000 ms.'],
])('a lost connection is retried: %s, %s', (code, message) => {
  const error = ofDriver(code, message);
  expect(error).toBeInstanceOf(UnavailableError);
  expect((error as Error).message).toBe(
    'Neo4j of target "tests": reading nodes failed: the server cannot be reached, or the connection was lost.',
  );
});

test('a protocol error between driver and server is not retried', () => {
  const error = ofDriver(neo4j.error.PROTOCOL_ERROR, 'Wrong struct size for Point2D, expected 3 but was 2');
  expect(error).toBeInstanceOf(NgbakError);
  expect(error).not.toBeInstanceOf(UnavailableError);
});

test.each([
  'Neo.ClientError.Transaction.TransactionTimedOut',
  // Of Neo4j 5.26.
  'Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration',
])(
  'a query over a whole scope that exceeds db.transaction.timeout is not repeated, and the error names the setting: %s',
  (code) => {
    const timedOut = new neo4j.Neo4jError('terminated', code, '50N42', '', undefined);
    expect(tooLong(timedOut, 'tests', 'counting')).toMatchObject({
      retryable: false,
      remedy: expect.stringContaining('db.transaction.timeout'),
    });
    // A batch or a page may finish in time on the next attempt.
    expect(toNgbakError(timedOut, 'tests', 'reading nodes')).toMatchObject({
      retryable: true,
      remedy: expect.stringContaining('db.transaction.timeout'),
    });
    expect(
      tooLong(new neo4j.Neo4jError('', 'Neo.TransientError.X', '', '', undefined), 'tests', 'counting'),
    ).toBe(undefined);
  },
);

test('data that violates a constraint is not reported as an error of the server', () => {
  const error = ofDriver(
    'Neo.DatabaseError.Schema.ConstraintCreationFailed',
    'Unable to create Constraint: Both Node(1) and Node(2) have the label `E` and property `id` = "secret"',
  );
  expect(error).toBeInstanceOf(IntegrityError);
  expect(String((error as Error).message)).not.toContain('secret');
  expect(ofDriver('Neo.DatabaseError.Schema.ConstraintCreationFailed', 'No space left')).toBeInstanceOf(
    UnavailableError,
  );
});
