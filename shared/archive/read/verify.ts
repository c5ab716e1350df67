import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { ByteReader } from '../../core/byte-reader.ts';
import { crc32Hex } from '../../core/crc32.ts';
import { MultisetDigest } from '../../core/digest.ts';
import { damagedArchive, IntegrityError, InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { type ArchiveLimits, LIMITS } from '../../core/limits.ts';
import { readLines } from '../../core/lines.ts';
import { nativeSha256, type ResumableSha256, resumableSha256, SHA256_BLOCK } from '../../core/sha256.ts';
import { MemberError } from '../format/codec.ts';
import {
  compareSumsLines,
  formatSumsLine,
  type IndexLine,
  lineRules,
  parseSumsLine,
} from '../format/lines.ts';
import { decompressMembers } from '../format/members.ts';
import { INDEX_NAME, MANIFEST_NAME, NameRegister, quoteName, SUMS_NAME } from '../format/names.ts';
import { BLOCK, encodeTarHeader, isZero, paddingOf } from '../format/tar.ts';
import type { ByteSource, IndexEntry } from '../format/types.ts';
import { type OpenedArchive, openArchive, readIndex, readRegion } from './open.ts';

/** Problems that are kept; the check ends when there are this many. */
const PROBLEMS_MAX = 20;
/** Maximum length of a problem's text in the cursor, in characters: all of them must stay below 8 KiB. */
const PROBLEM_CHARACTERS = 300;
/** Entries above this size, in bytes, have resumable digests, so that the check can stop within them. */
const RESUMABLE_BYTES = 256 * 1024 ** 2;
/** Assumed minimum rate of a check, in bytes of content per second: a wide margin, not a measurement. */
const BYTES_PER_SECOND_MIN = 16 * 1024 ** 2;

/** Where a check continues. It contains no data: digests are saved at block boundaries only. */
const VerifyCursor = z.strictObject({
  /** Number of entries checked so far. */
  entries: z.int().nonnegative(),
  problems: z.array(z.string()),
  /** Within a large entry: compressed and content bytes checked so far, and the states of its digests. */
  within: z
    .strictObject({
      compressed: z.int().positive(),
      content: z.int().positive(),
      crc32: z.int().nonnegative(),
      sha256: z.string(),
    })
    .nullable(),
});
type VerifyCursor = z.infer<typeof VerifyCursor>;
type Within = NonNullable<VerifyCursor['within']>;

/**
 * Receives the content of one entry, in order. An IntegrityError or InvalidInputError that it throws is reported as a
 * problem of the entry.
 */
export interface ContentSink {
  write(chunk: Uint8Array): void | Promise<void>;
  /** All content was written. */
  end(): void | Promise<void>;
  /** The rest of the content can't be read. */
  abort(): void | Promise<void>;
}

/** A range of an archive, in bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface Verification {
  /** What the previous leg returned; null for the first one. */
  readonly cursor: Json;
  /** Milliseconds until the leg should end. */
  timeLeft(): number;
  readonly signal?: AbortSignal;
  /** Whether an entry is read. Default: every entry, so that every byte of the archive is checked. */
  reads?(entry: IndexEntry): boolean;
  /** Ranges of whole entries that are not read, in bytes from the start of the archive. Default: none. */
  readonly unread?: readonly ByteRange[];
  /** Reports the bytes of the archive checked so far. */
  progress?(bytesDone: number, bytesTotal: number): void;
  /** Called once for each entry, in archive order; `problem` is undefined if the entry is intact. */
  entry?(name: string, problem: string | undefined): void;
  /**
   * The sink for the content of an entry while it is checked; undefined for none. A leg that ends within an entry
   * abandons its sink, and the next leg calls this again, with `resumed` true.
   */
  open?(entry: IndexEntry, resumed: boolean): ContentSink | undefined;
  readonly limits?: Partial<ArchiveLimits>;
  /** Entries above this size, in bytes, may be continued by the next leg; 256 MiB by default. */
  readonly resumeAbove?: number;
}

export interface VerificationResult {
  /** Where the next leg continues; null after every byte was checked. */
  readonly cursor: Json;
  /** Problems of all legs so far, each naming its entry; at most 20. */
  readonly problems: readonly string[];
}

/**
 * One leg of checking every byte of a seekable archive. The first leg checks its structure: that footer, manifest,
 * index, sums, names and limits are valid, agree with each other and account for every byte of the file. Then each
 * entry's compressed bytes are checked against the index's CRC-32, and its tar header, size, padding and SHA-256
 * against the index. Throws IntegrityError or InvalidInputError if the structure is wrong; a damaged entry is a
 * problem in the result.
 */
