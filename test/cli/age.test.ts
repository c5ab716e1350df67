/** Archives that are encrypted with age on the operator's machine, compared with other implementations of age. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption';
import { decrypted } from '../../cli/age/encrypted-source.ts';
import { newHeader, RECIPIENTS_MAX } from '../../cli/age/recipients.ts';
import { CHUNK_BYTES, encrypt, plainSize, SEALED_BYTES, sealedSize } from '../../cli/age/stream.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { buildArchive, type Content } from '../archive/build.ts';
import { missing, testUnless } from '../conditions.ts';
import { run } from './run.ts';

const NO_AGE = missing('age');
/** Sizes around the borders of chunks. */
const SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
const BYTES = randomBytes(3 * CHUNK_BYTES + 5);
const ARCHIVE: Content[] = [
  {
    name: 'graph/nodes-00001.jsonl',
    data: Buffer.from('{"type":"node","id":"1","labels":["A"],"properties":{}}\n'),
  },
  { name: 'kv/text_chunks.json', data: Buffer.from('{"a":1}') },
  // Several chunks of age.
  { name: 'vectors/random.snapshot', data: randomBytes(4 * CHUNK_BYTES) },
];

let folder: string;
let secret: string;
let recipient: string;
let keyFile: string;
let strangerFile: string;
let archive: Buffer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ngbak-age-'));
  secret = await generateX25519Identity();
  recipient = await identityToRecipient(secret);
  keyFile = file('key.txt', `# created: 2026-01-02T03:04:05Z\n# public key: ${recipient}\n${secret}\n`);
  strangerFile = file('stranger.txt', await generateX25519Identity());
  archive = await buildArchive(ARCHIVE);
  file('x.ngbak', archive);
  file('x.ngbak.age', await sealed(archive));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

/** The encrypted bytes, whatever the size of the pieces in which the plain ones arrive. */
async function sealed(plain: Uint8Array, to = [recipient], length = 50_000): Promise<Buffer> {
  return collect(encrypt(pieces(plain, length), await newHeader(to)));
}

async function open(bytes: Uint8Array, identities = [keyFile]) {
  return decrypted({ ...bufferSource('x.ngbak.age', bytes), close: async () => undefined }, identities);
}

async function plain(bytes: Uint8Array, identities = [keyFile]): Promise<Buffer> {
  const source = await open(bytes, identities);
  return collect(source.read(0, source.size));
}

const age = (args: readonly string[], input: Uint8Array) =>
  execFileSync('age', args, { input, maxBuffer: 2 ** 30, stdio: ['pipe', 'pipe', 'pipe'] });
const ngbak = (...args: string[]) =>
  run(
    args.map((arg) => arg.replace('@', folder)),
    {},
  );

