import type { Redis } from 'ioredis';

/** The contents under a prefix, read by plain commands, without code shared with the adapter. */
export async function contentOf(redis: Redis, root: string): Promise<Record<string, unknown>> {
  const content: Record<string, unknown> = {};
  const keys: Buffer[] = [];
  let cursor = '0';
  do {
    const [next, page] = await redis.scanBuffer(cursor, 'MATCH', `${root}*`, 'COUNT', 1000);
    cursor = next.toString();
    keys.push(...page);
  } while (cursor !== '0');
  for (const key of keys.sort(Buffer.compare)) {
    const type = await redis.type(key);
    const read: Record<string, () => Promise<unknown>> = {
      string: () => redis.getBuffer(key),
      hash: async () => Object.entries(await redis.hgetall(key)).sort(),
      list: () => redis.lrangeBuffer(key, 0, -1),
      set: async () => (await redis.smembersBuffer(key)).map((member) => member.toString('hex')).sort(),
      zset: () => redis.callBuffer('ZRANGE', [key, 0, -1, 'WITHSCORES']),
      stream: async () => [
        await redis.xrangeBuffer(key, '-', '+'),
        (await redis.call('XINFO', 'GROUPS', key)) as unknown,
        ((await redis.call('XINFO', 'STREAM', key)) as unknown[]).slice(6),
      ],
    };
    content[key.toString('latin1').slice(root.length)] = {
      type,
      value: await read[type]?.(),
      expires: await redis.call('PEXPIRETIME', key),
    };
  }
  return content;
}

/** One key of every type, with values that are easily lost. */
export async function plant(redis: Redis, root: string, inAnHour = Date.now() + 3_600_000): Promise<void> {
  const pipeline = redis.pipeline();
  pipeline.set(
    `${root}full_docs:doc-1`,
    '{"content": "Ein Text – mit  Abständen",  "n": 1.0, "big": 18446744073709551616}',
  );
  pipeline.set(`${root}full_docs:doc "2"\\\n`, '[1,2,3]');
  pipeline.set(`${root}llm_response_cache:a`, '{"return":"😀"}', 'PXAT', inAnHour + 123);
  pipeline.set(`${root}llm_response_cache:b`, '"text"', 'PXAT', inAnHour);
  pipeline.set(`${root}odd:empty`, '');
  pipeline.set(`${root}odd:text`, 'no JSON', 'PXAT', inAnHour);
  pipeline.set(`${root}odd:spaced`, ' {"a":1}');
  pipeline.set(`${root}odd:nan`, '{"a":NaN}');
  pipeline.set(`${root}odd:binary`, Buffer.from([0, 255, 254, 10, 13, 34, 92, 128]));
  pipeline.set(
    Buffer.concat([Buffer.from(`${root}odd:`), Buffer.from([255, 0, 34, 123])]),
    '{"binary":"key"}',
  );
  pipeline.set(`${root}odd:deep`, '['.repeat(300) + ']'.repeat(300));
  pipeline.set(`${root}without namespace`, '1');
  pipeline.hset(`${root}odd:hash`, 'f', 'v', Buffer.from([255]), Buffer.from([0, 1]), '', 'empty');
  pipeline.rpush(`${root}odd:list`, 'b', 'a', Buffer.from([200]), 'a', '');
  pipeline.sadd(`${root}odd:set`, 'x', 'y', Buffer.from([201]), '17');
  pipeline.zadd(
    `${root}odd:zset`,
    '+inf',
    'top',
    '-inf',
    'bottom',
    '0.1',
    'tenth',
    '5e-324',
    'tiny',
    '3',
    'three',
    '-0',
    'z',
  );
  pipeline.pexpireat(`${root}odd:zset`, inAnHour + 7);
  pipeline.xadd(`${root}odd:stream`, '5-1', 'f', 'v', 'f', 'w');
  pipeline.xadd(`${root}odd:stream`, '6-0', 'g', Buffer.from([255, 0]));
  pipeline.xadd(`${root}odd:stream`, '7-0', 'g', 'deleted');
  pipeline.xgroup('CREATE', `${root}odd:stream`, 'readers', '0');
  pipeline.xreadgroup('GROUP', 'readers', 'one', 'COUNT', 1, 'STREAMS', `${root}odd:stream`, '>');
  pipeline.call('XGROUP', 'CREATECONSUMER', `${root}odd:stream`, 'readers', 'idle');
  pipeline.xdel(`${root}odd:stream`, '7-0');
  pipeline.xgroup('CREATE', `${root}odd:empty-stream`, 'waiting', '$', 'MKSTREAM');
  const results = (await pipeline.exec()) ?? [];
  for (const [error] of results) if (error) throw error;
}
