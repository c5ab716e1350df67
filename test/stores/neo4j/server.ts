import { servers } from '../../servers.ts';
import { dropSchema, plainDriver, run, type TestServer } from './graph.ts';

/**
 * The Neo4j server for a test file that backs up, clears and compares whole databases: emptied, and used by this file alone,
 * since each server of the tests serves one file at a time. The file empties it at its end with {@link leaveServer}.
 */
export async function wholeServer(): Promise<TestServer> {
  await clearServer(servers.neo4j);
  return servers.neo4j;
}

/** Leaves nothing behind for the next test file. */
export async function leaveServer(): Promise<void> {
  await clearServer(servers.neo4j);
}

async function clearServer(server: TestServer): Promise<void> {
  const driver = plainDriver(server);
  try {
    await run(driver, 'MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS');
    await dropSchema(driver);
  } finally {
    await driver.close();
  }
}