describe('an encrypted file', () => {
  test.each(SIZES)(
    'of %i bytes is decrypted by ngbak and by the library of age, and the reverse',
    async (size) => {
      const bytes = BYTES.subarray(0, size);
      const decrypter = new Decrypter();
      decrypter.addIdentity(secret);
      for (const length of [1000, CHUNK_BYTES, 1_000_000]) {
        const own = await sealed(bytes, [recipient], length);
        expect(bytes.equals(await plain(own))).toBe(true);
        expect(bytes.equals(await decrypter.decrypt(own))).toBe(true);
      }
      const encrypter = new Encrypter();
      encrypter.addRecipient(recipient);
      expect(bytes.equals(await plain(await encrypter.encrypt(bytes)))).toBe(true);
      expect(plainSize(sealedSize(size))).toBe(size);
    },
  );

  testUnless(NO_AGE, 'is decrypted by age itself, and the reverse', async () => {
    const second = file('second.txt', execFileSync('age-keygen', { stdio: ['ignore', 'pipe', 'ignore'] }));
    const to = execFileSync('age-keygen', ['-y', second]).toString().trim();
    for (const size of SIZES) {
      const bytes = BYTES.subarray(0, size);
      const own = await sealed(bytes, [recipient, to]);
      for (const key of [keyFile, second]) {
        expect(bytes.equals(age(['-d', '-i', key], own))).toBe(true);
        expect(bytes.equals(await plain(own, [key]))).toBe(true);
      }
      expect(bytes.equals(await plain(age(['-r', recipient, '-r', to], bytes), [second]))).toBe(true);
    }
  });

  testUnless(NO_AGE, 'is unpacked by age and tar alone', async () => {
    const tree = join(folder, 'tree');
    mkdirSync(tree);
    execFileSync(
      'sh',
      [
        '-c',
        'age -d -i "$0" "$1" | tar -xz && sha256sum -c SHA256SUMS',
        keyFile,
        join(folder, 'x.ngbak.age'),
      ],
      {
        cwd: tree,
      },
    );
    for (const { name, data } of ARCHIVE) expect(readFileSync(join(tree, name)).equals(data)).toBe(true);
  });

  test('is decrypted with any of its keys, also those against quantum computers, and never with both kinds', async () => {
    const [one, two] = [await generateHybridIdentity(), await generateHybridIdentity()];
    const recipients = [await identityToRecipient(one), await identityToRecipient(two)];
    const own = await sealed(BYTES, recipients);
    for (const key of [one, two]) {
      expect(BYTES.equals(await plain(own, [file('quantum.txt', key)]))).toBe(true);
    }
    await expect(newHeader([...recipients, recipient])).rejects.toThrow(/cannot be mixed/);
  });

  test('returns any range', async () => {
    const source = await open(await sealed(BYTES));
    expect([source.size, source.isEncrypted]).toEqual([BYTES.length, true]);
    const borders = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, BYTES.length];
    for (const from of borders) {
      for (const to of borders.filter((end) => end >= from)) {
        expect(BYTES.subarray(from, to).equals(await collect(source.read(from, to - from)))).toBe(true);
      }
    }
  });

  test('is read where it is needed, and nowhere else', async () => {
    const bytes = await sealed(randomBytes(50 * CHUNK_BYTES));
    let read = 0;
    const source = bufferSource('x.ngbak.age', bytes);
    const counted = {
      ...source,
      read(offset: number, length: number) {
        read += length;
        return source.read(offset, length);
      },
      close: async () => undefined,
    };
    const opened = await decrypted(counted, [keyFile]);
    read = 0;
    await collect(opened.read(10 * CHUNK_BYTES + 5, 10));
    expect(read).toBe(SEALED_BYTES);
  });
});

