import { mkdir, readFile, rm } from 'node:fs/promises';
import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { AccessDeniedError, UnavailableError } from '../../../shared/core/errors.ts';
import { RedisConnection } from '../../../shared/stores/redis/client.ts';
import { LIMITS } from '../../../shared/stores/redis/keys.ts';
import type { VerifyResult } from '../../../shared/stores/restore-leg.ts';
import type { SpaceEstimate } from '../../../shared/stores/room.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';
import { describeUnless, missing } from '../../conditions.ts';
import { selfSigned } from '../../support/certificate.ts';
import { until } from '../../support/until.ts';
import { HookProxy } from './hook-proxy.ts';
import { OwnServer } from './own-server.ts';
import { closeStores, exportAll, legContext, openStore, REPLACE, restoreAll, runLegs } from './support.ts';

const MIB = 1024 ** 2;
const SCOPE = { prefix: 'app:', separator: ':' };
let server: OwnServer;
let redis: Redis;

beforeAll(async () => {
  server = await OwnServer.start();
  redis = new Redis(server.url, { maxRetriesPerRequest: 5 });
  // These tests are about restarts and cut connections.
  redis.on('error', () => undefined);
});
afterEach(async () => {
  await closeStores();
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const open = (url = server.url, extra: object = {}) =>
  openStore(SCOPE, { ...LIMITS, keys: 2000, entryBytes: 64_000 }, url, extra);

async function plant(count: number): Promise<void> {
  await redis.flushall();
  const pipeline = redis.pipeline();
  for (let number = 0; number < count; number++)
    pipeline.set(`app:docs:${number}`, JSON.stringify({ number }));
  pipeline.rpush('app:list:1', ...Array.from({ length: 3000 }, (_, index) => String(index)));
  await pipeline.exec();
}

/** A proxy that cuts each connection after a number of bytes from the server; later connections last longer. */
class CuttingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  cuts = 0;

  constructor(target: number, bytes: number) {
    this.#server = createServer((client) => {
      const upstream = connectSocket(target, '127.0.0.1');
      let left = bytes * 2 ** this.cuts;
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => this.#sockets.delete(socket));
      }
      client.pipe(upstream);
      client.on('close', () => upstream.destroy());
      upstream.on('data', (data) => {
        client.write(data.subarray(0, Math.max(0, left)));
        left -= data.length;
        if (left > 0) return;
        this.cuts++;
        client.destroy();
        upstream.destroy();
      });
      upstream.on('close', () => client.destroy());
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return `redis://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe('a server that cannot be used is an error with a remedy', () => {
  test('no server is listening', async () => {
    const promise = open('redis://127.0.0.1:1').probe(legContext());
    await expect(promise).rejects.toBeInstanceOf(UnavailableError);
    await expect(promise).rejects.toThrow('Redis of target "test" at 127.0.0.1:1 can\'t be reached');
  });

  test('wrong password, and none if one is required; neither is repeated in the message', async () => {
    await redis.config('SET', 'requirepass', 'right-password');
    try {
      for (const extra of [{ password: 'wrong-password' }, {}]) {
        const error = await open(server.url, extra)
          .probe(legContext())
          .catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(AccessDeniedError);
        expect(String(error)).toContain('refused the login');
        expect(JSON.stringify(error) + String(error)).not.toContain('wrong-password');
      }
    } finally {
      await redis.call('AUTH', 'right-password');
      await redis.config('SET', 'requirepass', '');
    }
  });

  test('a user without a required permission: the command is named', async () => {
    await plant(1);
    await redis.call('ACL', 'SETUSER', 'reader', 'on', '>pw-of-reader', '~app:*', '+@all', '-mget', '-get');
    const extra = { username: 'reader', password: 'pw-of-reader' };
    const promise = exportAll(() => open(server.url, extra));
    await expect(promise).rejects.toThrow(/refused the command.*mget/i);
    await expect(promise).rejects.toBeInstanceOf(AccessDeniedError);
  });

  test('read permissions suffice for a backup, and permissions on the prefix for a restore', async () => {
    await plant(10);
    await redis.xadd('app:stream', '1-0', 'f', 'v');
    await redis.xgroup('CREATE', 'app:stream', 'g', '0');
    const rights = [
      '+@read',
      '+@connection',
      '+info',
      '+command',
      '+multi',
      '+exec',
      '+watch',
      '+unwatch',
      '+memory|usage',
      '+scan',
      '+time',
    ];
    await redis.call('ACL', 'SETUSER', 'backup', 'reset', 'on', '>pw-of-backup', '~app:*', ...rights);
    const { archive } = await exportAll(() =>
      open(server.url, { username: 'backup', password: 'pw-of-backup' }),
    );
    await redis.call(
      'ACL',
      'SETUSER',
      'restore',
      'reset',
      'on',
      '>pw-of-restore',
      '~app:*',
      ...rights,
      '+@write',
      '-@dangerous',
      '+info',
    );
    const { verified } = await restoreAll(
      open(server.url, { username: 'restore', password: 'pw-of-restore' }),
      archive,
    );
    expect(verified.differences).toBe(0);
  });

  test('a read-only replica is refused before anything is locked', async () => {
    await plant(3);
    const { archive } = await exportAll(open);
    await redis.call('REPLICAOF', '127.0.0.1', '1');
    try {
      const problems = await open().admits({ archive, options: REPLACE, context: legContext() });
      expect(problems.join()).toMatch(/is a read-only replica.*primary's address/);
    } finally {
      await redis.call('REPLICAOF', 'NO', 'ONE');
    }
    expect(await open().admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
  });

  test('a server that becomes a replica during a restore: the step may be retried', async () => {
    await plant(3);
    const { archive, tallies } = await exportAll(open);
    await redis.call('REPLICAOF', '127.0.0.1', '1');
    const store = open();
    try {
      await expect(
        store.clear({ archive, options: REPLACE, cursor: null, context: legContext() }),
      ).rejects.toMatchObject({
        name: 'UnavailableError',
        message: expect.stringContaining('read-only replica'),
      });
    } finally {
      await redis.call('REPLICAOF', 'NO', 'ONE');
    }
    expect((await restoreAll(store, archive)).verified).toMatchObject({ differences: 0, tallies });
  });

  test('a failover that ends within seconds: the step reconnects and succeeds', async () => {
    await plant(3);
    const { archive, tallies } = await exportAll(open);
    const proxy = new HookProxy(server.port);
    const store = open(await proxy.listen());
    try {
      proxy.before('UNLINK', async (count) => {
        if (count === 1) await redis.call('REPLICAOF', '127.0.0.1', '1');
        // Only a new connection reaches the current primary.
        if (proxy.connections > 1) await redis.call('REPLICAOF', 'NO', 'ONE');
      });
      expect((await restoreAll(store, archive)).verified).toMatchObject({ differences: 0, tallies });
      expect(proxy.connections).toBeGreaterThan(1);
    } finally {
      await redis.call('REPLICAOF', 'NO', 'ONE');
      await proxy.close();
    }
  });

  test('a disk without space for saves: refused before anything is locked, and retryable during a restore', async () => {
    await plant(3);
    const { archive, tallies } = await exportAll(open);
    const own = await OwnServer.start(['--enable-protected-configs', 'yes']);
    const direct = new Redis(own.url, { protocol: 2 });
    const gone = join(own.folder, 'gone');
    try {
      await mkdir(gone);
      await direct.config('SET', 'dir', gone);
      await direct.config('SET', 'save', '1 1');
      await rm(gone, { recursive: true });
      await direct.set('x', '1');
      await until('the save has failed', async () =>
        (await direct.info('persistence')).includes('rdb_last_bgsave_status:err'),
      );
      const problems = await open(own.url).admits({ archive, options: REPLACE, context: legContext() });
      expect(problems.join()).toMatch(
        /its last save to disk failed \(MISCONF\).*stop-writes-on-bgsave-error/,
      );
      await expect(
        open(own.url).load({ archive, options: REPLACE, cursor: null, context: legContext() }),
      ).rejects.toMatchObject({
        name: 'UnavailableError',
        message: expect.stringContaining('MISCONF'),
      });
      // Its working folder has changed.
      await mkdir(gone);
      await direct.config('SET', 'dir', gone);
      await direct.bgsave();
      await until('the data is saved', async () =>
        (await direct.info('persistence')).includes('rdb_last_bgsave_status:ok'),
      );
      expect((await restoreAll(open(own.url), archive)).verified).toMatchObject({ differences: 0, tallies });
    } finally {
      direct.disconnect();
      await own.stop();
    }
  });

  test('too few replicas', async () => {
    await plant(3);
    const { archive } = await exportAll(open);
    await redis.config('SET', 'min-replicas-to-write', '1');
    try {
      const problems = await open().admits({ archive, options: REPLACE, context: legContext() });
      expect(problems.join()).toContain('min-replicas-to-write');
      await expect(
        open().load({ archive, options: REPLACE, cursor: null, context: legContext() }),
      ).rejects.toMatchObject({
        name: 'UnavailableError',
      });
    } finally {
      await redis.config('SET', 'min-replicas-to-write', '0');
    }
  });

  test('a user without write permission is refused before anything is locked', async () => {
    await plant(1);
    const { archive } = await exportAll(open);
    await redis.call(
      'ACL',
      'SETUSER',
      'reader',
      'reset',
      'on',
      '>pw-of-reader',
      '~app:*',
      '+@read',
      '+info',
      '+command',
      '+@connection',
      '+time',
    );
    const reader = open(server.url, { username: 'reader', password: 'pw-of-reader' });
    expect((await reader.admits({ archive, options: REPLACE, context: legContext() })).join()).toContain(
      'refused the command unlink',
    );
  });

  test('a host that is not found, with "auth" in its name, is not reported as a refused login', async () => {
    for (const host of ['auth-cache.invalid', 'invalid-password.invalid']) {
      const promise = open(`redis://${host}:6379`).probe(legContext());
      await expect(promise).rejects.toMatchObject({
        name: 'UnavailableError',
        message: expect.stringMatching(/can't be reached: .*ENOTFOUND|EAI_AGAIN/),
      });
    }
  });

  test('a database number in a cluster is not silently ignored', () => {
    const of = (db: number) =>
      RedisConnection.safeParse({ url: 'redis://localhost:6379', cluster: true, db });
    expect(of(0).success).toBe(true);
    expect(of(3).error?.issues[0]?.message).toContain('numbered databases');
  });

  test('memory exhausted, before and during the load', async () => {
    await plant(500);
    const { archive } = await exportAll(open);
    await redis.flushall();
    await redis.config('SET', 'maxmemory', '1000');
    try {
      expect((await open().admits({ archive, options: REPLACE, context: legContext() })).join()).toContain(
        "free of the server's maxmemory",
      );
      await expect(
        open().load({ archive, options: REPLACE, cursor: null, context: legContext() }),
      ).rejects.toThrow(/out of memory/);
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    expect((await restoreAll(open(), archive)).verified.differences).toBe(0);
  });
});

