import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { ByteReader } from '../../core/byte-reader.ts';
import {
  ANOTHER_ARCHIVE,
  damagedArchive,
  type IntegrityError,
  InvalidInputError,
  NgbakError,
} from '../../core/errors.ts';
import { type ArchiveLimits, LIMITS } from '../../core/limits.ts';
import { readLines } from '../../core/lines.ts';
import { type Codec, detectCodec, MemberError } from '../format/codec.ts';
import { decodeFooter, type Footer } from '../format/footer.ts';
import { type IndexLine, lineRules, parseIndexLine } from '../format/lines.ts';
import { type Manifest, parseManifest } from '../format/manifest.ts';
import { decompressFrom, decompressMembers } from '../format/members.ts';
import { checkEntryName, INDEX_NAME, MANIFEST_NAME, quoteName } from '../format/names.ts';
import { encodeTarHeader, readPadding, readTarHeader } from '../format/tar.ts';
import type { ByteSource, EntryReader, IndexEntry } from '../format/types.ts';

/** Bytes read first from the end of an archive, which in most archives include footer, manifest and index. */
const TAIL_BYTES = 64 * 1024;
/** Index entries that are kept in memory; a longer index is read again for each request. */
const INDEX_KEPT = 20_000;

/** The entries and manifest of a seekable archive. */
export interface OpenedArchive extends EntryReader {
  readonly manifest: Manifest;
  readonly codec: Codec;
  readonly footer: Footer;
}

/**
 * Whether the archive ends with a valid footer, so that it can be read entry by entry; false for archives that
 * another tool repacked. Throws InvalidInputError if the file is not an archive, IntegrityError if the footer is
 * damaged.
 */
export async function isSeekable(source: ByteSource): Promise<boolean> {
  return (await readTail(source)).footer !== null;
}

/**
 * Opens a seekable archive with at most two reads: its end, which contains the footer, and the manifest if that read
 * did not include it. Throws IntegrityError if footer, manifest or index are damaged, InvalidInputError if the file
 * is not a seekable archive, has an unknown version or exceeds the limits.
 */
export async function openArchive(
  source: ByteSource,
  limits: Partial<ArchiveLimits> = {},
): Promise<OpenedArchive> {
  return SeekableArchive.open(source, { ...LIMITS, ...limits });
}

/** The bytes of `manifest.json` of a seekable archive, which are what a signature covers. Undefined for other archives. */
export async function readManifestBytes(source: ByteSource): Promise<Buffer | undefined> {
  const { tail, start, footer } = await readTail(source);
  return footer === null ? undefined : collectManifest(withTail(source, tail, start), footer, LIMITS);
}

/** Reads the end of an archive and its footer, which is null if there is none. Throws if the file is not an archive. */
async function readTail(source: ByteSource): Promise<{ tail: Buffer; start: number; footer: Footer | null }> {
  const where = source.name;
  const length = Math.min(source.size, TAIL_BYTES);
  const start = source.size - length;
  const tail = await new ByteReader(source.read(start, length)).take(length);
  const footer = decodeFooter(tail, source.size, where);
  if (footer !== null) return { tail, start, footer };
  const head = start === 0 ? tail : await new ByteReader(source.read(0, 4)).take(4);
  if (detectCodec(head) !== undefined) return { tail, start, footer };
  throw new InvalidInputError(`${where} is not an ngbak archive: it is neither gzip nor zstd data.`, {
    remedy: 'Use an archive (.ngbak) that was created by ngbak or repacked with tar -czf.',
  });
}

/** A source whose last bytes are already in memory. */
function withTail(source: ByteSource, tail: Buffer, start: number): ByteSource {
  return {
    name: source.name,
    size: source.size,
    async *read(offset, length) {
      if (offset >= start) yield tail.subarray(offset - start, offset - start + length);
      else yield* source.read(offset, length);
    },
  };
}

class SeekableArchive implements OpenedArchive {
  readonly manifest: Manifest;
  readonly codec: Codec;
  readonly footer: Footer;
  readonly #source: ByteSource;
  readonly #limits: ArchiveLimits;
  #index: readonly IndexLine[] | undefined;

  private constructor(source: ByteSource, limits: ArchiveLimits, footer: Footer, manifest: Manifest) {
    this.#source = source;
    this.#limits = limits;
    this.footer = footer;
    this.codec = footer.codec;
    this.manifest = manifest;
  }