describe('an encrypted file is refused', () => {
  let whole: Buffer;
  let begin: number;
  beforeAll(async () => {
    whole = await sealed(BYTES);
    begin = whole.length - sealedSize(BYTES.length);
  });

  test('wherever it is truncated', async () => {
    const borders = [0, 1, 2, 3].map((number) => begin + number * SEALED_BYTES);
    const lengths = [
      ...borders,
      ...borders.map((at) => at - 1),
      ...borders.map((at) => at + 16),
      whole.length - 1,
    ];
    for (const length of lengths.filter((length) => length > 40)) {
      await expect(open(whole.subarray(0, length))).rejects.toThrow(/truncated|damaged/);
    }
    await expect(open(Buffer.concat([whole, randomBytes(1)]))).rejects.toThrow(/truncated|damaged/);
  });

  test('with a changed, exchanged or missing chunk, before a byte of it is used', async () => {
    const chunk = (number: number) =>
      whole.subarray(begin + number * SEALED_BYTES, begin + (number + 1) * SEALED_BYTES);
    const head = whole.subarray(0, begin);
    const flipped = Buffer.from(whole);
    const at = begin + SEALED_BYTES + 70;
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    const cases: [Buffer, number][] = [
      [flipped, 1],
      [Buffer.concat([head, chunk(1), chunk(0), chunk(2), chunk(3)]), 0],
      [Buffer.concat([head, chunk(0), chunk(1), chunk(1), chunk(3)]), 2],
    ];
    for (const [bytes, number] of cases) {
      const source = await open(bytes);
      const seen: Uint8Array[] = [];
      const read = async () => {
        for await (const part of source.read(0, source.size)) seen.push(part);
      };
      const from = number * CHUNK_BYTES;
      await expect(read()).rejects.toMatchObject({
        name: 'IntegrityError',
        message: `x.ngbak.age is damaged or was altered: bytes ${from} to ${from + CHUNK_BYTES - 1} of the archive are not authentic.`,
      });
      expect(BYTES.subarray(0, from).equals(Buffer.concat(seen))).toBe(true);
    }
    await expect(open(Buffer.concat([head, chunk(0), chunk(1), chunk(2)]))).rejects.toThrow(/truncated/);
    await expect(open(Buffer.concat([head, chunk(0), chunk(2), chunk(3)]))).rejects.toThrow(/truncated/);
  });

  test('with a changed header, and with one that is too large', async () => {
    for (let at = 22; at < begin; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await expect(open(changed)).rejects.toThrow(/damaged|altered|truncated|No secret key/);
    }
    const stanza = `-> X25519 ${'A'.repeat(43)}\n${'A'.repeat(43)}\n`;
    const forged = (count: number) =>
      Buffer.concat([
        Buffer.from(`age-encryption.org/v1\n${stanza.repeat(count)}--- ${'A'.repeat(43)}\n`),
        randomBytes(48),
      ]);
    await expect(open(forged(RECIPIENTS_MAX + 1))).rejects.toThrow(/has 101 recipients; at most 100/);
    await expect(open(forged(10_000))).rejects.toThrow(/header of more than 262144 bytes/);
    const endless = Buffer.concat([
      Buffer.from('age-encryption.org/v1\n-> X25519 '),
      Buffer.alloc(2 ** 20, 'A'),
    ]);
    await expect(open(endless)).rejects.toThrow(/header of more than 262144 bytes/);
    await expect(open(Buffer.from('age-encryption.org/v2\n--- x\n'))).rejects.toThrow(/damaged/);
  });

  test('without the right key, with what that means', async () => {
    await expect(open(whole, [])).rejects.toMatchObject({
      message: 'x.ngbak.age is encrypted with age.',
      remedy: expect.stringContaining('--identity KEYFILE'),
    });
    await expect(open(whole, [strangerFile])).rejects.toMatchObject({
      message: 'No secret key that was given decrypts x.ngbak.age.',
      remedy: expect.stringContaining('nobody can read the file'),
    });
    expect(BYTES.equals(await plain(whole, [strangerFile, keyFile]))).toBe(true);
  });

  test('as text, and a plain file is refused if a key is given', async () => {
    await expect(open(Buffer.from('-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n'))).rejects.toThrow(/as text/);
    await expect(open(archive)).rejects.toThrow(/is not encrypted with age/);
    const { isEncrypted, size } = await open(archive, []);
    expect([isEncrypted, size]).toEqual([false, archive.length]);
  });
});

describe('a key', () => {
  test.each<[string, () => string | Uint8Array, RegExp]>([
    [
      'that is damaged',
      () => secret.replace(/.$/, secret.endsWith('Q') ? 'P' : 'Q'),
      /Line 1 of .* is not a secret key/,
    ],
    ['that is a public one', () => recipient, /Line 1 of .* is not a secret key/],
    ['of a plugin', () => '\n# comment\nAGE-PLUGIN-YUBIKEY-1XXX', /Line 3 of .* is a key of a plugin/],
    ['of SSH', () => '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n', /is an SSH or PEM key/],
    ['that is missing', () => '# nothing\n\n', /has no secret key/],
    [
      'in a file that is itself encrypted',
      () => 'age-encryption.org/v1\n-> scrypt x 18\n',
      /is itself encrypted/,
    ],
    ['in a file that is too large', () => '#'.repeat(2 ** 20 + 1), /more than 1048576 bytes/],
    ['among too many', () => `${secret}\n`.repeat(101), /more than 100 secret keys/],
  ])('%s is refused, and not repeated', async (_what, content, reason) => {
    const text = content();
    const error = await open(await sealed(BYTES), [file('bad.txt', text)]).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'InvalidInputError', message: expect.stringMatching(reason) });
    const shown = JSON.stringify(error, Object.getOwnPropertyNames(error));
    expect(shown).not.toContain(secret.slice(20, 40));
  });

  test('in a file that does not exist is refused', async () => {
    await expect(open(await sealed(BYTES), [join(folder, 'none.txt')])).rejects.toThrow(/can't be read/);
  });

  test.each<[string, () => string[], RegExp]>([
    ['a secret key', () => [secret], /A secret key was given as a recipient/],
    ['an SSH key', () => ['ssh-ed25519 AAAA'], /"ssh-ed25519 AAAA" is not a recipient/],
    [
      'a damaged one',
      () => [recipient.replace(/.$/, recipient.endsWith('q') ? 'p' : 'q')],
      /is not a recipient/,
    ],
    ['too many', () => Array.from({ length: 101 }, () => recipient), /1 to 100 recipients, not 101/],
  ])('to encrypt to is refused if it is %s', async (_what, recipients, reason) => {
    const error = await newHeader(recipients()).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'InvalidInputError', message: expect.stringMatching(reason) });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(secret.slice(20, 40));
  });
});

