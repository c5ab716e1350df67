import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { readMembers } from '../../../shared/stores/redis/json-entry.ts';
import { type KeyWindow, keyWindows, LIMITS } from '../../../shared/stores/redis/keys.ts';
import { entryName, parseEntryName } from '../../../shared/stores/redis/names.ts';
import { canonicalScore, type KeyPart, STRING_BLOCK_BYTES } from '../../../shared/stores/redis/record.ts';
import { KeySpace, RedisScope, toByteString } from '../../../shared/stores/redis/scope.ts';
import type { Position } from '../../../shared/stores/redis/sorted-keys.ts';
import { decodePart, encodePart } from '../../../shared/stores/redis/typed-lines.ts';
import { testUnless } from '../../conditions.ts';
import { fc } from '../../fast-check.ts';
import { SmallDisk, smallDiskMissing } from '../small-disk.ts';

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const anyBytes = fc.oneof(
  bytes,
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text)),
);
const key = anyBytes.map((value) => value.toString('latin1'));
const expiresAt = fc.option(fc.integer({ min: 1, max: 2 ** 52 }));
const streamId = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
  .map(([time, sequence]) => `${time}-${sequence}`);
const score = fc.oneof(
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => canonicalScore(String(Object.is(value, -0) ? '-0' : value))),
  fc.constantFrom('inf', '-inf'),
);
const group = fc.record({
  name: key,
  last_id: streamId,
  entries_read: fc.nat(),
  consumers: fc.array(key, { maxLength: 3 }),
  pending: fc.array(fc.tuple(streamId, key, fc.nat(), fc.nat()), { maxLength: 3 }),
});

/** Parts of every type. */
const part: fc.Arbitrary<KeyPart> = fc
  .tuple(key, expiresAt, fc.nat(), fc.boolean())
  .chain(([name, expiry, offset, last]) => {
    const base = { key: name, expiresAt: expiry, offset, last };
    const lists = { maxLength: 5 };
    return fc.oneof(
      anyBytes.map((value): KeyPart => ({ ...base, type: 'string', items: [[value]] })),
      fc
        .array(anyBytes, lists)
        .map((items): KeyPart => ({ ...base, type: 'list', items: items.map((item) => [item]) })),
      fc
        .array(anyBytes, lists)
        .map((items): KeyPart => ({ ...base, type: 'set', items: items.map((item) => [item]) })),
      fc.array(fc.tuple(anyBytes, score), lists).map(
        (items): KeyPart => ({
          ...base,
          type: 'zset',
          items: items.map(([member, text]) => [member, Buffer.from(text)]),
        }),
      ),
      fc.array(fc.tuple(anyBytes, anyBytes, fc.option(fc.integer({ min: 1, max: 2 ** 52 }))), lists).map(
        (items): KeyPart => ({
          ...base,
          type: 'hash',
          items: items.map(([field, value, time]) => [
            field,
            value,
            ...(time === null ? [] : [Buffer.from(String(time))]),
          ]),
        }),
      ),
      fc
        .tuple(
          fc.array(
            fc.tuple(streamId, fc.array(fc.tuple(anyBytes, anyBytes), { minLength: 1, maxLength: 3 })),
            lists,
          ),
          fc.record({
            last_id: streamId,
            max_deleted_id: streamId,
            entries_added: fc.nat(),
            groups: fc.array(group, { maxLength: 2 }),
          }),
        )
        .map(
          ([entries, stream]): KeyPart => ({
            ...base,
            type: 'stream',
            items: entries.map(([id, fields]) => [Buffer.from(id), ...fields.flat()]),
            ...(last ? { stream } : {}),
          }),
        ),
    );
  });

async function* inChunks(content: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    yield content.subarray(at, at + size);
    at += size;
  }
  yield content.subarray(at);
}

describe('typed lines', () => {
  test('every content of every type is restored exactly', () => {
    fc.assert(
      fc.property(part, (original) => {
        const line = encodePart(original).toString('utf8');
        expect(line.indexOf('\n')).toBe(line.length - 1);
        expect(decodePart(line)).toEqual(original);
      }),
      { numRuns: 1000 },
    );
  });

  test('a block of a long string is never split by its encoding', () => {
    const block = Buffer.alloc(STRING_BLOCK_BYTES, '😀');
    const original: KeyPart = {
      key: 'k',
      type: 'string',
      expiresAt: null,
      offset: 3,
      last: false,
      items: [[block.subarray(1)]],
    };
    const decoded = decodePart(encodePart(original).toString());
    expect(decoded.items[0]?.[0]?.equals(block.subarray(1))).toBe(true);
    expect({ ...decoded, items: [] }).toEqual({ ...original, items: [] });
  });

  test('each double has one spelling as a score', () => {
    expect(
      ['3.1400000000000001', '3.14', '+inf', 'Infinity', '-inf', '-0', '1e3', '5e-324'].map(canonicalScore),
    ).toEqual(['3.14', '3.14', 'inf', 'inf', '-inf', '-0', '1000', '5e-324']);
    for (const wrong of ['', 'nan', 'x']) expect(() => canonicalScore(wrong)).toThrow();
  });
});

