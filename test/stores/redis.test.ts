import { Redis } from 'ioredis';
import { redisAdapter } from '../../shared/stores/redis/adapter.ts';
import { servers } from '../servers.ts';
import { type Conformance, conformsToPort } from './conformance.ts';
import { contentOf, plant } from './redis/content.ts';
import { freshPrefix, wipe } from './redis/support.ts';

conformsToPort('redis', async (): Promise<Conformance> => {
  const { url, password } = servers.redis;
  const login = password === '' ? {} : { password };
  const redis = new Redis(url, { ...login, protocol: 2 });
  const root = freshPrefix();
  const expiry = Date.now() + 3_600_000;
  const scope = redisAdapter.Scope.parse({ prefix: root, separator: ':' });
  const open = (connection: object) =>
    redisAdapter.create(redisAdapter.Connection.parse({ url, ...login, ...connection }), scope, {
      target: 'test',
    });
  return {
    open: () => open({}),
    wrongPassword: 'not-the-password',
    openWithWrongPassword: password === '' ? undefined : () => open({ password: 'not-the-password' }),
    openUnreachable: () => open({ url: 'redis://127.0.0.1:1' }),
    seed: async () => {
      await wipe(redis, root);
      await plant(redis, root, expiry);
    },
    empty: () => wipe(redis, root),
    change: async () => {
      await redis.set(`${root}full_docs:doc-1`, 'changed');
      await redis.set(`${root}full_docs:new`, '1');
      await redis.unlink(`${root}odd:set`);
    },
    loseRecord: async () => {
      await redis.unlink(`${root}odd:list`);
    },
    changeRecord: async () => {
      await redis.hset(`${root}odd:hash`, 'f', 'w');
    },
    addRecord: async () => {
      await redis.set(`${root}full_docs:new`, '1');
    },
    leftovers: () => redis.keys(`${root}__ngbak*`),
    content: async () => JSON.stringify(await contentOf(redis, root)),
    merges: true,
    compared: {
      scope,
      open: () => open({}),
      changes: { 'keys:full_docs': [0, 1, 1], 'keys:odd': [1, 0, 0] },
    },
    close: async () => {
      await redis.quit();
    },
  };
});
