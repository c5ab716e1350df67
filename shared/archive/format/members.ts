import type { ByteReader } from '../../core/byte-reader.ts';
import { mapOrdered } from '../../core/ordered.ts';
import {
  type Codec,
  decompressMember,
  FRAME_HEADER_BYTES_MAX,
  GZIP_HEADER_BYTES,
  GZIP_HEADER_START,
  LOOK_AHEAD,
  MEMBER_BYTES_MAX,
  MemberError,
  parseFrameHeader,
  plainSizeOf,
} from './codec.ts';

/** Deflate may enlarge incompressible data by 5 bytes in 16 KiB; zstd by less. */
const COMPRESSED_BYTES_MAX = MEMBER_BYTES_MAX + (MEMBER_BYTES_MAX >> 8) + 1024;

/** Splits the next `length` bytes of a seekable archive into members, without decompressing. Throws MemberError. */
export async function* splitMembers(
  codec: Codec,
  reader: ByteReader,
  length: number,
): AsyncGenerator<Buffer> {
  const end = reader.position + length;
  while (reader.position < end) {
    const member = codec === 'gzip' ? await takeGzipMember(reader) : await takeZstdFrame(reader);
    if (reader.position > end) throw new MemberError('a member reaches beyond its entry');
    yield member;
  }
}

/** One decompressed member. */
export interface PlainMember {
  readonly plain: Buffer;
  /** Its compressed bytes. */
  readonly member: Buffer;
}

/** Decompresses the next `length` bytes of a seekable archive: members in parallel, results in order. */
export function decompressMembers(
  codec: Codec,
  reader: ByteReader,
  length: number,
): AsyncGenerator<PlainMember> {
  return mapOrdered(splitMembers(codec, reader, length), LOOK_AHEAD, async (member) => ({
    member,
    plain: await decompressMember(codec, member),
  }));
}

/**
 * The content of `length` compressed bytes, from plain byte `skip`. Members before that byte are skipped without
 * decompression: each contains its own size.
 */
export async function* decompressFrom(
  codec: Codec,
  reader: ByteReader,
  length: number,
  skip: number,
): AsyncGenerator<Buffer> {
  async function* needed(): AsyncGenerator<{ member: Buffer; from: number }> {
    let passed = 0;
    for await (const member of splitMembers(codec, reader, length)) {
      const size = plainSizeOf(codec, member);
      if (passed + size > skip) yield { member, from: Math.max(0, skip - passed) };
      passed += size;
    }
  }
  yield* mapOrdered(needed(), LOOK_AHEAD, async ({ member, from }) =>
    (await decompressMember(codec, member)).subarray(from),
  );
}

async function takeGzipMember(reader: ByteReader): Promise<Buffer> {
  const header = await reader.take(GZIP_HEADER_BYTES);
  if (header.length < GZIP_HEADER_BYTES) throw new MemberError('it ends within the header of a member');
  if (!header.subarray(0, GZIP_HEADER_START.length).equals(GZIP_HEADER_START)) {
    throw new MemberError('a gzip member has a header that ngbak does not write');
  }
  const length = header.readUInt32LE(GZIP_HEADER_START.length);
  if (length < GZIP_HEADER_BYTES + 9 || length > COMPRESSED_BYTES_MAX) {
    throw new MemberError(`a gzip member says it is ${length} bytes long`);
  }
  reader.unread(header);
  return takeWhole(reader, length);
}

async function takeZstdFrame(reader: ByteReader): Promise<Buffer> {
  const start = await reader.take(FRAME_HEADER_BYTES_MAX);
  const { length: headerLength, contentSize, checksum } = parseFrameHeader(start);
  if (contentSize === undefined || !checksum) {
    throw new MemberError('a zstd frame does not state its size, or has no checksum');
  }
  reader.unread(start);
  const parts = [await takeWhole(reader, headerLength)];
  let length = headerLength;
  for (let last = false; !last; ) {
    const header = await takeWhole(reader, 3);
    const block = parseBlockHeader(header);
    last = block.last;
    length += 3 + block.length;
    if (length > COMPRESSED_BYTES_MAX) throw new MemberError('a zstd frame is too long');
    parts.push(header, await takeWhole(reader, block.length));
  }
  parts.push(await takeWhole(reader, 4));
  return Buffer.concat(parts);
}

/** A zstd block's header (RFC 8878, 3.1.1.2): whether it is the frame's last, and how many bytes follow. */
export function parseBlockHeader(header: Buffer): { last: boolean; length: number } {
  const value = header.readUIntLE(0, 3);
  const type = (value >> 1) & 3;
  if (type === 3) throw new MemberError('a zstd block is of a reserved type');
  // A run-length block holds one byte, however often it is repeated.
  return { last: (value & 1) === 1, length: type === 1 ? 1 : value >> 3 };
}

async function takeWhole(reader: ByteReader, length: number): Promise<Buffer> {
  const bytes = await reader.take(length);
  if (bytes.length < length) throw new MemberError('it ends within a member');
  return bytes;
}
