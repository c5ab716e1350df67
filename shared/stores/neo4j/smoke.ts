import { z } from 'zod';
import { summarizeAnswer } from '../answer.ts';
import type { LegContext } from '../leg.ts';
import type { Neo4jScope } from './connection.ts';
import { type ScopeText, scopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';

/**
 * A read-only Cypher query. `$label` is the label of the scope, or null; `$scope_values` are the values of its property,
 * if it has one.
 */
export const GraphQuestion = z.string().min(1).max(2000);

/** The query used if the configuration contains none. */
export function graphQuestions(scope: Neo4jScope): string[] {
  const { find } = scopeText(scope);
  return [
    `${find('n')} RETURN count(n) AS nodes`,
    `${find('n', '-[r]->()')} WITH r LIMIT 1000 RETURN count(r) AS relationships`,
  ];
}

/** Runs the query in a read transaction, in which the server rejects every write. */
export async function queryGraph(
  server: Neo4jServer,
  { label, parameters }: ScopeText,
  question: unknown,
  { signal }: LegContext,
): Promise<string> {
  const cypher = GraphQuestion.parse(question);
  return summarizeAnswer(
    await server.read('asking a smoke question', cypher, { ...parameters, label: label ?? null }, signal),
  );
}
