import { expect, test } from '@jest/globals';
import neo4j from 'neo4j-driver';
import { NgbakError, UnavailableError } from '../../../shared/errors.ts';
import { toNgbakError } from '../../../shared/stores/neo4j/errors.ts';

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
])('a connection that is lost is tried again: %s, %s', (code, message) => {
  const error = ofDriver(code, message);
  expect(error).toBeInstanceOf(UnavailableError);
  expect((error as Error).message).toBe(
    'Neo4j of target "tests": reading nodes failed: the server can\'t be reached, or the connection broke.',
  );
});

test('what driver and server do not understand of each other is not tried again', () => {
  const error = ofDriver(neo4j.error.PROTOCOL_ERROR, 'Wrong struct size for Point2D, expected 3 but was 2');
  expect(error).toBeInstanceOf(NgbakError);
  expect(error).not.toBeInstanceOf(UnavailableError);
});
