import { createHash } from 'node:crypto';
import { NgbakError } from '../../core/errors.ts';
import type { StoreProof } from '../proof.ts';
import { bytesOf, type RedisClient } from './client.ts';
import { infoFields } from './server.ts';

/** The first major version that counts the calls of each subcommand, and answers several sections at once. */
const MAJOR_MIN = 7;
/** Servers whose counters are known to have the meaning that a proof needs. */
const KNOWN_SERVERS: readonly string[] = ['redis', 'valkey'];
/** Sections of INFO, all of the same instant. */
const SECTIONS = [
  'server',
  'persistence',
  'stats',
  'replication',
  'commandstats',
  'modules',
  'cluster',
  'keyspace',
];

/**
 * Commands that change no key, by the names of `INFO commandstats`. All others count as writes, also those that are
 * unknown here: this can only cause a store to be read without need. PFCOUNT is missing because it updates the value;
 * scripts and functions are listed because the commands that they call are counted themselves.
 */
const HARMLESS = new Set(
  [
    'get mget getrange substr strlen lcs getbit bitcount bitpos bitfield_ro exists type ttl pttl expiretime',
    'pexpiretime keys scan randomkey dbsize dump sort_ro hget hmget hgetall hkeys hvals hlen hexists hstrlen',
    'hrandfield hscan httl hpttl hexpiretime hpexpiretime lrange lindex llen lpos smembers sismember smismember',
    'scard sinter sintercard sunion sdiff srandmember sscan zrange zrangebyscore zrangebylex zrevrange',
    'zrevrangebyscore zrevrangebylex zscore zmscore zcard zcount zlexcount zrank zrevrank zrandmember zinter',
    'zintercard zunion zdiff zscan xrange xrevrange xlen xread xpending geodist geohash geopos geosearch',
    'georadius_ro georadiusbymember_ro ping echo auth hello select quit reset readonly readwrite multi exec discard',
    'watch unwatch wait waitaof eval evalsha eval_ro evalsha_ro fcall fcall_ro subscribe psubscribe ssubscribe',
    'unsubscribe punsubscribe sunsubscribe publish spublish monitor info time role lastsave command lolwut save bgsave',
    'bgrewriteaof psync sync replconf touch',
  ].flatMap((names) => names.split(' ')),
);
/** The same for commands with subcommands: those of which no subcommand changes keys. */
const HARMLESS_GROUPS = new Set('acl client command latency memory object pubsub slowlog xinfo'.split(' '));
const HARMLESS_SUBCOMMANDS = new Set(['config|get', 'config|help', 'script|exists', 'script|load']);
/** Set by a call that resets the counters; it counts itself afterwards. */
const RESET = 'config|resetstat';

/**
 * Proves that no key of a server has changed: it is the same process (its random run id), and neither its counter of
 * changes nor the calls of any command that may write, or their effects by expiry and eviction, have changed. The
 * counter of changes restarts with each save, the others after `CONFIG RESETSTAT`, which is noticed. Writes to other
 * databases count as well. The replication offset is not used: it does not advance without replicas, and with replicas
 * it advances without writes.
 *
 * There is no proof if the content can change without a command: keys that expire (an expired key is absent before the
 * server removes and counts it), a replica, a cluster, whose slots move, and modules, whose own writes are not counted.
 */
export async function proveKeys(client: RedisClient): Promise<StoreProof> {
  if (client.isCluster) return { reason: 'slots of a cluster can move, which no counter shows' };
  const [node] = await client.nodes();
  if (!node) return { reason: 'there is no server' };
  let text: string;
  try {
    text = bytesOf(await client.call(node, 'INFO', ...SECTIONS)).toString('utf8');
  } catch (error) {
    // Versions before 7.0 answer one section at a time, and an ACL may not allow INFO.
    if (!(error instanceof NgbakError) || error.retryable) throw error;
    return { reason: `its counters cannot be read at one instant: ${error.message}` };
  }
  return proofOf(text, node.options.db ?? 0);
}

/** The proof in the reply to INFO. */
export function proofOf(text: string, database: number): StoreProof {
  const info = infoFields(Buffer.from(text));
  const reason = obstacle(info, database);
  if (reason !== undefined) return { reason };
  const calls = Object.entries(info)
    .filter(([name]) => name.startsWith('cmdstat_'))
    .map(([name, value]) => [name.slice('cmdstat_'.length), /^calls=(\d+)/.exec(value)?.[1] ?? ''] as const)
    .filter(([name]) => !isHarmless(name))
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const total = calls.reduce((sum, [, count]) => sum + Number(count), 0);
  const digest = createHash('sha256').update(JSON.stringify(calls)).digest('hex').slice(0, 32);
  return {
    values: {
      server: `${info.server_name ?? 'redis'} ${info.valkey_version ?? info.redis_version}, run ${info.run_id}`,
      database: String(database),
      replication: `${info.master_replid} ${info.master_replid2} ${info.second_repl_offset}`,
      changes: `${info.rdb_changes_since_last_save} since the save ${info.rdb_saves ?? ''}@${info.rdb_last_save_time}`,
      removed: `${info.expired_keys} expired, ${info.evicted_keys} evicted`,
      writing_commands: `${total}, digest ${digest}`,
    },
  };
}

/** Why the counters prove nothing. Undefined if they do. */
function obstacle(info: Record<string, string>, database: number): string | undefined {
  const server = info.server_name ?? 'redis';
  const major = Number.parseInt(info.redis_version ?? '', 10);
  if (!KNOWN_SERVERS.includes(server) || info.dragonfly_version !== undefined) {
    return `the meaning of the counters of ${server} is not known`;
  }
  if (!(major >= MAJOR_MIN)) return 'servers before Redis 7 do not show whether their counters were reset';
  if ((info.server_mode ?? info.redis_mode) !== 'standalone' || info.cluster_enabled !== '0') {
    return 'slots of a cluster can move, which no counter shows';
  }
  if (info.role !== 'master')
    return 'a replica also changes by replication, which is not counted as commands';
  if (info.loading !== '0' || (info.async_loading ?? '0') !== '0') return 'it is loading its data';
  if (info.module !== undefined) return 'writes of its modules are not counted';
  const keys = info[`db${database}`] ?? '';
  const expiring = [...keys.matchAll(/(?:^|,)(?:expires|subexpiry|keys_with_volatile_items)=(\d+)/g)];
  if (expiring.some(([, count]) => count !== '0'))
    return 'keys of its database expire, which changes it over time';
  if (info[`cmdstat_${RESET}`] !== undefined)
    return 'its counters were reset (CONFIG RESETSTAT) since its start';
  const needed = ['run_id', 'master_replid', 'rdb_changes_since_last_save', 'rdb_last_save_time'];
  const absent = [...needed, 'expired_keys', 'evicted_keys', 'cmdstat_info'].find((name) => !info[name]);
  return absent === undefined ? undefined : `it does not report ${absent.replace('cmdstat_', 'calls of ')}`;
}

function isHarmless(name: string): boolean {
  return (
    HARMLESS.has(name) || HARMLESS_SUBCOMMANDS.has(name) || HARMLESS_GROUPS.has(name.split('|')[0] ?? '')
  );
}