describe('memory', () => {
  const big = async () => {
    await redis.flushall();
    // Created on the server: buffers of clients would count as used memory for a while.
    await redis.setrange('app:docs:big', 3 * MIB - 1, 'x');
    const exported = await exportAll(open);
    await closeStores();
    return exported;
  };
  const limitTo = async (free: number, policy: string) => {
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
    await redis.config('SET', 'maxmemory-policy', policy);
    await redis.config('SET', 'maxmemory', String(used + free));
  };
  afterEach(async () => {
    await redis.config('SET', 'maxmemory', '0');
    await redis.config('SET', 'maxmemory-policy', 'noeviction');
  });

  test('needed for a restore is compared with free memory, including that of keys deleted first', async () => {
    const { archive } = await big();
    await redis.rename('app:docs:big', 'other:big');
    const rooms: SpaceEstimate[] = [];
    const context = { ...legContext(), room: (room: SpaceEstimate) => void rooms.push(room) };
    await limitTo(MIB, 'noeviction');
    expect((await open().admits({ archive, options: REPLACE, context })).join()).toContain('needs at least');
    await redis.rename('other:big', 'app:docs:big');
    expect(await open().admits({ archive, options: REPLACE, context })).toEqual([]);
    for (const { of, needed } of rooms) expect([of, Math.round(needed / MIB)]).toEqual(['memory', 6]);
    // About the megabyte that the limit leaves, and the three that the key uses now.
    expect(rooms.map(({ free = 0 }) => Math.round(free / MIB))).toEqual([1, 4]);
    await redis.config('SET', 'maxmemory', '0');
    expect(await open().admits({ archive, options: REPLACE, context })).toEqual([]);
    expect(rooms.at(-1)).toEqual({ of: 'memory', needed: expect.any(Number), total: totalmem() });
    await limitTo(MIB, 'noeviction');
    const merge = { mode: 'merge', onConflict: 'overwrite' } as const;
    expect((await open().admits({ archive, options: merge, context: legContext() })).join()).toContain(
      'needs at least',
    );
  });

  test('of a server that evicts: a restore is refused if it is too small, and warns if it may be', async () => {
    const { archive } = await big();
    await redis.flushall();
    const codes: string[] = [];
    const context = { ...legContext(), warn: ({ code }: { code: string }) => void codes.push(code) };
    await limitTo(MIB, 'allkeys-lru');
    expect((await open().admits({ archive, options: REPLACE, context })).join()).toContain(
      'would evict keys',
    );
    await limitTo(4 * MIB, 'allkeys-lru');
    expect(await open().admits({ archive, options: REPLACE, context })).toEqual([]);
    expect(codes).toEqual(['keys-may-be-evicted']);
  });

  test('exhausted while loading into a server that evicts: the warning has the number, the verification the cause', async () => {
    await redis.flushall();
    for (let number = 0; number < 20; number++) await redis.set(`app:docs:${number}`, 'x'.repeat(MIB / 4));
    const { archive } = await exportAll(open);
    await redis.flushall();
    await limitTo(2 * MIB, 'allkeys-random');
    const warnings: StoreWarning[] = [];
    const context = { ...legContext(), warn: (warning: StoreWarning) => void warnings.push(warning) };
    await runLegs((cursor) => open().load({ archive, options: REPLACE, cursor, context }));
    expect(warnings).toEqual([expect.objectContaining({ code: 'keys-evicted', count: expect.any(Number) })]);
    const verified = (await runLegs((cursor, leg) =>
      open().verify({ archive, options: REPLACE, cursor, context: leg }),
    )) as unknown as VerifyResult;
    expect(verified.differences).toBeGreaterThan(5);
    expect(verified.samples[0]?.problem).toMatch(/missing in the target; the server has evicted \d+ keys/);
  });
});

