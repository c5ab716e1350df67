import { type Stack, startStack } from '../../../local/stack.ts';
import type { TestServer } from './graph.ts';

let stack: Promise<Stack<'neo4j'>> | undefined;

/**
 * A Neo4j server for this test file alone, since these tests back up and clear whole databases and compare fences.
 * `NGBAK_TEST_PRIVATE_NEO4J=1` states that NEO4J_URI is such a server.
 */
export async function privateServer(): Promise<TestServer> {
  const { NEO4J_URI, NEO4J_USERNAME, NEO4J_PASSWORD, ...environment } = process.env;
  if (process.env.NGBAK_TEST_PRIVATE_NEO4J === '1') {
    return { uri: NEO4J_URI ?? '', username: NEO4J_USERNAME ?? '', password: NEO4J_PASSWORD ?? '' };
  }
  stack ??= startStack({ services: ['neo4j'], environment });
  const { uri, username, password } = (await stack).neo4j;
  return { uri, username, password };
}

/** Stops the server, if one was started. */
export async function stopPrivateServer(): Promise<void> {
  const running = stack;
  stack = undefined;
  await (await running)?.stop();
}
