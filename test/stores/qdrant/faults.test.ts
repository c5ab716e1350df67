import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { describeError, IntegrityError } from '../../../shared/core/errors.ts';
import type { Cursor } from '../../../shared/stores/leg.ts';
import { qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import { answerError } from '../../../shared/stores/qdrant/errors.ts';
import type { RestoreLeg } from '../../../shared/stores/restore-leg.ts';
import { missing, testUnless } from '../../conditions.ts';
import { selfSigned } from '../../support/certificate.ts';
import { until } from '../../support/until.ts';
import { CuttingProxy, OwnServer, startInterceptor } from './own-server.ts';
import {
  ask,
  closeStores,
  contentOf,
  differencesOf,
  exportAll,
  freshName,
  legContext,
  MemoryArchive,
  openStore,
  REPLACE,
  restoreAll,
  result,
  SMALL,
  seedEverything,
  seedPlain,
  wipe,
} from './support.ts';

let server: OwnServer;
beforeAll(async () => {
  server = await OwnServer.start();
});
afterAll(() => server?.stop());
afterEach(async () => {
  await closeStores();
  await wipe(server, '');
});

/** A collection whose snapshot has several pieces with the small limits. */
async function seedLarge(name: string): Promise<void> {
  await seedPlain(server, name, 1000, { dimensions: 64 });
}

async function failure(
  promise: Promise<unknown>,
): Promise<{ name: string; text: string; retryable: unknown }> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (typeof error !== 'object' || error === null || !('name' in error)) throw new Error('It did not fail.');
  return {
    name: String(error.name),
    text: describeError(error),
    retryable: 'retryable' in error ? error.retryable : undefined,
  };
}

test('a server without collections is backed up and restored as empty', async () => {
  const store = openStore(server, {});
  const probe = await store.probe(legContext());
  expect(probe.counts).toEqual({});
  expect(probe.warnings).toEqual([]);
  const { archive, tallies } = await exportAll(store, legContext());
  expect([...archive.files.keys()]).toEqual([]);
  expect(tallies).toEqual({});
  await seedPlain(server, 'later', 10);
  expect(differencesOf((await restoreAll(store, archive)).verified).differences).toBe(0);
  expect(await result(server, 'GET', '/collections')).toEqual({ collections: [] });
});

test('all collections of a server are restored, and later ones are deleted', async () => {
  const names = ['plain', 'Größe a b%2F.points-00001', 'x'.repeat(200)];
  await seedPlain(server, names[0] ?? '', 700);
  await seedEverything(server, names[1] ?? '');
  await seedPlain(server, names[2] ?? '', 3);
  const before = await Promise.all(names.map((name) => contentOf(server, name)));
  const store = openStore(server, {});
  const { archive } = await exportAll(store, legContext());
  await wipe(server, '');
  await seedPlain(server, 'later', 10);
  expect(differencesOf((await restoreAll(store, archive)).verified).samples).toEqual([]);
  expect(await Promise.all(names.map((name) => contentOf(server, name)))).toEqual(before);
  const { collections } = await result<{ collections: { name: string }[] }>(server, 'GET', '/collections');
  expect(collections.map(({ name }) => name).sort()).toEqual([...names].sort());
});

test('a snapshot is exported in legs that end within it, and loaded; no file of it remains on the server', async () => {
  const name = freshName();
  await seedLarge(name);
  const store = openStore(server, { method: 'snapshot' }, SMALL);
  const context = legContext();
  const { archive, legs, cursorCharacters } = await exportAll(store, context, { stepsPerLeg: 1 });
  expect(legs).toBeGreaterThanOrEqual(3);
  expect(cursorCharacters).toBeLessThan(8 * 1024);
  await store.cleanup(context);
  expect(await server.strayFiles()).toEqual([]);
  const before = await contentOf(server, name);
  await wipe(server, '');
  const { verified } = await restoreAll(store, archive);
  expect(differencesOf(verified)).toMatchObject({ differences: 0, samples: [] });
  expect(await contentOf(server, name)).toBe(before);
  expect(await server.strayFiles()).toEqual([]);
});