export async function verifyArchive(
  source: ByteSource,
  verification: Verification,
): Promise<VerificationResult> {
  const limits = { ...LIMITS, ...verification.limits };
  const archive = await openArchive(source, limits);
  const cursor: VerifyCursor =
    verification.cursor === null
      ? { entries: 0, problems: [], within: null }
      : parseInput(VerifyCursor, verification.cursor, 'The cursor of the verification');
  if (verification.cursor === null) await verifyStructure(source, archive, limits);
  return new EntryChecker(source, archive, limits, verification, cursor).run();
}

/** Checks everything in the archive except the content of entries. */
async function verifyStructure(
  source: ByteSource,
  archive: OpenedArchive,
  limits: ArchiveLimits,
): Promise<void> {
  const { footer, manifest } = archive;
  const where = source.name;
  const names = new NameRegister({ ...limits, entries: limits.entries + 3 }, where);
  for (const name of [INDEX_NAME, SUMS_NAME, MANIFEST_NAME]) names.add(name);
  // Index and sums are ordered differently and may be long, so their lines are compared as multisets.
  const indexed = new MultisetDigest();
  for await (const line of readIndex(source, footer, manifest, limits)) {
    names.add(line.name);
    indexed.add(formatSumsLine(line));
  }
  const hash = createHash('sha256');
  const summed = new MultisetDigest();
  let last = '';
  const offset = footer.offset + footer.index.length;
  const chunks = readRegion(source, footer, SUMS_NAME, offset, footer.sums, limits);
  for await (const text of readLines(chunks, lineRules(limits, `${SUMS_NAME} of ${where}`))) {
    hash.update(`${text}\n`);
    if (last !== '' && compareSumsLines(last, text) >= 0)
      throw damaged(where, `the lines of ${SUMS_NAME} are not sorted`);
    last = text;
    summed.add(formatSumsLine(parseSumsLine(text, where)));
  }
  if (hash.digest('hex') !== manifest.checksum) {
    throw damaged(where, `${SUMS_NAME} does not match the checksum in the manifest`);
  }
  if (summed.hex() !== indexed.hex()) throw damaged(where, `${SUMS_NAME} and ${INDEX_NAME} differ`);
  const endAt = offset + footer.sums.length + footer.manifest.length;
  const reader = new ByteReader(source.read(endAt, footer.end.length));
  try {
    const plain: Buffer[] = [];
    let crc = 0;
    for await (const member of decompressMembers(footer.codec, reader, footer.end.length)) {
      crc = crc32(member.member, crc);
      plain.push(member.plain);
      if (plain.length > 1) break;
    }
    const end = plain[0];
    if (plain.length !== 1 || end?.length !== 2 * BLOCK || !isZero(end) || crc !== footer.end.crc32) {
      throw damaged(where, 'it does not end with the two zero blocks of a tar');
    }
  } catch (error) {
    throw error instanceof MemberError ? damaged(where, error.message, error) : error;
  } finally {
    await reader.close();
  }
}

class EntryChecker {
  readonly #source: ByteSource;
  readonly #archive: OpenedArchive;
  readonly #limits: ArchiveLimits;
  readonly #verification: Verification;
  readonly #cursor: VerifyCursor;
  #reader: ByteReader | undefined;

  constructor(
    source: ByteSource,
    archive: OpenedArchive,
    limits: ArchiveLimits,
    verification: Verification,
    cursor: VerifyCursor,
  ) {
    this.#source = source;
    this.#archive = archive;
    this.#limits = limits;
    this.#verification = verification;
    this.#cursor = cursor;
  }