test('a server whose clock is ahead: what expires by its clock is neither restored nor missing', async () => {
  await redis.flushall();
  await redis.set('app:docs:long', '1', 'EX', 3_600);
  await redis.set('app:docs:short', '{"a":1}', 'EX', 120);
  await redis.set('app:docs:text', 'text', 'EX', 120);
  const { archive } = await exportAll(open);
  await redis.flushall();
  const proxy = new HookProxy(server.port);
  try {
    proxy.rewrite((reply) => {
      const text = reply.toString('latin1');
      return Buffer.from(
        text.replace(
          /^\*2\r\n\$10\r\n(\d{10})\r\n/,
          (_, seconds) => `*2\r\n$10\r\n${Number(seconds) + 180}\r\n`,
        ),
        'latin1',
      );
    });
    const { verified } = await restoreAll(open(await proxy.listen()), archive);
    expect(verified).toMatchObject({ differences: 0, samples: [] });
    expect(await redis.keys('*')).toEqual(['app:docs:long']);
  } finally {
    await proxy.close();
  }
});

describe('a broken connection', () => {
  test.each([20_000, 50_000, 90_000])(
    'after %i bytes, repeatedly: the export is complete and exact',
    async (bytes) => {
      await plant(3000);
      const whole = await exportAll(open);
      const proxy = new CuttingProxy(server.port, bytes);
      const url = await proxy.listen();
      try {
        const cut = await exportAll(() => open(url));
        expect(proxy.cuts).toBeGreaterThan(0);
        expect(cut.tallies).toEqual(whole.tallies);
        expect([...cut.archive.files]).toEqual([...whole.archive.files]);
      } finally {
        await proxy.close();
      }
    },
  );

  test('during a restore: everything is written once and verified', async () => {
    await plant(3000);
    const { archive, tallies } = await exportAll(open);
    const proxy = new CuttingProxy(server.port, 8_000);
    const url = await proxy.listen();
    try {
      const { verified } = await restoreAll(open(url), archive);
      expect(proxy.cuts).toBeGreaterThan(1);
      expect(verified).toMatchObject({ differences: 0, tallies });
      expect(await redis.llen('app:list:1')).toBe(3000);
    } finally {
      await proxy.close();
    }
  });
});

