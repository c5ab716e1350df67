import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import { summarizeAnswer } from '../answer.ts';
import type { LegContext } from '../leg.ts';
import type { RedisClient } from './client.ts';
import { scanScope } from './keys.ts';
import { type KeySpace, showKey, toByteString, toBytes } from './scope.ts';

/** Commands that only read a single key. */
const COMMANDS = [
  'GET',
  'EXISTS',
  'TYPE',
  'STRLEN',
  'HGET',
  'HLEN',
  'LLEN',
  'LINDEX',
  'SCARD',
  'SISMEMBER',
  'ZCARD',
  'ZSCORE',
  'XLEN',
] as const;

/** A command on one key of the scope, such as `["EXISTS", "nano_graphrag:full_docs:doc-1"]`; `["ANY"]` reads any key. */
export const KeysQuestion = z.union([
  z.tuple([z.literal('ANY')]),
  z.tuple([z.enum(COMMANDS), z.string().min(1).max(2048)]).rest(z.string().max(2048)),
]);

/** The default smoke check: whether any key can be read. */
export function keysQuestions(): unknown[] {
  return [['ANY']];
}

/** Runs the command, and returns its result without data. */
export async function queryKeys(
  client: RedisClient,
  space: KeySpace,
  question: unknown,
  { signal }: LegContext,
): Promise<string> {
  const [command, key, ...rest] = KeysQuestion.parse(question);
  if (key === undefined) return anyKey(client, space, signal);
  if (space.namespaceOf(toByteString(key)) === undefined) {
    throw new InvalidInputError(`Key "${showKey(toByteString(key))}" is not part of the scope.`, {
      remedy: 'Use a key that belongs to the knowledge base.',
    });
  }
  const reply = await client.call(await client.nodeOf(Buffer.from(key)), command, key, ...rest);
  return summarizeAnswer(Buffer.isBuffer(reply) ? reply.toString('latin1') : reply);
}

async function anyKey(client: RedisClient, space: KeySpace, signal: AbortSignal): Promise<string> {
  for (const node of await client.nodes()) {
    for await (const [first] of scanScope(client, node, space)) {
      signal.throwIfAborted();
      if (!first) continue;
      const key = toBytes(first.key);
      // Proves that single keys can be read. A key that expires at this moment still counts as found.
      await client.call(node, 'EXISTS', key);
      return 'key found';
    }
  }
  return 'no key found';
}
