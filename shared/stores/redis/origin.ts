import { AccessDeniedError } from '../../core/errors.ts';
import type { LegContext } from '../leg.ts';
import type { Command, RedisClient } from './client.ts';
import { type KeySpace, toBytes } from './scope.ts';

/**
 * Writes the origin of a scope's keys into a separate hash, because values cannot carry labels. Its name is not part of
 * any scope, and a restore that replaces the keys removes it.
 */
export async function writeOrigin(
  client: RedisClient,
  space: KeySpace,
  origin: Readonly<Record<string, string>>,
  context: LegContext,
): Promise<void> {
  const name = toBytes(space.origin);
  const commands: Command[] = [
    ['UNLINK', name],
    ['HSET', name, ...Object.entries(origin).flat()],
  ];
  try {
    await client.sendAll(await client.nodeOf(name), commands);
  } catch (error) {
    // The keys are restored and verified: a missing label must not trigger a rollback.
    if (!(error instanceof AccessDeniedError) || error.isLogin) throw error;
    context.warn({
      code: 'origin-not-written',
      text: `${client.name}: the hash with the labels of origin could not be written; allow HSET for it.`,
      samples: [space.origin],
    });
  }
}