test('a backup that is not downloaded cannot be encrypted to anyone', async () => {
  const ran = await ngbak('backup', '--encrypt-to', recipient);
  expect([ran.code, ran.stderr]).toEqual([2, expect.stringContaining('--encrypt-to is for the download')]);
});

describe('ngbak archive with --identity', () => {
  test('lists, prints, extracts and verifies an encrypted archive', async () => {
    const listed = await ngbak('archive', 'list', '@/x.ngbak.age', '--identity', keyFile, '--json');
    expect(listed.code).toBe(0);
    expect(listed.lines()[0]?.data).toMatchObject({ encrypted: true, bytes: archive.length, seekable: true });
    expect(
      (await ngbak('archive', 'cat', '-i', keyFile, '@/x.ngbak.age', 'kv/text_chunks.json')).stdout,
    ).toBe('{"a":1}');
    const verified = await ngbak('archive', 'verify', '@/x.ngbak.age', '-i', strangerFile, '-i', keyFile);
    expect([verified.code, verified.stdout]).toEqual([
      0,
      expect.stringContaining('verified, no errors found'),
    ]);
    const extracted = await ngbak('archive', 'extract', '@/x.ngbak.age', '-C', '@/out', '-i', keyFile);
    expect(extracted.code).toBe(0);
    for (const { name, data } of ARCHIVE) {
      expect(readFileSync(join(folder, 'out', name)).equals(data)).toBe(true);
    }
    expect((await ngbak('archive', 'repack', '@/x.ngbak.age', '@/plain.ngbak', '-i', keyFile)).code).toBe(0);
    expect((await ngbak('archive', 'verify', '@/plain.ngbak')).code).toBe(0);
  });

  test('reads the key from stdin', async () => {
    const { status, stdout } = spawnSync(
      process.execPath,
      [
        join(import.meta.dirname, '../../cli/main.ts'),
        'archive',
        'cat',
        join(folder, 'x.ngbak.age'),
        'kv/text_chunks.json',
        '-i',
        '-',
      ],
      { input: readFileSync(keyFile) },
    );
    expect([status, stdout.toString()]).toEqual([0, '{"a":1}']);
  });

  test('refuses a wrong key, a missing one, and a damaged file, by exit code', async () => {
    expect(await ngbak('archive', 'list', '@/x.ngbak.age')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--identity KEYFILE'),
    });
    expect((await ngbak('archive', 'verify', '@/x.ngbak.age', '-i', strangerFile)).code).toBe(2);
    const damaged = readFileSync(join(folder, 'x.ngbak.age'));
    const at = damaged.length - SEALED_BYTES - 5000;
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    file('damaged.ngbak.age', damaged);
    const ran = await ngbak('archive', 'verify', '@/damaged.ngbak.age', '-i', keyFile);
    expect([ran.code, `${ran.stdout}${ran.stderr}`]).toEqual([7, expect.stringContaining('not authentic')]);
    expect(`${ran.stdout}${ran.stderr}`).not.toContain('AGE-SECRET');
  });

  test('writes no decrypted temporary file for an archive without an index', async () => {
    const tree = join(folder, 'repacked');
    mkdirSync(tree);
    execFileSync('tar', ['-xzf', '../x.ngbak'], { cwd: tree });
    execFileSync('tar', ['-czf', '../packed.ngbak', '.'], { cwd: tree });
    file('packed.ngbak.age', await sealed(readFileSync(join(folder, 'packed.ngbak'))));
    expect(await ngbak('archive', 'list', '@/packed.ngbak.age', '-i', keyFile)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('would have to be written to a temporary file'),
    });
    expect((await ngbak('archive', 'verify', '@/packed.ngbak.age', '-i', keyFile)).code).toBe(0);
  });
});
