import type { Decrypter } from 'age-encryption';
import type { ByteSource } from '../../shared/archive/format/types.ts';
import type { ClosableSource } from '../../shared/archive/read/sources.ts';
import { IntegrityError, InvalidInputError } from '../../shared/core/errors.ts';
import { HELP } from '../../shared/core/help.ts';
import { readIdentities } from './identities.ts';
import { RECIPIENTS_MAX } from './recipients.ts';
import { CHUNK_BYTES, NONCE_BYTES, openChunk, payloadKey, plainSize, SEALED_BYTES } from './stream.ts';

const MAGIC = 'age-encryption.org/';
const ARMOR = '-----BEGIN AGE ENCRYPTED FILE-----';
/** Maximum size of a header in bytes: a hundred post-quantum recipients take 160 kB. */
const HEADER_BYTES_MAX = 256 * 1024;
/** Bytes that are read at first. The header of a few recipients is in them. */
const HEADER_BYTES_READ = 4096;

/** An archive, and whether it is stored encrypted. Reads of an encrypted one are decrypted. */
export interface ArchiveSource extends ClosableSource {
  readonly isEncrypted: boolean;
}

/**
 * Decrypts a file of age. Without `identities`, an encrypted file is refused; with them, one that is not encrypted.
 * Closes the source if that fails. Throws InvalidInputError, or IntegrityError if the file is damaged.
 *
 * @param identities  identity files; `-` is stdin
 */
export async function decrypted(
  source: ClosableSource,
  identities: readonly string[],
): Promise<ArchiveSource> {
  try {
    const kind = await encryptionOf(source, identities.length > 0);
    if (kind === 'none') return { ...source, isEncrypted: false };
    requireReadable(source.name, kind, identities);
    const decrypter = await readIdentities(identities);
    const plain = await openEncrypted(source, decrypter);
    return { ...plain, close: () => source.close(), isEncrypted: true };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Objects in S3 are looked at only if something suggests that they are encrypted: each look is a request. */
async function encryptionOf(source: ByteSource, isExpected: boolean): Promise<'age' | 'armor' | 'none'> {
  const { name, size } = source;
  if (name.startsWith('s3://') && !isExpected && !name.endsWith('.age')) return 'none';
  const begin = (await collect(source.read(0, Math.min(size, ARMOR.length)))).toString('latin1');
  if (begin.startsWith(MAGIC)) return 'age';
  if (begin === ARMOR) return 'armor';
  if (!isExpected) return 'none';
  throw new InvalidInputError(`${name} is not encrypted with age.`, {
    remedy: 'Check which file it is; without --identity, it is read as it is.',
  });
}

function requireReadable(name: string, kind: 'age' | 'armor', identities: readonly string[]): void {
  if (kind === 'armor') {
    throw new InvalidInputError(
      `${name} is encrypted with age, as text ("armor"), which ngbak does not read.`,
      {
        remedy: 'Decrypt it with age itself: `age -d -i KEYFILE FILE > backup.ngbak`.',
      },
    );
  }
  if (identities.length === 0) {
    throw new InvalidInputError(`${name} is encrypted with age.`, {
      remedy: 'Give the file with the secret key: --identity KEYFILE. Without the key, nobody can read it.',
    });
  }
}

async function openEncrypted(source: ByteSource, decrypter: Decrypter): Promise<ByteSource> {
  const header = await readHeader(source);
  let fileKey: Uint8Array;
  try {
    fileKey = await decrypter.decryptHeader(header);
  } catch (cause) {
    if (!(cause instanceof Error) || !/no identity matched/.test(cause.message)) {
      throw damaged(`${source.name} has a header that is damaged or was altered`);
    }
    throw new InvalidInputError(`No secret key that was given decrypts ${source.name}.`, {
      remedy:
        'Give the identity file of a recipient that the file was encrypted to (`--encrypt-to`). Without it, nobody can read the file: restore another backup.',
    });
  }
  return withFileKey(source, header.length, fileKey);
}

/** The header of an age file, up to and including its last line. */
async function readHeader(source: ByteSource): Promise<Buffer> {
  const { name, size } = source;
  for (const most of [HEADER_BYTES_READ, HEADER_BYTES_MAX]) {
    const begin = await collect(source.read(0, Math.min(size, most)));
    const last = begin.indexOf('\n--- ');
    const end = last < 0 ? -1 : begin.indexOf('\n', last + 1);
    if (end < 0) continue;
    const header = begin.subarray(0, end + 1);
    const stanzas = header.toString('latin1').split('\n-> ').length - 1;
    if (stanzas > RECIPIENTS_MAX) {
      throw new InvalidInputError(`${name} has ${stanzas} recipients; at most ${RECIPIENTS_MAX} are tried.`, {
        remedy: 'Decrypt it with age itself: `age -d -i KEYFILE FILE > backup.ngbak`.',
      });
    }
    return header;
  }
  throw damaged(`${name} is truncated, or has a header of more than ${HEADER_BYTES_MAX} bytes`);
}

/**
 * The plain bytes of an age file whose key is known. Any range can be read, in constant memory; every chunk is
 * authenticated before its bytes are used. The last chunk is authenticated at once, which proves the length of the file.
 * Throws IntegrityError.
 */
export async function withFileKey(
  source: ByteSource,
  headerBytes: number,
  fileKey: Uint8Array,
): Promise<ByteSource> {
  const { name } = source;
  const begin = headerBytes + NONCE_BYTES;
  const sealed = source.size - begin;
  const size = plainSize(sealed) ?? -1;
  if (size < 0) throw damaged(`${name} is truncated`);
  const nonce = await collect(source.read(headerBytes, NONCE_BYTES));
  const key = payloadKey(fileKey, nonce);
  const last = Math.max(0, Math.ceil(size / CHUNK_BYTES) - 1);
  const open = (number: number, bytes: Buffer): Buffer => {
    const plain = openChunk(key, number, number === last, bytes);
    if (plain) return plain;
    const from = number * CHUNK_BYTES;
    throw damaged(
      number === last
        ? `${name} is truncated, or its end is damaged or was altered`
        : `${name} is damaged or was altered: bytes ${from} to ${from + CHUNK_BYTES - 1} of the archive are not authentic`,
    );
  };
  async function* read(offset: number, length: number): AsyncGenerator<Buffer> {
    if (length === 0) return;
    if (offset + length > size) throw damaged(`${name} ends before byte ${offset + length}`);
    let number = Math.floor(offset / CHUNK_BYTES);
    const from = number * SEALED_BYTES;
    const to = Math.min(sealed, (Math.floor((offset + length - 1) / CHUNK_BYTES) + 1) * SEALED_BYTES);
    for await (const chunk of split(source.read(begin + from, to - from))) {
      const plain = open(number, chunk);
      const at = number * CHUNK_BYTES;
      number++;
      yield plain.subarray(Math.max(0, offset - at), Math.max(0, offset + length - at));
    }
  }
  const end = await collect(source.read(begin + last * SEALED_BYTES, sealed - last * SEALED_BYTES));
  open(last, end);
  return { name, size, read };
}

/** Splits a stream into encrypted chunks. Each is valid until the next one is requested. */
async function* split(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const chunk = Buffer.alloc(SEALED_BYTES);
  let filled = 0;
  for await (const piece of bytes) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + SEALED_BYTES - filled);
      chunk.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < SEALED_BYTES) continue;
      yield chunk;
      filled = 0;
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

function damaged(problem: string): IntegrityError {
  return new IntegrityError(`${problem}.`, {
    remedy: 'Use another copy of the file, or download the backup again.',
    help: HELP.damagedArchive,
  });
}
