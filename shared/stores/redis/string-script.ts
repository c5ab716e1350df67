import type { Redis } from 'ioredis';
import { bytesOf, listOf, type RedisClient, type Reply } from './client.ts';
import { VALUES_BYTES, WHOLE_STRING_BYTES } from './reading.ts';
import { type ByteString, toBytes } from './scope.ts';
import { type ServerFacts, serverNow } from './server.ts';

/**
 * Reads strings with their expiry times, all from the same instant, in one command: for small values, most of the time
 * would otherwise go into handling each command and reply in the client. KEYS: the keys; ARGV: maximum value length,
 * bytes of all values, command for the expiry. Replies with the values, preceded by all expiry times in one string,
 * each with a 1 if there is a value (doubles, little-endian; joining the values as well would keep the server busy
 * longer than everything else). Keys that are not strings, are too long, or exceed the budget of this call have no
 * value.
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
/** Bytes per key for its expiry and whether there is a value. */
export const FACT_BYTES = 16;

/** The reply of the script, and the time it arrived, in ms since 1970: some servers only report the remaining time. */
export interface ScriptAnswer {
  readonly facts: Buffer;
  readonly values: readonly Reply[];
  readonly at: number;
}

/** Reads the strings among keys with a script. Writes nothing. */
export class StringScript {
  readonly #client: RedisClient;
  readonly #facts: ServerFacts;
  #mayRunScripts = true;

  constructor(client: RedisClient, facts: ServerFacts) {
    this.#client = client;
    this.#facts = facts;
  }

  /** Undefined if the server does not allow scripts, or keys are spread over several servers. */
  async ask(keys: readonly ByteString[]): Promise<ScriptAnswer | undefined> {
    if (!this.#mayRunScripts || this.#client.isCluster) return undefined;
    const [node] = await this.#client.nodes();
    // The read-only form was introduced together with PEXPIRETIME; replicas and read-only users may run it.
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

/** A key in the form the client sends fastest: plain text if it is ASCII. */
function argumentOf(key: ByteString): string | Buffer {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  return /^[\u0000-\u007f]*$/.test(key) ? key : toBytes(key);
}

/** True if scripts are not allowed or not known, or the server's script engine is disabled. */
function isScriptRefusal(error: Error): boolean {
  return /^(NOPERM|ERR|CROSSSLOT)\b/.test(error.message);
}