describe('a server that restarts', () => {
  test('and lost its data between two legs of a restore: the verification reports it', async () => {
    await plant(1000);
    const { archive } = await exportAll(open);
    const store = open();
    await store.clear({ archive, options: REPLACE, cursor: null, context: legContext() });
    await server.kill();
    await expect(
      store.load({ archive, options: REPLACE, cursor: null, context: legContext() }),
    ).rejects.toBeInstanceOf(UnavailableError);
    await server.run();
    const verified = await runLegs((cursor, context) =>
      open().verify({ archive, options: REPLACE, cursor, context }),
    );
    expect((verified as unknown as { differences: number }).differences).toBe(1001);
    expect((await restoreAll(open(), archive)).verified.differences).toBe(0);
  });
});

describeUnless(missing('openssl', 'version'), 'TLS', () => {
  let secure: OwnServer | undefined;
  let ca: string;

  beforeAll(async () => {
    secure = await OwnServer.start(async (port, folder) => {
      const { key, cert: certificate } = await selfSigned(folder);
      ca = await readFile(certificate, 'utf8');
      return [
        ...['--tls-port', String(port), '--port', '0', '--tls-auth-clients', 'no'],
        ...['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate],
      ];
    });
  });
  afterAll(async () => {
    await secure?.stop();
  });

  test('with a private certificate authority: a round trip', async () => {
    const url = `rediss://127.0.0.1:${secure?.port}`;
    const direct = new Redis(url, { tls: { ca } });
    await direct.set('app:docs:1', '{"a":1}');
    const secureOpen = () => open(url, { ca });
    const { archive } = await exportAll(secureOpen);
    await direct.flushall();
    expect((await restoreAll(secureOpen(), archive)).verified.differences).toBe(0);
    expect(await direct.get('app:docs:1')).toBe('{"a":1}');
    await direct.quit();
  });

  test('a certificate of an unknown authority is refused', async () => {
    await expect(open(`rediss://127.0.0.1:${secure?.port}`).probe(legContext())).rejects.toThrow(
      /self-signed certificate/,
    );
  });
});