describe('JSON entries', () => {
  test('values are extracted exactly as they are, regardless of chunk boundaries', async () => {
    const space = fc.constantFrom('', ' ', '\n', '\t \r\n');
    const member = fc.tuple(fc.string({ unit: 'grapheme' }), fc.json(), space, space, space);
    await fc.assert(
      fc.asyncProperty(
        fc.array(member, { maxLength: 8 }),
        fc.array(fc.integer({ min: 0, max: 30 })),
        async (members, sizes) => {
          const text = `{${members.map(([name, value, a, b, c]) => `${a}${JSON.stringify(name)}${b}:${c}${value}${a}`).join(',')}}\n`;
          const read: [string, string][] = [];
          for await (const found of readMembers(inChunks(Buffer.from(text), sizes))) {
            read.push([found.key.toString(), found.value.toString()]);
          }
          expect(read).toEqual(members.map(([name, value]) => [name, value.trim()]));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('a document with any one byte removed is read the same, or refused, never misread as longer', async () => {
    const text = Buffer.from('{"a": {"b": [1, "]}", null]}, "c\\"d": "x,y", "e": -1.5e3}');
    for (let at = 0; at < text.length; at++) {
      const broken = Buffer.concat([text.subarray(0, at), text.subarray(at + 1)]);
      let expected: unknown;
      try {
        expected = JSON.parse(broken.toString());
      } catch {
        expected = undefined;
      }
      const read: Record<string, unknown> = {};
      const outcome = (async () => {
        for await (const found of readMembers(inChunks(broken, [])))
          read[found.key.toString()] = JSON.parse(found.value.toString());
        return read;
      })();
      if (expected === undefined) await expect(outcome).rejects.toThrow(/^at byte \d+: /);
      else expect(await outcome).toEqual(expected);
    }
  });
});

describe('entry names', () => {
  test('every namespace, form and number is restored, and no two share a name, even without regard to case', () => {
    const namespace = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
    const tricky = fc.constantFrom(
      'a-00002',
      'a',
      'A',
      'a.expiry',
      'a.typed',
      '..',
      '.',
      'a/b',
      '-00001',
      'a-0000200003',
    );
    const named = fc.tuple(
      fc.oneof(namespace, tricky),
      fc.constantFrom('json', 'expiry', 'typed'),
      fc.integer({ min: 1, max: 200_000 }),
    );
    fc.assert(
      fc.property(named, named, ([first, firstForm, firstPart], [second, secondForm, secondPart]) => {
        const name = entryName(first, firstForm as 'json', firstPart);
        expect(parseEntryName(name)).toEqual({ namespace: first, form: firstForm, part: firstPart });
        expect(name).toMatch(/^kv\/[a-zA-Z0-9_.%-]+$/);
        const same = first === second && firstForm === secondForm && firstPart === secondPart;
        expect(name.toLowerCase() === entryName(second, secondForm as 'json', secondPart).toLowerCase()).toBe(
          same,
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe('windows of keys', () => {
  /** Simulates a server whose hash table shrinks during SCAN: on a real one, duplicates cannot be forced. */
  const scripted = (pages: readonly (readonly string[])[]) => ({
    name: 'a server of the test',
    nodes: async () => [{} as Redis],
    call: async (_node: Redis, _command: string, cursor: string) => {
      const at = Number(cursor);
      const next = at + 1 < pages.length ? String(at + 1) : '0';
      return [Buffer.from(next), (pages[at] ?? []).map((name) => Buffer.from(name, 'latin1'))];
    },
    sendAll: async () => [],
  });

  test('all keys in order, each once, regardless of how often and in what order SCAN returns them', async () => {
    const name = fc
      .tuple(fc.constantFrom('a', 'b', 'B', 'a-', 'ä'), fc.integer({ min: 0, max: 40 }))
      .map(([ns, id]) => toByteString(`p:${ns}:${id}`));
    const stray = fc.constantFrom('p:nothing', 'q:a:1');
    const pages = fc.array(fc.array(fc.oneof({ weight: 9, arbitrary: name }, stray), { maxLength: 20 }), {
      maxLength: 12,
    });
    const limits = fc.record({
      keys: fc.integer({ min: 1, max: 30 }),
      bytes: fc.integer({ min: 1, max: 300 }),
      fileBytes: fc.oneof(fc.constant(2 ** 20), fc.integer({ min: 1, max: 600 })),
      entryBytes: fc.constant(1),
      folder: fc.constant(tmpdir()),
    });
    /** The number of windows after which each leg ends. */
    const legs = fc.array(fc.integer({ min: 1, max: 10 }), { maxLength: 5 });
    const space = new KeySpace(RedisScope.parse({ prefix: 'p:', separator: ':' }));
    await fc.assert(
      fc.asyncProperty(pages, limits, legs, async (scan, within, ends) => {
        const found: string[] = [];
        let after: Position | null = null;
        for (const end of [...ends, Number.POSITIVE_INFINITY]) {
          let windows = 0;
          const { signal } = new AbortController();
          for await (const window of keyWindows(scripted(scan), space, after, signal, within)) {
            if (window.keys.length === 0) expect(windows).toBe(0);
            for (const { namespace, keys: names } of window.keys) {
              expect(names.length).toBeGreaterThan(0);
              found.push(...names.map((text) => `${namespace} ${text}`));
              after = { namespace, key: names.at(-1) ?? '' };
            }
            if (++windows >= end) break;
          }
        }
        const wanted = new Set<string>();
        for (const text of scan.flat()) {
          const namespace = space.namespaceOf(text);
          if (namespace !== undefined) wanted.add(`${namespace} ${text}`);
        }
        const order = (left: string, right: string) => (left < right ? -1 : 1);
        expect(found.length).toBe(wanted.size);
        expect(found).toEqual([...wanted].sort(order));
      }),
      { numRuns: 1000 },
    );
  });

  test('keys that are left out are a warning, even if there are no others', async () => {
    const namespaces = [{ name: 'a', prefix: 'p:a:' }];
    const space = new KeySpace(RedisScope.parse({ prefix: 'p:', namespaces, others: 'exclude' }));
    const windows: KeyWindow[] = [];
    const { signal } = new AbortController();
    for await (const window of keyWindows(scripted([['p:b:1'], ['p:c:1', 'q:1']]), space, null, signal)) {
      windows.push(window);
    }
    expect(windows.map(({ keys }) => keys)).toEqual([[]]);
    expect(windows[0]?.leftOut.warnings('x')).toMatchObject([{ count: 2, samples: ['p:b:1', 'p:c:1'] }]);
  });

  describe('sorted on disk', () => {
    let folder = '';
    const scan = [['p:a:3', 'p:a:1'], ['p:b:1', 'p:a:2'], ['p:a:1']];
    const space = new KeySpace(RedisScope.parse({ prefix: 'p:', separator: ':' }));
    const windows = (within: string) =>
      keyWindows(scripted(scan), space, null, new AbortController().signal, {
        ...LIMITS,
        keys: 1,
        folder: within,
      });

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'ngbak-test-'));
    });

    afterEach(async () => {
      await rm(folder, { recursive: true, force: true });
    });

    test('the file never has a name, not even while it is read', async () => {
      const found: string[] = [];
      for await (const window of windows(folder)) {
        found.push(...window.keys.flatMap(({ keys }) => keys));
        expect(await readdir(folder)).toEqual([]);
      }
      expect(found).toEqual(['p:a:1', 'p:a:2', 'p:a:3', 'p:b:1']);
    });

    testUnless(smallDiskMissing(), 'a file fits on the disk, or is refused', async () => {
      const disk = await SmallDisk.over(folder, 1);
      try {
        const names = Array.from({ length: 3000 }, (_, n) => `p:a:${String(n).padStart(400, '0')}`);
        const found: string[] = [];
        const limits = { ...LIMITS, keys: 100, bytes: 64 * 1024, folder: disk.root };
        const { signal } = new AbortController();
        for await (const window of keyWindows(scripted([names]), space, null, signal, limits)) {
          found.push(...window.keys.flatMap(({ keys }) => keys));
        }
        expect(found).toEqual(names);
        disk.fill();
        await expect(windows(disk.root).next()).rejects.toThrow(/has \d+ bytes free, and \d+ are needed/);
      } finally {
        disk.remove();
      }
    });

    test('a disk that accepts no file is an error with a remedy', async () => {
      await expect(windows(join(folder, 'missing')).next()).rejects.toMatchObject({
        name: 'NgbakError',
        message: `The keys of a server of the test can't be sorted: a temporary file in ${folder}/missing failed.`,
        remedy: expect.stringContaining('Free some space there'),
        cause: expect.objectContaining({ code: 'ENOENT' }),
      });
    });
  });
});
