import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { z } from 'zod';
import { collectGarbage } from '../../core/collect-garbage.ts';

/** Compression of members. Tar decompresses both with its own options: `-z` and `--zstd`. */
export const Codec = z.enum(['gzip', 'zstd']);
export type Codec = z.infer<typeof Codec>;

/** The content type of an archive: RFC 6713, RFC 8878 section 7.1. */
export function mediaTypeOf(codec: Codec): string {
  return `application/${codec}`;
}

/** Default level: from bench/archive.ts, reasons in docs/format.md. */
export const DEFAULT_LEVEL: Record<Codec, number> = { gzip: 6, zstd: 3 };

/** Default size of a member, in uncompressed bytes. */
export const MEMBER_BYTES = 1024 ** 2;
/** Minimum member size for a writer, in bytes: room for the longest tar header, PAX records included. */
export const MEMBER_BYTES_MIN = 4096;
/** Maximum size of a member, uncompressed or compressed, in bytes: docs/format.md, "Limits". */
export const MEMBER_BYTES_MAX = 8 * 1024 ** 2;

/** Members compressed at once. libuv has four threads unless UV_THREADPOOL_SIZE is set. */
export const LOOK_AHEAD = 4;

/**
 * Output buffer of a compressor, in bytes: large enough for most members, so that each takes one trip to a thread,
 * and small enough that little of each buffer is wasted.
 */
const OUTPUT_BYTES = 256 * 1024;

/** Bytes from the middle of a member that are compressed to decide how to compress the whole. */
const SAMPLE_BYTES = 16 * 1024;
/** A sample that keeps more than this share of its size is treated as incompressible. */
const STORED_ABOVE = 0.97;
/** A sample has no repetitions if ignoring them makes it larger by less than this factor. */
const NO_REPETITIONS_BELOW = 1.005;

/** Length of the header of a gzip member written by ngbak: RFC 1952's ten bytes and one extra subfield of four. */
export const GZIP_HEADER_BYTES = 20;
/** Length of the header that zlib writes. */
const PLAIN_HEADER_BYTES = 10;
const GZIP_MAGIC = 0x8b1f;
/** Magic number, deflate, FEXTRA only, no time, no hint, unknown system, 8 bytes of extra field: "NB", 4 bytes. */
export const GZIP_HEADER_START = Buffer.from('1f8b08040000000000ff08004e420400', 'hex');

export const ZSTD_MAGIC = 0xfd2fb528;
/** Skippable frames have any of 16 magic numbers (RFC 8878, 3.1.2). */
export const ZSTD_SKIPPABLE_MAGIC = 0x184d2a50;

const gzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gzip);
const gunzip = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip);
const zstdDecompress = promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress);

/** A member is damaged. Internal: callers add the name of archive and entry. */
export class MemberError extends Error {}

/**
 * Compresses members on libuv's threads, one for each concurrent call. A zstd context takes megabytes and is reused:
 * if it were created for each member, V8 would start a full garbage collection every few members.
 */
export class MemberCompressor {
  readonly #codec: Codec;
  readonly #level: number;
  readonly #idle: FrameStream[] = [];

  constructor(codec: Codec, level: number) {
    this.#codec = codec;
    this.#level = level;
  }

  /**
   * Returns a gzip member whose extra field contains its own length, or a zstd frame with content size and checksum.
   * `plain` has 1 to MEMBER_BYTES_MAX bytes.
   */
  async compress(plain: Buffer): Promise<Buffer> {
    collectGarbage();
    if (this.#codec === 'gzip') return gzipMember(this.#level, plain);
    const frames = this.#idle.pop() ?? new FrameStream(this.#level);
    const frame = await frames.compress(plain);
    this.#idle.push(frames);
    return frame;
  }

  /** Frees the contexts. */
  close(): void {
    for (const frames of this.#idle.splice(0)) frames.close();
  }
}

/** A zstd stream that turns each write into a separate frame. */
class FrameStream {
  readonly #stream: zlib.ZstdCompress;
  readonly #frame: Buffer[] = [];

  constructor(level: number) {
    this.#stream = zlib.createZstdCompress({
      flush: zlib.constants.ZSTD_e_end,
      chunkSize: OUTPUT_BYTES,
      params: {
        // The encoder itself detects incompressible data and stores it.
        [zlib.constants.ZSTD_c_compressionLevel]: level,
        [zlib.constants.ZSTD_c_checksumFlag]: 1,
        [zlib.constants.ZSTD_c_contentSizeFlag]: 1,
      },
    });
    this.#stream.on('data', (chunk: Buffer) => this.#frame.push(chunk));
  }

  compress(plain: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#stream.once('error', reject);
      this.#stream.write(plain, (error) => {
        this.#stream.off('error', reject);
        if (error) reject(error);
        else resolve(Buffer.concat(this.#frame.splice(0)));
      });
    });
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** Compresses a single member: see {@link MemberCompressor}. */
export async function compressMember(codec: Codec, level: number, plain: Buffer): Promise<Buffer> {
  const compressor = new MemberCompressor(codec, level);
  try {
    return await compressor.compress(plain);
  } finally {
    compressor.close();
  }
}

