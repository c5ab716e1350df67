import type { Redis } from 'ioredis';
import { bytesOf, listOf, type RedisClient, type Reply } from './client.ts';
import { VALUES_BYTES, WHOLE_STRING_BYTES } from './reading.ts';
import { type ByteString, toBytes } from './scope.ts';
import { type ServerFacts, serverNow } from './server.ts';

/**
 * Reads strings with their expiries, all of the same instant, in one command: the client's own work for each command and each
 * reply is most of what reading small values costs. KEYS: the keys; ARGV: longest value, bytes of all values, command for the
 * expiry. Replies the values, and before them all expiries in one string, each with 1 where there is a value (doubles,
 * little-endian; joining the values as well would keep the server busy for longer than all the rest). Keys that are no
 * strings, too long, or beyond the budget of this call have no value.
 */
const READ_STRINGS = `
local longest, budget, expire = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local facts, replies, count = {}, {}, 1
for index, key in ipairs(KEYS) do
  local has_value, expiry = 0, redis.call(expire, key)
  if expiry ~= -2 then
    local length = redis.pcall('STRLEN', key)
    if type(length) == 'number' and length <= longest and length <= budget then
      local value = redis.call('GET', key)
      if value then
        count = count + 1
        replies[count] = value
        budget = budget - length
        has_value = 1
      end
    end
  end
  facts[index] = struct.pack('<dd', expiry, has_value)
end
replies[1] = table.concat(facts)
return replies`;
/** Bytes that say expiry of one key, and whether there is a value. */
export const FACT_BYTES = 16;

/** What the script replied, and when that came, in ms since 1970: some servers tell only what time is left. */
export interface ScriptAnswer {
  readonly facts: Buffer;
  readonly values: readonly Reply[];
  readonly at: number;
}

/** Reads the strings among keys by a script. Writes nothing. */
export class StringScript {
  readonly #client: RedisClient;
  readonly #facts: ServerFacts;
  #mayRunScripts = true;

  constructor(client: RedisClient, facts: ServerFacts) {
    this.#client = client;
    this.#facts = facts;
  }

  /** Undefined where the server lets nobody run scripts, or keys lie on several servers. */
  async ask(keys: readonly ByteString[]): Promise<ScriptAnswer | undefined> {
    if (!this.#mayRunScripts || this.#client.isCluster) return undefined;
    const [node] = await this.#client.nodes();
    // The read-only form came together with PEXPIRETIME; replicas and readers may run it.
    const command = this.#facts.hasExpireTime ? 'EVAL_RO' : 'EVAL';
    const limits = [WHOLE_STRING_BYTES, VALUES_BYTES, this.#facts.hasExpireTime ? 'PEXPIRETIME' : 'PTTL'];
    const [reply] = await this.#client.send(
      node as Redis,
      [[command, READ_STRINGS, keys.length, ...keys.map(argumentOf), ...limits]],
      isScriptRefusal,
    );
    if (reply instanceof Error) {
      this.#mayRunScripts = false;
      return undefined;
    }
    const [first, ...values] = listOf(reply);
    const facts = bytesOf(first);
    if (facts.length !== keys.length * FACT_BYTES) throw new TypeError('the script replied something else');
    return { facts, values, at: serverNow(this.#facts) };
  }
}

/** A key as the client sends it fastest: plain text where it is ASCII. */
function argumentOf(key: ByteString): string | Buffer {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  return /^[\u0000-\u007f]*$/.test(key) ? key : toBytes(key);
}

/** Scripts are not allowed, not known, or the server's script engine is off. */
function isScriptRefusal(error: Error): boolean {
  return /^(NOPERM|ERR|CROSSSLOT)\b/.test(error.message);
}
