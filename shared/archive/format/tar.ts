import type { ByteReader } from '../../core/byte-reader.ts';
import { damagedArchive, type IntegrityError, InvalidInputError } from '../../core/errors.ts';
import type { ArchiveLimits } from '../../core/limits.ts';
import { quoteName } from './names.ts';

/** Tar's unit: headers are one block, contents are padded to whole ones (POSIX.1-2001, pax interchange format). */
export const BLOCK = 512;

/** Largest size that fits into the 11 octal digits of a ustar header, in bytes. */
const USTAR_SIZE_MAX = 0o77777777777;
const USTAR_NAME_MAX = 100;
/**
 * 1980-01-01T00:00:00Z: constant, so that the same data gives the same bytes, and tar does not warn about files from
 * 1970.
 */
const MODIFIED = 315_532_800;

const REGULAR = '0';

/** Bytes of padding after a content of `size` bytes. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** The header of a regular file: one ustar block, preceded by a PAX header if name or size do not fit into it. */
export function encodeTarHeader(name: string, size: number): Buffer {
  const records: string[] = [];
  const bytes = Buffer.from(name, 'utf8');
  if (bytes.length > USTAR_NAME_MAX || /[^\x20-\x7e]/.test(name)) records.push(paxRecord('path', name));
  if (size > USTAR_SIZE_MAX) records.push(paxRecord('size', String(size)));
  const shortName = name.replaceAll(/[^\x20-\x7e]/g, '_').slice(-USTAR_NAME_MAX);
  const header = encodeBlock(shortName, size > USTAR_SIZE_MAX ? 0 : size, REGULAR);
  if (records.length === 0) return header;
  const body = Buffer.from(records.join(''), 'utf8');
  return Buffer.concat([
    encodeBlock('pax-header', body.length, 'x'),
    body,
    Buffer.alloc(paddingOf(body.length)),
    header,
  ]);
}

/** `<length> <key>=<value>\n`, where the length includes its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function encodeBlock(name: string, size: number, type: string): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, digits: number) =>
    block.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1');
  block.write(name, 0, USTAR_NAME_MAX, 'latin1');
  octal(0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(MODIFIED, 136, 11);
  block.write(type, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Sum of a header's bytes, its checksum field counted as spaces. */
function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  return sum;
}

/** A regular file's header as a reader returns it; its content and padding follow in the stream. */
export interface TarHeader {
  /** As written, with a leading `./` removed. */
  readonly name: string;
  readonly size: number;
}

/**
 * Reads the next file's header: ustar, PAX and GNU long names; folders are skipped. Returns null at the two zero
 * blocks that end an archive. Throws IntegrityError if bytes are damaged or missing, InvalidInputError for what
 * backups never contain: links, devices, sparse files, sizes out of bounds. `where` names the archive in messages.
 */
export async function readTarHeader(
  reader: ByteReader,
  limits: ArchiveLimits,
  where: string,
): Promise<TarHeader | null> {
  let longName: string | undefined;
  let pax: Map<string, string> | undefined;
  for (let extended = 0; ; extended++) {
    const block = await takeBlock(reader, where);
    if (isZero(block)) {
      if (longName !== undefined || pax !== undefined) {
        throw damaged(where, 'there is a name header without a file at its end');
      }
      if (!isZero(await takeBlock(reader, where)))
        throw damaged(where, 'there is a single zero block before a header');
      return null;
    }
    const stored = parseOctal(block, 148, 8, where, 'checksum');
    if (stored !== checksumOf(block)) throw damaged(where, 'a tar header has a wrong checksum');
    if (extended > 8) throw hostile(where, 'there are more than 8 extended headers before one file');
    const type = String.fromCharCode(block[156] ?? 0);
    const ownName = headerName(block, where);
    if (type === 'x' || type === 'g') {
      const records = parsePax(await readExtended(reader, block, limits, where), where);
      // Global records apply to all following files. They are ignored, unless they rename or resize files.
      if (type === 'x') pax = records;
      else if (records.has('path') || records.has('size')) {
        throw hostile(where, 'a global PAX header sets a name or size');
      }
      continue;
    }
    if (type === 'L') {
      longName = decodeName(trimNul(await readExtended(reader, block, limits, where)), where);
      continue;
    }
    const name = stripDot(pax?.get('path') ?? longName ?? ownName);
    refuseSparse(pax, name, where);
    if (type === '5') {
      if (parseOctal(block, 124, 12, where, 'size') !== 0)
        throw hostile(where, `folder ${quoteName(name)} has content`);
      longName = undefined;
      pax = undefined;
      extended = -1;
      continue;
    }
    if (type !== REGULAR && type !== '\0') {
      throw hostile(where, `entry ${quoteName(name)} is ${TYPES[type] ?? `of type ${quoteName(type)}`}`);
    }
    const size = paxSize(pax, name, where) ?? parseOctal(block, 124, 12, where, 'size');
    if (size > limits.entryBytes) {
      throw hostile(where, `entry ${quoteName(name)} says ${size} bytes; the limit is ${limits.entryBytes}`);
    }
    return { name, size };
  }
}

