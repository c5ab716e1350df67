import { type Command, integerOf, type Reply } from './client.ts';
import type { Item } from './record.ts';
import { type ServerFacts, serverNow } from './server.ts';

/**
 * Precision of expiry times on servers before Redis 7.0, in ms: they report the remaining time, and the reply has
 * latency.
 */
const TIME_LEFT_ERROR_MS = 2_000;

/** The command for the expiry of a key: PEXPIRETIME, or PTTL if the server does not support it. */
export function expiryCommand(facts: ServerFacts, name: Buffer): Command {
  return [facts.hasExpireTime ? 'PEXPIRETIME' : 'PTTL', name];
}

/**
 * Absolute expiry in ms since 1970 from the reply to {@link expiryCommand}; null if the key does not expire, undefined
 * if it does not exist.
 *
 * @param at  when the reply arrived, by the server's clock
 */
export function expiryOf(
  facts: ServerFacts,
  reply: Reply | undefined,
  at = serverNow(facts),
): number | null | undefined {
  if (reply instanceof Error) throw reply;
  const value = integerOf(reply);
  if (value === -2) return undefined;
  if (value < 0) return null;
  return facts.hasExpireTime ? value : at + value;
}

/** Whether two expiry times are the same, as precisely as the server reports them. */
export function isSameExpiry(
  { hasExpireTime }: Pick<ServerFacts, 'hasExpireTime'>,
  left: number | null,
  right: number | null,
): boolean {
  if (left === null || right === null) return left === right;
  return Math.abs(left - right) <= (hasExpireTime ? 0 : TIME_LEFT_ERROR_MS);
}

/** The command for the expiry times of some fields of a hash. */
export function fieldExpiryCommand(name: Buffer, fields: readonly Buffer[]): Command {
  return ['HPEXPIRETIME', name, 'FIELDS', fields.length, ...fields];
}

/** Adds expiry times to the fields of a hash, in the same order. Omits fields that no longer exist. */
export function withExpiries(items: readonly Item[], expiries: readonly Reply[]): Item[] {
  return items.flatMap((item, index): Item[] => {
    const expiry = integerOf(expiries[index] ?? -2);
    if (expiry === -2) return [];
    return [expiry >= 0 ? [...item, Buffer.from(String(expiry))] : item];
  });
}
