import { pipeline, Readable, type Transform } from 'node:stream';
import zlib from 'node:zlib';
import { ByteReader } from '../../core/byte-reader.ts';
import { collectGarbage } from '../../core/collect-garbage.ts';
import { errorFields } from '../../core/error-fields.ts';
import { damagedArchive, type IntegrityError, InvalidInputError } from '../../core/errors.ts';
import { type ArchiveLimits, LIMITS } from '../../core/limits.ts';
import {
  type Codec,
  detectCodec,
  FRAME_HEADER_BYTES_MAX,
  MemberError,
  parseFrameHeader,
  ZSTD_MAGIC,
  ZSTD_SKIPPABLE_MAGIC,
} from '../format/codec.ts';
import { parseBlockHeader } from '../format/members.ts';
import { NameRegister, quoteName } from '../format/names.ts';
import { isZero, readPadding, readTarHeader } from '../format/tar.ts';

/** Size of a decompressor's output buffer, in bytes. */
const OUTPUT_BYTES = 256 * 1024;
/** Largest window that a zstd frame may require, as a power of two: 128 MiB, zstd's own default limit. */
const ZSTD_WINDOW_LOG = 27;

/** One regular file of an archive that is read front to back. */
export interface StreamEntry {
  /** Without a leading `./`. */
  readonly name: string;
  readonly size: number;
  /** The content: to be read before the next entry is requested. What is not read is skipped. */
  readonly data: AsyncIterable<Buffer>;
}

/**
 * Reads an archive front to back, whichever tool packed it: GNU tar, bsdtar, Python's tarfile, ngbak; gzip of one or
 * many members, or zstd. Throws IntegrityError if bytes are damaged, missing or left over at the end,
 * InvalidInputError for what backups never contain: links, devices, unsafe or repeated names, anything beyond the
 * limits.
 */
export async function* readArchiveStream(
  chunks: AsyncIterable<Uint8Array>,
  where: string,
  options: { limits?: Partial<ArchiveLimits>; signal?: AbortSignal | undefined } = {},
): AsyncGenerator<StreamEntry> {
  const limits = { ...LIMITS, ...options.limits };
  const names = new NameRegister({ ...limits, entries: limits.entries + 3 }, where);
  const reader = new ByteReader(decompressStream(chunks, where, limits));
  let total = 0;
  try {
    for (;;) {
      options.signal?.throwIfAborted();
      const header = await readTarHeader(reader, limits, where);
      if (header === null) break;
      const { name, size } = header;
      names.add(name);
      total += size;
      if (total > limits.totalBytes) {
        throw new InvalidInputError(`${where} holds more than ${limits.totalBytes} bytes.`, {
          remedy: 'Create a smaller backup, or restore with a deployment that has higher limits.',
        });
      }
      const end = reader.position + size;
      const data = exactly(reader, size, `Entry ${quoteName(name)} of ${where}`, options.signal);
      yield { name, size, data };
      await reader.skip(end - reader.position);
      if (reader.position < end) throw cutOff(`Entry ${quoteName(name)} of ${where}`);
      await readPadding(reader, size, where);
    }
    // Tar pads its archives with zeros to whole records; any other data is an error.
    for await (const rest of reader.rest()) {
      if (!isZero(rest)) throw damaged(where, 'there is data after the end of the tar');
    }
  } catch (error) {
    if (error instanceof MemberError) throw damaged(where, error.message, error);
    throw error;
  } finally {
    await reader.close();
  }
}

async function* exactly(
  reader: ByteReader,
  size: number,
  where: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  let left = size;
  for await (const chunk of reader.stream(size)) {
    signal?.throwIfAborted();
    left -= chunk.length;
    yield chunk;
  }
  if (left > 0) throw cutOff(where);
}