test('the server is killed and restarted in the middle of a snapshot: every byte is exported nevertheless', async () => {
  const name = freshName();
  await seedLarge(name);
  const store = openStore(server, { method: 'snapshot' }, SMALL);
  const context = legContext();
  const [shard] = await store.plan(context, await store.probe(context));
  if (!shard) throw new Error('no shard');
  const archive = new MemoryArchive();
  let killed = 0;
  for await (const step of store.export(shard, null, context)) {
    const { data, ...piece } = step.piece;
    await archive.add({
      ...piece,
      data: (async function* () {
        for await (const chunk of data) {
          yield chunk;
          if (killed++ === 0) {
            await server.kill();
            setTimeout(() => void server.up(), 300);
          }
        }
      })(),
    });
  }
  expect(killed).toBeGreaterThan(1);
  await wipe(server, '');
  expect(differencesOf((await restoreAll(store, archive)).verified).samples).toEqual([]);
  await store.cleanup(context);
  expect(await server.strayFiles()).toEqual([]);
});

test('connections that break after any number of bytes are resumed, in export and load', async () => {
  const name = freshName();
  await seedPlain(server, name, 1000, { dimensions: 64 });
  const before = await contentOf(server, name);
  const proxy = await CuttingProxy.start(server);
  try {
    for (const method of ['snapshot', 'points']) {
      const store = openStore({ ...server, url: proxy.url, apiKey: server.apiKey }, { method });
      Object.assign(proxy, { cuts: 3, afterBytes: 100_000, ofRequest: false });
      const context = legContext();
      const { archive } = await exportAll(store, context);
      await store.cleanup(context);
      Object.assign(proxy, { cuts: 2, afterBytes: 100_000, ofRequest: true });
      expect(differencesOf((await restoreAll(store, archive)).verified).samples).toEqual([]);
      expect(await contentOf(server, name)).toBe(before);
    }
    expect(proxy.done).toBe(10);
    expect(await server.strayFiles()).toEqual([]);
  } finally {
    await proxy.stop();
  }
});

test('an export that is killed while the server writes its snapshot leaves nothing after the cleanup', async () => {
  const name = freshName();
  await seedPlain(server, name, 1000, { dimensions: 64 });
  const path = `/collections/${encodeURIComponent(name)}/snapshots`;
  await ask(server, 'POST', path);
  const [foreign] = await result<{ name: string }[]>(server, 'GET', path);
  // Names of snapshots have seconds.
  const second = () => Math.trunc(Date.now() / 1000);
  const former = second();
  await until('the next second has begun', () => second() > former);
  const context = legContext();
  // The server starts, but the response is lost: a snapshot is created whose name is unknown to the client.
  let creation: Promise<string> | undefined;
  const interceptor = await startInterceptor(server, async (method, called) => {
    if (method !== 'POST' || !called.includes('/snapshots')) return;
    creation = ask(server, 'POST', path);
    await until(
      'the server is writing the snapshot, or has written it',
      async () => {
        const { collections } = await result<{
          collections: { snapshots: { id: string; running_snapshots: number }[] };
        }>(server, 'GET', '/telemetry?details_level=2');
        const running = collections.snapshots.some(
          ({ id, running_snapshots }) => id === name && running_snapshots > 0,
        );
        return running || (await result<unknown[]>(server, 'GET', path)).length > 1;
      },
      { pauseMs: 5 },
    );
    await interceptor.stop();
  });
  const cut = openStore({ url: interceptor.url, apiKey: server.apiKey }, { method: 'snapshot' });
  const [shard] = await cut.plan(context, await cut.probe(context));
  if (!shard) throw new Error('no shard');
  const error = await failure(
    (async () => {
      for await (const _ of cut.export(shard, null, context)) break;
    })(),
  );
  expect(error.name).toBe('UnavailableError');
  const store = openStore(server, { method: 'snapshot' }, SMALL);
  await store.cleanup(context);
  await store.cleanup(context);
  await creation;
  expect(await result(server, 'GET', path)).toEqual([expect.objectContaining({ name: foreign?.name })]);
  expect(await result(server, 'GET', '/aliases')).toEqual({ aliases: [] });
  await ask(server, 'DELETE', `${path}/${foreign?.name}`);
});

test('a snapshot that disappears between two legs fails with a clear error', async () => {
  const name = freshName();
  await seedLarge(name);
  const store = openStore(server, { method: 'snapshot' }, SMALL);
  const context = legContext();
  const path = `/collections/${encodeURIComponent(name)}/snapshots`;
  const error = await failure(
    exportAll(store, context, {
      stepsPerLeg: 1,
      betweenLegs: async () => {
        for (const { name: file } of await result<{ name: string }[]>(server, 'GET', path))
          await ask(server, 'DELETE', `${path}/${file}`);
      },
    }),
  );
  expect(error).toMatchObject({ name: 'IntegrityError', retryable: false });
  expect(error.text).toContain('vanished');
});