  async run(): Promise<VerificationResult> {
    const { footer, manifest } = this.#archive;
    const { signal, timeLeft, progress, entry: onEntry } = this.#verification;
    const problems = [...this.#cursor.problems];
    let within = this.#cursor.within;
    let number = 0;
    try {
      for await (const line of readIndex(this.#source, footer, manifest, this.#limits)) {
        if (number++ < this.#cursor.entries) continue;
        signal?.throwIfAborted();
        if (this.#verification.reads?.(line) === false || this.#isUnread(line)) {
          await this.#skip();
          continue;
        }
        const stop = (): VerificationResult => ({
          cursor: { entries: number - 1, problems, within },
          problems,
        });
        // Some entries can't be interrupted: they start in a new leg if this one may be too short.
        const neededMs = (line.size / BYTES_PER_SECOND_MIN) * 1000;
        if (number - 1 > this.#cursor.entries && timeLeft.call(this.#verification) <= neededMs) return stop();
        const result = await this.#check(line, within);
        if (typeof result === 'object') {
          within = result;
          progress?.call(this.#verification, line.offset + within.compressed, this.#source.size);
          return stop();
        }
        within = null;
        onEntry?.call(this.#verification, line.name, result);
        if (result !== undefined) problems.push(result.slice(0, PROBLEM_CHARACTERS));
        if (problems.length >= PROBLEMS_MAX) return { cursor: null, problems };
        progress?.call(this.#verification, line.offset + line.length, this.#source.size);
      }
    } finally {
      await this.#reader?.close();
    }
    progress?.call(this.#verification, this.#source.size, this.#source.size);
    return { cursor: null, problems };
  }

  #isUnread(line: IndexLine): boolean {
    const { unread = [] } = this.#verification;
    return unread.some(({ offset, length }) => line.offset >= offset && line.offset < offset + length);
  }

  /** Where a read that starts at this position ends: at the next range that is not read, or at the end of the data. */
  #endOfRead(start: number): number {
    const { unread = [] } = this.#verification;
    const behind = unread.map(({ offset }) => offset).filter((offset) => offset > start);
    return Math.min(this.#archive.footer.offset, ...behind);
  }

  /** The next entry that is read starts a new read. */
  async #skip(): Promise<void> {
    await this.#reader?.close();
    this.#reader = undefined;
  }

  /** Checks one entry. Returns its problem, undefined, or where to continue within it. */
  async #check(line: IndexLine, from: Within | null): Promise<string | undefined | Within> {
    const sink = this.#verification.open?.call(this.#verification, line, from !== null);
    try {
      return await this.#read(line, from, sink);
    } catch (error) {
      await sink?.abort();
      const kinds = [MemberError, IntegrityError, InvalidInputError];
      if (!(error instanceof Error) || !kinds.some((kind) => error instanceof kind)) throw error;
      // The stream is somewhere inside the entry, so the next entry starts a new read.
      await this.#skip();
      return `entry ${quoteName(line.name)}: ${error.message.replace(/\.$/, '')}`;
    }
  }

  async #read(
    line: IndexLine,
    from: Within | null,
    sink: ContentSink | undefined,
  ): Promise<undefined | Within> {
    const { codec } = this.#archive;
    const start = line.offset + (from?.compressed ?? 0);
    // One read for all remaining entries, which are contiguous.
    this.#reader ??= new ByteReader(this.#source.read(start, this.#endOfRead(start) - start));
    const header = encodeTarHeader(line.name, line.size);
    const hash = await hashFor(line, from, this.#verification.resumeAbove ?? RESUMABLE_BYTES);
    let compressed = from?.compressed ?? 0;
    let crc = from?.crc32 ?? 0;
    // Plain bytes so far: header, content, padding.
    let position = from === null ? 0 : header.length + from.content;
    const contentEnd = header.length + line.size;
    const end = contentEnd + paddingOf(line.size);
    for await (const { member, plain } of decompressMembers(codec, this.#reader, line.length - compressed)) {
      this.#verification.signal?.throwIfAborted();
      crc = crc32(member, crc);
      compressed += member.length;
      if (position + plain.length > end) throw new MemberError('there are bytes after its end');
      const headerPart = plain.subarray(0, Math.max(0, header.length - position));
      if (!headerPart.equals(header.subarray(position, position + headerPart.length))) {
        throw new MemberError('its tar header does not match its index entry');
      }
      const contentPart = plain.subarray(
        headerPart.length,
        Math.max(headerPart.length, contentEnd - position),
      );
      hash.update(contentPart);
      if (contentPart.length > 0) await sink?.write(contentPart);
      if (!isZero(plain.subarray(headerPart.length + contentPart.length))) {
        throw new MemberError('its padding is not zero');
      }
      position += plain.length;
      const content = position - header.length;
      if (
        'save' in hash &&
        content > 0 &&
        content % SHA256_BLOCK === 0 &&
        compressed < line.length &&
        content < line.size &&
        this.#verification.timeLeft() <= 0
      ) {
        return { compressed, content, crc32: crc, sha256: (hash as ResumableSha256).save() };
      }
    }
    if (position !== end)
      throw new MemberError(`it holds ${position} bytes of ${end}, with header and padding`);
    const sha256 = hash.digest();
    if (sha256 !== line.sha256)
      throw new MemberError(`its SHA-256 is ${sha256}, and the index says ${line.sha256}`);
    if (crc !== line.crc32) {
      throw new MemberError(
        `the CRC-32 of its compressed bytes is ${crc32Hex(crc)}, and the index says ${crc32Hex(line.crc32)}`,
      );
    }
    await sink?.end();
    return undefined;
  }
}

function hashFor(line: IndexLine, from: Within | null, resumeAbove: number) {
  if (from) return resumableSha256(from.sha256);
  return line.size > resumeAbove ? resumableSha256() : nativeSha256();
}

function damaged(where: string, what: string, cause?: unknown): IntegrityError {
  return damagedArchive(`${where} is damaged: ${what}.`, cause);
}