/** Decompresses gzip or zstd from any tool, and limits the ratio of output to input. */
async function* decompressStream(
  chunks: AsyncIterable<Uint8Array>,
  where: string,
  limits: ArchiveLimits,
): AsyncGenerator<Buffer> {
  let taken = 0;
  let given = 0;
  const reader = new ByteReader(
    (async function* () {
      for await (const chunk of chunks) {
        taken += chunk.length;
        yield chunk;
      }
    })(),
  );
  try {
    const start = await reader.take(4);
    const codec = detectCodec(start);
    if (codec === undefined) {
      throw new InvalidInputError(`${where} is not an ngbak archive: it is neither gzip nor zstd data.`, {
        remedy: 'Use an archive (.ngbak) that was created by ngbak or repacked with tar -czf.',
      });
    }
    reader.unread(start);
    for await (const chunk of codec === 'gzip' ? gunzip(reader, where) : unzstd(reader, where)) {
      given += chunk.length;
      collectGarbage();
      if (given > Math.max(limits.ratioFreeBytes, taken * limits.ratio)) {
        throw new InvalidInputError(
          `${where}: more than ${given} bytes come from ${taken}; the limit is ${limits.ratio} to 1.`,
          { remedy: 'No backup compresses that well. Use another copy, or create it again with gzip.' },
        );
      }
      yield chunk;
    }
  } finally {
    await reader.close();
  }
}

async function* gunzip(reader: ByteReader, where: string): AsyncGenerator<Buffer> {
  const transform = zlib.createGunzip({ chunkSize: OUTPUT_BYTES });
  yield* through(reader.rest(), transform, 'gzip', where);
  // Node's gunzip silently ignores zeros after the last member.
  if (transform.bytesWritten !== reader.position)
    throw damaged(where, 'there is data after the last gzip member');
}

/** Node's decoder stops after one frame and accepts a truncated frame as complete, so frames are separated here. */
async function* unzstd(reader: ByteReader, where: string): AsyncGenerator<Buffer> {
  while (!(await reader.ended())) {
    const start = await reader.take(FRAME_HEADER_BYTES_MAX);
    if (start.length < 8) throw cutOff(where);
    reader.unread(start);
    const magic = start.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === ZSTD_SKIPPABLE_MAGIC) {
      const length = 8 + start.readUInt32LE(4);
      const end = reader.position + length;
      await reader.skip(length);
      if (reader.position < end) throw cutOff(where);
      continue;
    }
    if (magic !== ZSTD_MAGIC) throw damaged(where, 'there is data after the last zstd frame');
    const transform = zlib.createZstdDecompress({
      chunkSize: OUTPUT_BYTES,
      params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG },
    });
    yield* through(takeFrame(reader, start, where), transform, 'zstd', where);
  }
}

/** The bytes of one zstd frame. */
async function* takeFrame(reader: ByteReader, start: Buffer, where: string): AsyncGenerator<Buffer> {
  const { length, checksum } = parseFrameHeader(start);
  const take = async (bytes: number): Promise<Buffer> => {
    const taken = await reader.take(bytes);
    if (taken.length < bytes) throw cutOff(where);
    return taken;
  };
  yield take(length);
  for (let last = false; !last; ) {
    const header = await take(3);
    const block = parseBlockHeader(header);
    last = block.last;
    yield header;
    yield await take(block.length);
  }
  if (checksum) yield await take(4);
}

async function* through(
  chunks: AsyncIterable<Buffer>,
  transform: Transform,
  codec: Codec,
  where: string,
): AsyncGenerator<Buffer> {
  // Failures on either side destroy the transform, and so are thrown by its iteration.
  pipeline(Readable.from(chunks), transform, () => undefined);
  try {
    for await (const chunk of transform) yield chunk;
  } catch (error) {
    const { code } = errorFields(error);
    if (code.startsWith('Z_') || code.startsWith('ZSTD_')) {
      throw damaged(where, `its ${codec} data can't be decompressed (${code})`, error);
    }
    throw error;
  }
}

function cutOff(where: string): IntegrityError {
  return damaged(where, 'it is truncated');
}

function damaged(where: string, what: string, cause?: unknown): IntegrityError {
  return damagedArchive(`${where} is damaged: ${what}.`, cause);
}
