import type { Neo4jServer, Parameters } from './server.ts';

/** The result of a counting query, in its column `found`. */
export async function count(
  server: Neo4jServer,
  cypher: string,
  parameters: Parameters,
  signal: AbortSignal,
): Promise<number> {
  const [row] = await server.read('counting', cypher, parameters, signal);
  return Number(row?.found ?? 0);
}