test('every leg of export, load and verification may be repeated', async () => {
  const name = freshName();
  await seedPlain(server, name, 1500, { dimensions: 16 });
  const before = await contentOf(server, name);
  const store = openStore(server, { method: 'points' }, SMALL);
  const context = legContext();
  const [shard] = await store.plan(context, await store.probe(context));
  if (!shard) throw new Error('no shard');
  const archive = new MemoryArchive();
  let cursor: Parameters<typeof store.export>[1] = null;
  do {
    for (const repeat of [true, false]) {
      for await (const step of store.export(shard, cursor, context)) {
        await archive.add(step.piece);
        if (!repeat) cursor = step.next;
        break;
      }
    }
  } while (cursor !== null);
  expect(archive.files.size).toBeGreaterThanOrEqual(4);
  for (const phase of ['clear', 'load'] as const) {
    let next: Cursor | null = null;
    do {
      const leg: RestoreLeg = {
        archive,
        options: REPLACE,
        cursor: next,
        context: legContext(0, context.jobId),
      };
      await store[phase](leg);
      next = (await store[phase](leg)).cursor;
    } while (next !== null);
  }
  await store.finish(context);
  await store.finish(context);
  const { verified } = {
    verified: [await store.verify({ archive, options: REPLACE, cursor: null, context: legContext() })],
  };
  expect(differencesOf(verified)).toMatchObject({ differences: 0, samples: [] });
  expect(await contentOf(server, name)).toBe(before);
  expect(await server.strayFiles()).toEqual([]);
});

test('while a collection is replaced, readers see the old content, the new one, or an error, never a mixture', async () => {
  const name = freshName();
  await seedPlain(server, name, 1000, { dimensions: 64 });
  const path = `/collections/${encodeURIComponent(name)}`;
  for (const method of ['snapshot', 'points']) {
    const store = openStore(server, { method });
    const { archive } = await exportAll(store, legContext());
    await ask(server, 'POST', `${path}/points/delete?wait=true`, { points: [1, 2, 3] });
    const seen = new Set<number | string>();
    let going = true;
    const reader = (async () => {
      while (going) {
        const counted = result<{ count: number }>(server, 'POST', `${path}/points/count`, { exact: true });
        // The server refuses requests at the moment when it replaces the shard's folder.
        await counted
          .then(({ count }) => seen.add(count))
          .catch((error: Error) => seen.add(error.message.replace(/.*(shard \d not found).*/s, '$1')));
      }
    })();
    const { verified } = await restoreAll(store, archive);
    going = false;
    await reader;
    expect(differencesOf(verified).differences).toBe(0);
    expect([997, 1000, 'shard 0 not found']).toEqual(expect.arrayContaining([...seen]));
    expect(seen).toContain(1000);
  }
});

test('a collection with concurrent writes is saved as points instead, which can be verified', async () => {
  const name = freshName();
  await seedPlain(server, name, 500, { dimensions: 16 });
  const path = `/collections/${encodeURIComponent(name)}`;
  let writes = 0;
  const interceptor = await startInterceptor(server, async (method, called) => {
    if (method !== 'POST' || !called.includes('/snapshots')) return;
    await ask(server, 'POST', `${path}/points/payload?wait=true`, {
      payload: { n: `w${writes++}` },
      points: [7],
    });
  });
  try {
    const busy = { url: interceptor.url, apiKey: server.apiKey };
    const context = legContext();
    const { archive } = await exportAll(openStore(busy, {}), context);
    // Once to detect writes to the server, and three times between two reads of its points.
    expect(writes).toBe(4);
    const config = [...archive.files.keys()].find((entry) => entry.endsWith('.config.json')) ?? '';
    expect(JSON.parse(archive.text(config))).toMatchObject({
      method: 'points',
      reason: expect.stringContaining('written to'),
    });
    expect(differencesOf((await restoreAll(openStore(server, {}), archive)).verified).samples).toEqual([]);

    const strict = openStore(busy, { method: 'snapshot' });
    const error = await failure(exportAll(strict, context));
    expect(error).toMatchObject({
      name: 'IntegrityError',
      text: expect.stringContaining('Pause its writers'),
    });
    await strict.cleanup(context);
    expect(await server.strayFiles()).toEqual([]);
  } finally {
    await interceptor.stop();
  }
});