  static async open(raw: ByteSource, limits: ArchiveLimits): Promise<SeekableArchive> {
    const { tail, start, footer } = await readTail(raw);
    const source = withTail(raw, tail, start);
    if (footer === null) {
      throw new InvalidInputError(`${source.name} has no footer: it was repacked or is truncated.`, {
        remedy: 'Rewrite it with "ngbak archive repack", which also shows whether it is complete.',
      });
    }
    const manifest = parseManifest(await collectManifest(source, footer, limits), limits, source.name);
    if (manifest.index.entries > limits.entries || manifest.index.bytes > limits.totalBytes) {
      throw new InvalidInputError(
        `${source.name} has ${manifest.index.entries} entries of ${manifest.index.bytes} bytes; the limits are ${limits.entries} and ${limits.totalBytes}.`,
        { remedy: 'Restore it with a deployment that has higher limits, or create a smaller backup.' },
      );
    }
    return new SeekableArchive(source, limits, footer, manifest);
  }

  async *entries(prefix: string): AsyncGenerator<IndexEntry> {
    for await (const entry of this.#readIndex()) if (entry.name.startsWith(prefix)) yield entry;
  }

  async find(name: string): Promise<IndexEntry | undefined> {
    for await (const entry of this.#readIndex()) if (entry.name === name) return entry;
    return undefined;
  }

  async *#readIndex(): AsyncGenerator<IndexLine> {
    if (this.#index) {
      yield* this.#index;
      return;
    }
    const kept: IndexLine[] | undefined = this.manifest.index.entries <= INDEX_KEPT ? [] : undefined;
    for await (const line of readIndex(this.#source, this.footer, this.manifest, this.#limits)) {
      if (kept) kept.push(line);
      else yield line;
    }
    // Kept only after it was read to its end and thus verified.
    if (kept) {
      this.#index = kept;
      yield* kept;
    }
  }

  async *open(entry: IndexEntry, range?: { offset: number; length: number }): AsyncGenerator<Buffer> {
    const where = `Entry ${quoteName(entry.name)} of ${this.#source.name}`;
    if (entry.offset + entry.length > this.footer.offset) {
      throw damaged(where, 'its index entry points outside of the data');
    }
    if (range && (range.offset < 0 || range.length < 0 || range.offset + range.length > entry.size)) {
      throw new NgbakError(
        `${where} has ${entry.size} bytes; ${range.length} from ${range.offset} are not in it.`,
        { remedy: 'Report this as a bug in ngbak.' },
      );
    }
    const reader = new ByteReader(this.#source.read(entry.offset, entry.length));
    try {
      if (range) yield* this.#openRange(reader, entry, range);
      else yield* this.#openWhole(reader, entry, where);
    } catch (error) {
      if (error instanceof MemberError) throw damaged(where, error.message, error);
      throw error;
    } finally {
      await reader.close();
    }
  }

  async *#openWhole(reader: ByteReader, entry: IndexEntry, where: string): AsyncGenerator<Buffer> {
    const plain = new ByteReader(plainOf(decompressMembers(this.codec, reader, entry.length)));
    try {
      const header = await readTarHeader(plain, this.#limits, where);
      if (header?.name !== entry.name || header.size !== entry.size) {
        throw damaged(where, 'the tar header is of another file');
      }
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of plain.stream(entry.size)) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
      if (size !== entry.size) throw damaged(where, `it holds ${size} bytes of ${entry.size}`);
      await readPadding(plain, entry.size, where);
      if (!(await plain.ended())) throw damaged(where, 'there are bytes after its end');
      const sha256 = hash.digest('hex');
      if (sha256 !== entry.sha256) {
        throw damaged(where, `its SHA-256 is ${sha256}, and the index says ${entry.sha256}`);
      }
    } finally {
      await plain.close();
    }
  }

  async *#openRange(
    reader: ByteReader,
    entry: IndexEntry,
    range: { offset: number; length: number },
  ): AsyncGenerator<Buffer> {
    const header = encodeTarHeader(entry.name, entry.size).length;
    const plain = new ByteReader(decompressFrom(this.codec, reader, entry.length, header + range.offset));
    try {
      let size = 0;
      for await (const chunk of plain.stream(range.length)) {
        size += chunk.length;
        yield chunk;
      }
      if (size !== range.length) throw new MemberError(`it ends after ${size} bytes of ${range.length}`);
    } finally {
      await plain.close();
    }
  }
}

/**
 * Streams the index and checks each line: names, limits, and that entries follow one another without gaps from the
 * first byte to the start of the index. Throws after the last line if count, bytes or digest differ from the
 * manifest's.
 */
export async function* readIndex(
  source: ByteSource,
  footer: Footer,
  manifest: Manifest,
  limits: ArchiveLimits,
): AsyncGenerator<IndexLine> {
  const where = source.name;
  const hash = createHash('sha256');
  const chunks = (async function* () {
    for await (const chunk of readRegion(source, footer, INDEX_NAME, footer.offset, footer.index, limits)) {
      hash.update(chunk);
      yield chunk;
    }
  })();
  let count = 0;
  let bytes = 0;
  let position = 0;
  for await (const text of readLines(chunks, lineRules(limits, `${INDEX_NAME} of ${where}`))) {
    const line = parseIndexLine(text, where);
    checkEntryName(line.name, limits, where);
    count++;
    bytes += line.size;
    if (line.size > limits.entryBytes || bytes > limits.totalBytes || count > limits.entries) {
      throw new InvalidInputError(
        `${where}: its index exceeds the limits at entry ${quoteName(line.name)}.`,
        {
          remedy: `The limits are ${limits.entries} entries of at most ${limits.entryBytes} bytes, ${limits.totalBytes} together.`,
        },
      );
    }
    if (line.offset !== position || position + line.length > footer.offset) {
      throw damaged(where, `entry ${quoteName(line.name)} does not follow the one before it`);
    }
    position += line.length;
    if (bytes > Math.max(limits.ratioFreeBytes, position * limits.ratio)) {
      throw new InvalidInputError(
        `${where}: at entry ${quoteName(line.name)}, ${bytes} bytes come from ${position}; the limit is ${limits.ratio} to 1.`,
        { remedy: 'No backup compresses that well. Use another copy, or create it again with gzip.' },
      );
    }
    yield line;
  }
  const { index } = manifest;
  if (position !== footer.offset) throw damaged(where, 'its index does not cover all of its data');
  if (count !== index.entries || bytes !== index.bytes || hash.digest('hex') !== index.sha256) {
    throw damaged(where, 'its index does not match the manifest');
  }
}

/** Content of one of the entries that end an archive. Throws IntegrityError if its bytes are damaged. */
export async function* readRegion(
  source: ByteSource,
  footer: Footer,
  name: string,
  offset: number,
  region: { length: number; crc32: number },
  limits: ArchiveLimits,
): AsyncGenerator<Buffer> {
  const where = `${name} of ${source.name}`;
  const reader = new ByteReader(source.read(offset, region.length));
  let crc = 0;
  const plain = new ByteReader(
    (async function* () {
      for await (const { member, plain } of decompressMembers(footer.codec, reader, region.length)) {
        crc = crc32(member, crc);
        yield plain;
      }
    })(),
  );
  try {
    const header = await readTarHeader(plain, limits, where);
    if (header?.name !== name) throw damaged(where, 'another entry is in its place');
    yield* plain.stream(header.size);
    await readPadding(plain, header.size, where);
    if (!(await plain.ended()) || crc !== region.crc32) {
      throw damaged(where, 'its bytes do not match the footer');
    }
  } catch (error) {
    if (error instanceof MemberError) throw damaged(where, error.message, error);
    throw error;
  } finally {
    await plain.close();
    await reader.close();
  }
}

function collectManifest(source: ByteSource, footer: Footer, limits: ArchiveLimits): Promise<Buffer> {
  const offset = footer.offset + footer.index.length + footer.sums.length;
  const chunks = readRegion(source, footer, MANIFEST_NAME, offset, footer.manifest, limits);
  return collect(chunks, limits.manifestBytes, source.name);
}

async function* plainOf(members: AsyncIterable<{ plain: Buffer }>): AsyncGenerator<Buffer> {
  for await (const { plain } of members) yield plain;
}

async function collect(chunks: AsyncIterable<Buffer>, max: number, where: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > max) {
      throw new InvalidInputError(`manifest.json of ${where} has more than ${max} bytes.`, {
        remedy: ANOTHER_ARCHIVE,
      });
    }
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

function damaged(where: string, what: string, cause?: unknown): IntegrityError {
  return damagedArchive(`${where} is damaged: ${what}.`, cause);
}