async function gzipMember(level: number, plain: Buffer): Promise<Buffer> {
  // zlib's own header is replaced; its trailer (CRC-32 and size, calculated on the thread) is kept.
  const packed = await gzip(plain, { ...suitable(level, plain), chunkSize: OUTPUT_BYTES });
  const member = Buffer.allocUnsafeSlow(packed.length + GZIP_HEADER_BYTES - PLAIN_HEADER_BYTES);
  GZIP_HEADER_START.copy(member);
  member.writeUInt32LE(member.length, GZIP_HEADER_START.length);
  packed.copy(member, GZIP_HEADER_BYTES, PLAIN_HEADER_BYTES);
  return member;
}

/**
 * How to compress a member: not at all if it is incompressible, and without the search for repetitions if a sample has
 * none, as with vectors of floating-point numbers. The search would then take two thirds of the time for nothing.
 */
function suitable(level: number, plain: Buffer): Pick<zlib.ZlibOptions, 'level' | 'strategy'> {
  if (plain.length <= SAMPLE_BYTES) return { level };
  const middle = (plain.length - SAMPLE_BYTES) >> 1;
  const sample = plain.subarray(middle, middle + SAMPLE_BYTES);
  const sizeWith = (options: zlib.ZlibOptions) =>
    zlib.deflateRawSync(sample, { chunkSize: SAMPLE_BYTES + 1024, ...options }).length;
  const squeezed = sizeWith({ level: 1 });
  if (squeezed > SAMPLE_BYTES * STORED_ABOVE) return { level: 0 };
  const strategy = zlib.constants.Z_HUFFMAN_ONLY;
  return sizeWith({ level, strategy }) <= squeezed * NO_REPETITIONS_BELOW ? { level, strategy } : { level };
}

/** Decompresses one member written by {@link MemberCompressor}. Throws MemberError if any byte is damaged. */
export async function decompressMember(codec: Codec, member: Buffer): Promise<Buffer> {
  collectGarbage();
  const size = plainSizeOf(codec, member);
  if (size > MEMBER_BYTES_MAX) throw new MemberError(`a member says it holds ${size} bytes`);
  try {
    const options = { maxOutputLength: Math.max(size, 1), chunkSize: Math.max(size, 64) };
    if (codec === 'zstd') {
      const plain = await zstdDecompress(member, options);
      if (plain.length !== size) throw new MemberError('a zstd frame is incomplete');
      return plain;
    }
    const plain = await gunzip(member, options);
    if (plain.length !== size) throw new MemberError('a gzip member does not have the size that it states');
    return plain;
  } catch (cause) {
    if (cause instanceof MemberError) throw cause;
    throw new MemberError(`a ${codec} member can't be decompressed`, { cause });
  }
}

/** The size of a member's content as the member records it, in bytes. */
export function plainSizeOf(codec: Codec, member: Buffer): number {
  if (codec === 'gzip') return member.readUInt32LE(member.length - 4);
  const { contentSize } = parseFrameHeader(member);
  if (contentSize === undefined) throw new MemberError('a zstd frame does not state its size');
  return contentSize;
}

/** The codec of a file, by its magic bytes; undefined if there is no match. */
export function detectCodec(start: Buffer): Codec | undefined {
  if (start.length >= 2 && start.readUInt16LE(0) === GZIP_MAGIC) return 'gzip';
  if (start.length < 4) return undefined;
  const magic = start.readUInt32LE(0);
  if (magic === ZSTD_MAGIC || (magic & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE_MAGIC) return 'zstd';
  return undefined;
}

/** Longest header of a zstd frame, in bytes (RFC 8878, 3.1.1.1). */
export const FRAME_HEADER_BYTES_MAX = 18;

export interface FrameHeader {
  /** Length of the header, magic number included, in bytes. */
  readonly length: number;
  readonly contentSize: number | undefined;
  readonly checksum: boolean;
}

/** Parses a zstd frame's header (RFC 8878, 3.1.1.1). Throws MemberError. */
export function parseFrameHeader(start: Buffer): FrameHeader {
  if (start.length < 5 || start.readUInt32LE(0) !== ZSTD_MAGIC) {
    throw new MemberError('a zstd frame starts with other bytes');
  }
  const descriptor = start[4] ?? 0;
  if ((descriptor & 0x08) !== 0) throw new MemberError('a zstd frame has its reserved bit set');
  if ((descriptor & 0x03) !== 0) throw new MemberError('a zstd frame needs a dictionary');
  const single = (descriptor & 0x20) !== 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const at = single ? 5 : 6;
  const length = at + sizeBytes;
  if (start.length < length) throw new MemberError('a zstd frame header is cut off');
  let contentSize: number | undefined;
  if (sizeBytes === 1) contentSize = start.readUInt8(at);
  if (sizeBytes === 2) contentSize = start.readUInt16LE(at) + 256;
  if (sizeBytes === 4) contentSize = start.readUInt32LE(at);
  if (sizeBytes === 8) contentSize = Number(start.readBigUInt64LE(at));
  return { length, contentSize, checksum: (descriptor & 0x04) !== 0 };
}