/** Reads the padding after a content of `size` bytes; throws IntegrityError if it is not all zero. */
export async function readPadding(reader: ByteReader, size: number, where: string): Promise<void> {
  const padding = await reader.take(paddingOf(size));
  if (padding.length !== paddingOf(size)) throw damaged(where, 'it ends within padding');
  if (!isZero(padding)) throw damaged(where, 'padding is not zero');
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

const TYPES: Record<string, string> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a character device',
  '4': 'a block device',
  '6': 'a named pipe',
  '7': 'a contiguous file',
  K: 'a link with a long target',
  S: 'a sparse file',
};

async function takeBlock(reader: ByteReader, where: string): Promise<Buffer> {
  const block = await reader.take(BLOCK);
  if (block.length < BLOCK) throw damaged(where, 'it ends before the two zero blocks that end every tar');
  return block;
}

async function readExtended(
  reader: ByteReader,
  header: Buffer,
  limits: ArchiveLimits,
  where: string,
): Promise<Buffer> {
  const size = parseOctal(header, 124, 12, where, 'size');
  if (size > limits.extendedHeaderBytes) {
    throw hostile(where, `an extended header says ${size} bytes; the limit is ${limits.extendedHeaderBytes}`);
  }
  const body = await reader.take(size);
  if (body.length < size) throw damaged(where, 'it ends within an extended header');
  await readPadding(reader, size, where);
  return body;
}

function parsePax(body: Buffer, where: string): Map<string, string> {
  const records = new Map<string, string>();
  let rest = body;
  while (rest.length > 0) {
    const space = rest.indexOf(0x20);
    const digits = space > 0 && space <= 6 ? rest.toString('latin1', 0, space) : '';
    const length = /^[1-9][0-9]*$/.test(digits) ? Number(digits) : 0;
    const record = rest.subarray(0, length);
    const equals = record.indexOf(0x3d);
    if (length < space + 3 || record.length < length || record.at(-1) !== 0x0a || equals <= space) {
      throw damaged(where, 'a PAX header is malformed');
    }
    // Other values (times, owners, extended attributes) are ignored, and need not be UTF-8.
    const key = record.toString('latin1', space + 1, equals);
    const value = record.subarray(equals + 1, -1);
    records.set(key, key === 'path' || key === 'size' ? decodeName(value, where) : '');
    rest = rest.subarray(length);
  }
  return records;
}

function paxSize(pax: Map<string, string> | undefined, name: string, where: string): number | undefined {
  const text = pax?.get('size');
  if (text === undefined) return undefined;
  const size = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(size)) {
    throw hostile(where, `entry ${quoteName(name)} has a PAX size out of bounds`);
  }
  return size;
}

function refuseSparse(pax: Map<string, string> | undefined, name: string, where: string): void {
  for (const key of pax?.keys() ?? []) {
    if (key.startsWith('GNU.sparse.')) throw hostile(where, `entry ${quoteName(name)} is a sparse file`);
  }
}

function headerName(block: Buffer, where: string): string {
  const name = decodeName(trimNul(block.subarray(0, 100)), where);
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? decodeName(trimNul(block.subarray(345, 500)), where) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function stripDot(name: string): string {
  return name.replace(/^(?:\.\/)+/, '');
}

function trimNul(bytes: Buffer): Buffer {
  const nul = bytes.indexOf(0);
  return nul < 0 ? bytes : bytes.subarray(0, nul);
}

function decodeName(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new InvalidInputError(`${where}: a tar header holds a name that is not UTF-8.`, {
      remedy: 'Pack it again with UTF-8 names.',
      cause,
    });
  }
}

function parseOctal(block: Buffer, at: number, length: number, where: string, field: string): number {
  const bytes = block.subarray(at, at + length);
  if (((bytes[0] ?? 0) & 0x80) !== 0) return parseBase256(bytes, where, field);
  const text = trimNul(bytes).toString('latin1').trim();
  if (!/^[0-7]*$/.test(text)) throw damaged(where, `a tar header's ${field} is not a number`);
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** GNU's format for numbers that do not fit into 11 octal digits: big-endian, top bit of the first byte set. */
function parseBase256(bytes: Buffer, where: string, field: string): number {
  let value = BigInt((bytes[0] ?? 0) & 0x7f);
  for (const byte of bytes.subarray(1)) value = value * 256n + BigInt(byte);
  if (((bytes[0] ?? 0) & 0x40) !== 0 || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw hostile(where, `a tar header's ${field} is negative or out of bounds`);
  }
  return Number(value);
}

function damaged(where: string, what: string): IntegrityError {
  return damagedArchive(`${where} is damaged: ${what}.`);
}

function hostile(where: string, what: string): InvalidInputError {
  return new InvalidInputError(`${where}: ${what}, which ngbak archives never contain.`, {
    remedy: 'Do not unpack or restore it. Use another copy, or create it again with ngbak.',
  });
}
