import { z } from 'zod';
import { summarizeAnswer } from '../answer.ts';
import type { LegContext } from '../leg.ts';
import type { QdrantClient } from './client.ts';
import type { QdrantScope } from './connection.ts';
import { collectionPath } from './paths.ts';
import { countMatching } from './points.ts';

/** A query to one collection, limited to the operations of Qdrant's REST API that only read points. */
export const VectorsQuestion = z.strictObject({
  collection: z.string().min(1).max(255),
  points: z.enum(['count', 'scroll', 'search', 'query', 'recommend', 'discover']),
  body: z.record(z.string(), z.json()).default({}),
});

/** Default smoke checks: the number of points, and the first few of them. */
export function vectorsQuestions({ collections = [], filter }: QdrantScope): unknown[] {
  const condition = filter ? { filter: { must: [{ key: filter.key, match: { value: filter.value } }] } } : {};
  return collections.flatMap((collection) => [
    { collection, points: 'count', body: { exact: true, ...condition } },
    { collection, points: 'scroll', body: { limit: 3, ...condition } },
  ]);
}

/** The same query for a collection that has another name at the destination. */
export function renameVectorsQuestion(question: unknown, names: Readonly<Record<string, string>>): unknown {
  if (typeof question !== 'object' || question === null || !('collection' in question)) return question;
  const { collection } = question;
  return typeof collection === 'string' && Object.hasOwn(names, collection)
    ? { ...question, collection: names[collection] }
    : question;
}

/** Runs the query and summarizes the answer without revealing data. */
export async function queryVectors(
  client: QdrantClient,
  question: unknown,
  { signal }: LegContext,
): Promise<string> {
  const { collection, points, body } = VectorsQuestion.parse(question);
  const path = collectionPath(collection, `/points/${points}`);
  if (points === 'count' && body.exact === true) {
    const filter = body.filter === undefined ? undefined : JSON.stringify(body.filter);
    return summarizeAnswer([{ count: await countMatching(client, collection, filter, signal) }]);
  }
  const result = await client.call('POST', path, { body: JSON.stringify(body), signal });
  if (points === 'count') return summarizeAnswer([result]);
  return summarizeAnswer(
    Array.isArray(result) ? result : ((result as { points?: unknown }).points ?? result),
  );
}