test('a wrong key, a missing collection, an unknown server and a dead server are distinguished, without the key', async () => {
  const wrong = await failure(openStore({ url: server.url, apiKey: 'wrong-key-91' }, {}).probe(legContext()));
  expect(wrong).toMatchObject({ name: 'AccessDeniedError', retryable: false });
  expect(wrong.text).not.toContain('wrong-key-91');
  const store = openStore(server, { collections: ['nowhere'] });
  const probe = await store.probe(legContext());
  expect(probe.warnings).toEqual([
    expect.objectContaining({ code: 'missing-collections', count: 1, samples: ['"nowhere"'] }),
  ]);
  const missing = await failure(store.plan(legContext(), probe));
  expect(missing).toMatchObject({ name: 'InvalidInputError', text: expect.stringContaining('"nowhere"') });
  expect(await store.plan({ ...legContext(), asIs: true }, probe)).toEqual([]);
  const dead = await failure(openStore({ url: 'http://127.0.0.1:9', apiKey: 'k' }, {}).probe(legContext()));
  expect(dead).toMatchObject({ name: 'UnavailableError', retryable: true });
  expect(dead.text).toContain('ECONNREFUSED');
});

test('aborted work stops at once, and leaves nothing after the cleanup', async () => {
  const name = freshName();
  await seedLarge(name);
  const store = openStore(server, { method: 'snapshot' }, SMALL);
  const stop = new AbortController();
  const context = { ...legContext(), signal: stop.signal };
  const [shard] = await store.plan(context, await store.probe(context));
  if (!shard) throw new Error('no shard');
  const reading = (async () => {
    for await (const { piece } of store.export(shard, null, context)) {
      for await (const _ of piece.data) stop.abort(new Error('enough'));
    }
  })();
  expect((await failure(reading)).text).toContain('enough');
  await store.cleanup({ ...context, signal: new AbortController().signal });
  expect(await server.strayFiles()).toEqual([]);
});

test('an archive that is truncated while it is loaded leaves the collection unchanged', async () => {
  const name = freshName();
  await seedPlain(server, name, 500, { dimensions: 64 });
  for (const method of ['snapshot', 'points']) {
    const store = openStore(server, { method }, SMALL);
    const { archive } = await exportAll(store, legContext());
    await ask(server, 'POST', `/collections/${encodeURIComponent(name)}/points/delete?wait=true`, {
      points: [1],
    });
    const before = await contentOf(server, name);
    const broken = new MemoryArchive();
    for (const [entry, content] of archive.files) broken.files.set(entry, content);
    broken.open = async function* (entry) {
      yield* archive.open(entry);
      if (/snapshot$|points-00002/.test(entry.name))
        throw new IntegrityError('The digest differs.', { remedy: 'Stop.' });
    };
    const context = legContext();
    const error = await failure(store.load({ archive: broken, options: REPLACE, cursor: null, context }));
    expect(error).toMatchObject({ name: 'IntegrityError', text: 'The digest differs. Stop.' });
    expect(await contentOf(server, name)).toBe(before);
    await store.cleanup(context);
    expect(await contentOf(server, name)).toBe(before);
    expect(await server.strayFiles()).toEqual([]);
    expect(differencesOf((await restoreAll(store, archive)).verified).differences).toBe(0);
  }
});

test('a snapshot that the server refuses leaves neither file nor collection', async () => {
  const name = freshName();
  await seedPlain(server, name, 50);
  const store = openStore(server, { method: 'snapshot' });
  const { archive } = await exportAll(store, legContext());
  for (const [entry, content] of archive.files) {
    if (entry.endsWith('.snapshot')) archive.files.set(entry, content.subarray(0, content.length / 2));
  }
  const before = await contentOf(server, name);
  // The inspection finds this earlier: this tests that the load leaves nothing.
  await expect(store.admits({ archive, options: REPLACE, context: legContext() })).rejects.toThrow(
    'is not a snapshot',
  );
  const load = () => store.load({ archive, options: REPLACE, cursor: null, context: legContext() });
  await expect(load()).rejects.toThrow('Qdrant of target "test"');
  expect(await contentOf(server, name)).toBe(before);
  await wipe(server, '');
  await expect(load()).rejects.toThrow('Qdrant of target "test"');
  expect(await result(server, 'GET', '/collections')).toEqual({ collections: [] });
  expect(await server.strayFiles()).toEqual([]);
});

