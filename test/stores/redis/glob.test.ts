import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Glob } from '../../../shared/stores/redis/glob.ts';
import { KeySpace, RedisScope, toBytes } from '../../../shared/stores/redis/scope.ts';
import { fc } from '../../fast-check.ts';
import { OwnServer } from './own-server.ts';

let server: OwnServer;
let redis: Redis;

beforeAll(async () => {
  server = await OwnServer.start();
  redis = new Redis(server.url, { protocol: 2 });
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

describe('a glob pattern', () => {
  test('matches what the server matches', async () => {
    const piece = fc.constantFrom('a', 'b', 'ab', '-', '^', ']', '\\', 'é');
    const texts = fc.array(fc.array(piece, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 20 });
    // Ranges of bytes beyond ASCII depend on the server's processor: signed on one, unsigned on another.
    const part = fc.constantFrom(
      'a',
      'b',
      '-',
      '*',
      '?',
      '[ab]',
      '[^a]',
      '[b-a]',
      '[a-',
      '[',
      ']',
      '[]',
      '[^]',
      '\\',
      '\\*',
      '[\\]]',
    );
    const patterns = fc.array(part, { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(texts, patterns, async (pieces, parts) => {
        const keys = [...new Set(pieces.map((list) => list.join('')))];
        const pattern = parts.join('');
        await redis.flushall();
        await redis.mset(...keys.flatMap((key) => [key, '1']));
        const wanted = (await redis.keysBuffer(pattern)).map((key) => key.toString('latin1')).sort();
        const glob = new Glob(Buffer.from(pattern).toString('latin1'));
        const found = keys
          .map((key) => Buffer.from(key).toString('latin1'))
          .filter((key) => glob.matches(key));
        expect(found.sort()).toEqual(wanted);
      }),
      { numRuns: 400 },
    );
  });

  test('with many "*" takes negligible time for a long key that does not match', () => {
    const scope = RedisScope.parse({
      prefix: 'p:',
      namespaces: [{ name: 'n', prefix: 'p:n:', also: ['*a*a*a*b'] }],
      exclude: ['*a*a*a*c'],
    });
    const space = new KeySpace(scope);
    const key = 'a'.repeat(2_048);
    const began = process.cpuUsage().user;
    for (let turn = 0; turn < 200; turn++) expect(space.namespaceOf(key)).toBeUndefined();
    // A regular expression would take hours.
    expect(process.cpuUsage().user - began).toBeLessThan(20_000_000);
  });
});

describe('a scope', () => {
  test('states why a key is not part of it', () => {
    const space = new KeySpace(
      RedisScope.parse({
        prefix: 'p:',
        namespaces: [{ name: 'n', prefix: 'p:n:' }],
        others: 'exclude',
        exclude: ['p:n:tmp*'],
        unsupported: 'skip',
      }),
    );
    expect(space.namespaceOf('p:n:1')).toBe('n');
    const long = `p:n:${'x'.repeat(2_048)}`;
    for (const key of ['p:n:tmp1', 'p:other', long, 'q:1', 'p:__ngbak:x'])
      expect(space.namespaceOf(key)).toBeUndefined();
    expect(
      ['p:n:1', 'p:n:tmp1', 'p:other', long, 'q:1', 'p:__ngbak:x'].map((key) => space.reasonOf(key)),
    ).toEqual([undefined, 'excluded', 'outside', 'unsupported', undefined, undefined]);
    expect(toBytes(space.pattern ?? '').toString()).toBe('p:*');
  });
});