test('errors of the server state what to do: full disk, strict mode, overload, wrong address', async () => {
  const call = { what: 'POST /collections/a/snapshots', server: 'http://q', target: 't' };
  // A test cannot fill the disk; these are the server's own messages.
  const full = answerError(call, 500, 'Service internal error: No space left on device (os error 28)');
  expect(full).toMatchObject({
    name: 'QdrantRefusedError',
    retryable: false,
    remedy: expect.stringContaining('Free space'),
  });
  // Its messages for a complete file that is not a snapshot, and for an incomplete one.
  for (const words of [
    'Service internal error: failed to read snapshot archive /s/entities/x.snapshot',
    'Service internal error: File IO error: failed to unpack `/t/col-a-recovery-t/0/segments/a.tar`',
    'Service internal error: File IO error: failed to open file `/t/col-a-recovery-t/config.json`: No such file',
  ]) {
    expect(answerError(call, 500, words)).toMatchObject({ name: 'QdrantRefusedError', retryable: false });
  }
  const strict = answerError(call, 403, 'Limit exceeded: strict mode');
  expect(strict.remedy).toContain('secret');
  expect(answerError(call, 503, 'overloaded')).toMatchObject({ name: 'UnavailableError', retryable: true });
  const otherServer = createServer((_, answer) => answer.end('<html>'));
  await new Promise<void>((resolve) => otherServer.listen(0, '127.0.0.1', resolve));
  const address = otherServer.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  const error = await failure(openStore({ url, apiKey: 'k' }, {}).probe(legContext()));
  otherServer.close();
  expect(error).toMatchObject({ name: 'InvalidInputError', text: expect.stringContaining('not a Qdrant') });
});

testUnless(
  missing('openssl', 'version'),
  'a server with a private certificate is trusted through "ca", and only through it',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-test-tls-'));
    try {
      const { key, cert } = await selfSigned(folder);
      // TLS is terminated before the real server, as at a load balancer.
      const { hostname, port } = new URL(server.url);
      const front = createTlsServer({ key: await readFile(key), cert: await readFile(cert) }, (client) => {
        const upstream = connect(Number(port), hostname);
        client.pipe(upstream).pipe(client);
        client.on('error', () => upstream.destroy());
        upstream.on('error', () => client.destroy());
      });
      await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
      const address = front.address();
      const url = `https://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
      const open = (extra: object) =>
        qdrantAdapter.create(
          qdrantAdapter.Connection.parse({ url, api_key: server.apiKey, ...extra }),
          qdrantAdapter.Scope.parse({}),
          { target: 'test' },
        );
      const [distrustful, trusting] = [open({}), open({ ca: await readFile(cert, 'utf8') })];
      try {
        const error = await failure(distrustful.probe(legContext()));
        expect(error).toMatchObject({ name: 'InvalidInputError', text: expect.stringContaining('"ca"') });
        expect((await trusting.probe(legContext())).counts).toEqual({});
      } finally {
        await distrustful.close();
        await trusting.close();
        front.close();
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

test('a snapshot whose checksum arrives late is exported nevertheless, and compared with it', async () => {
  const name = freshName();
  await seedLarge(name);
  let blanked = 0;
  // The server does this by itself, about once in two thousand times.
  const interceptor = await startInterceptor(
    server,
    async () => undefined,
    (method, path, answer) => {
      if (method !== 'POST' || !path.includes('/snapshots')) return answer;
      blanked++;
      return answer.replace(/"checksum":"[0-9a-f]{64}"/, '"checksum":""');
    },
  );
  try {
    const store = openStore({ url: interceptor.url, apiKey: server.apiKey }, { method: 'snapshot' });
    const { archive } = await exportAll(store, legContext());
    expect(blanked).toBe(1);
    const before = await contentOf(server, name);
    await ask(server, 'DELETE', `/collections/${name}`);
    await restoreAll(openStore(server, {}), archive);
    expect(await contentOf(server, name)).toEqual(before);
  } finally {
    await interceptor.stop();
  }
});
